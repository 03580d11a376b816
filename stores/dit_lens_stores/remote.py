"""Places behind an address: web servers, the Hugging Face Hub, S3 and its kin, and whatever else fsspec knows.

Web servers and the Hub are asked over plain HTTP with range requests, through the client that huggingface_hub brings
along. On the Hub the first answer tells the commit that a branch points to, and everything after it is read from that
commit, so a push in the meantime cannot mix two versions. S3 goes through obstore: one wheel without dependencies,
which lets other threads run while it waits.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from dit_lens_stores.errors import StoreError
from dit_lens_stores.places import Place, check_key, too_large, unreachable

__all__ = ["FsspecPlace", "HttpPlace", "HubPlace", "ObjectPlace", "remote_place"]

_TRIES, _FIRST_PAUSE, _LONGEST_PAUSE, _TIMEOUT = 4, 0.5, 30.0, 60.0
_GONE, _NO_RANGES = (404, 410), -1
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)
_OBJECT_SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss")
_HUB = re.compile(
    r"hf://(?:(datasets|spaces|models)/)?((?!(?:datasets|spaces|models)/)[^/@]+/[^/@]+)(?:@(refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(.*))?"
)


def remote_place(url: str) -> Place:
    """Find the place that an address names.

    Parameters
    ----------
    url : str

    Returns
    -------
    Place

    Raises
    ------
    StoreError
        If the scheme is unknown, or needs a package that is not installed.

    Examples
    --------
    >>> remote_place("https://me:secret@example.org/a.zarr?signature=x").name
    'https://example.org/a.zarr'
    """
    head, _, last = url.partition("?")[0].rstrip("/").rpartition("/")
    if last.endswith(".zip") and not head.endswith(("/", ":")):
        from dit_lens_stores.zipped import ZipPlace

        query = url[url.index("?") :] if "?" in url else ""
        return ZipPlace(_folder_place(head + query), last, shown(url))
    return _folder_place(url)


def shown(url: str) -> str:
    """An address as it may be printed: without password, query and fragment.

    Examples
    --------
    >>> shown("s3://bucket/a.zarr/")
    's3://bucket/a.zarr'
    """
    parts = urlsplit(url)
    host = parts.netloc if parts.scheme == "hf" else parts.netloc.rpartition("@")[2]  # there it may be a revision
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")


def _folder_place(url: str) -> Place:
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return HttpPlace(url)
    if scheme == "hf" and not url.startswith("hf://buckets/"):
        return HubPlace(url)
    if scheme in _OBJECT_SCHEMES:
        return ObjectPlace(url)
    return FsspecPlace(url)


class HttpPlace(Place):
    """A folder on a web server that answers range requests.

    Parameters
    ----------
    url : str

    Examples
    --------
    >>> HttpPlace("https://example.org/a.zarr/").url_of("t0/x 1")
    'https://example.org/a.zarr/t0/x%201'
    """

    remote: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        self.name = shown(url)
        base, mark, query = url.partition("?")
        self._base, self._query = base.rstrip("/"), mark + query

    def read(self, key: str, limit: int) -> bytes | None:  # noqa: D102
        return self._bytes(key, None, limit)

    def read_range(self, key: str, start: int, length: int) -> bytes | None:  # noqa: D102
        return self._bytes(key, f"bytes={start}-{start + length - 1}", length) if length else b""

    def read_tail(self, key: str, length: int) -> bytes | None:  # noqa: D102
        return self._bytes(key, f"bytes=-{length}", length)

    def size(self, key: str) -> int | None:  # noqa: D102
        status, _, total = self._get(key, "bytes=0-0", 1)
        return None if status in _GONE else total

    def url_of(self, key: str) -> str:
        """The address of one file."""
        return f"{self._base}/{quote(check_key(self.name, key))}{self._query}"

    def headers(self) -> dict[str, str]:
        """What every request carries; nothing is compressed on the way, a range counts the stored bytes."""
        return {"Accept-Encoding": "identity"}

    def client(self) -> Any:
        """The client that asks; it keeps connections open."""
        return _plain_client(os.getpid())

    def answered(self, response: Any) -> None:
        """Look at an answer before its bytes are read."""

    def _bytes(self, key: str, part: str | None, limit: int) -> bytes | None:
        status, body, _ = self._get(key, part, limit)
        return None if status in _GONE else body

    def _get(self, key: str, part: str | None, limit: int) -> tuple[int, bytes, int]:
        """Ask until there is an answer; return its status, its bytes and the size of the whole file."""
        problem: object = ""
        for attempt in range(_TRIES):
            pause = 0.0
            try:
                status, body, headers = self._ask(key, self.headers() | ({"Range": part} if part else {}), limit)
            except _client_errors() as error:
                problem = error
                if type(error).__name__ == "OfflineModeIsEnabled":  # asking again changes nothing
                    break
            else:
                if status not in _TRY_AGAIN:
                    return self._judge(key, status, body, headers)
                problem, pause = f"HTTP status {status}", _seconds(headers.get("retry-after", ""))
            if attempt < _TRIES - 1:
                time.sleep(min(_LONGEST_PAUSE, max(pause, _FIRST_PAUSE * 2**attempt)))
        raise unreachable(self.name, key, problem)

    def _ask(self, key: str, headers: dict[str, str], limit: int) -> tuple[int, bytes, Mapping[str, str]]:
        with self.client().stream("GET", self.url_of(key), headers=headers, follow_redirects=True) as response:
            self.answered(response)
            wanted = 206 if "Range" in headers else 200
            if response.status_code != wanted:
                unasked = wanted == 206 and response.status_code == 200
                return _NO_RANGES if unasked else response.status_code, b"", response.headers
            parts, size = [], 0
            for part in response.iter_raw():
                parts.append(part)
                if (size := size + len(part)) > limit:
                    raise too_large(self.name, key, size, limit)
            return response.status_code, b"".join(parts), response.headers

    def _judge(self, key: str, status: int, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, int]:
        if status == _NO_RANGES:
            raise unreachable(self.name, key, "the whole file from a server that does not know range requests")
        if status not in (200, 206, 416, *_GONE):
            raise unreachable(self.name, key, f"HTTP status {status}")
        total = headers.get("content-range", "").rpartition("/")[2]
        return status, body, int(total) if total.isdigit() else len(body)


class HubPlace(HttpPlace):
    """A folder of a repository on the Hugging Face Hub, at one commit.

    Parameters
    ----------
    url : str
        ``hf://datasets/OWNER/NAME[@REVISION][/FOLDER]``; ``spaces/``, ``models/`` or nothing in place of ``datasets/``.

    Examples
    --------
    >>> HubPlace("hf://datasets/me/traces@v1/a.zarr").url_of("zarr.json")
    'https://huggingface.co/datasets/me/traces/resolve/v1/a.zarr/zarr.json'
    """

    def __init__(self, url: str) -> None:
        parts = _HUB.fullmatch(url.rstrip("/"))
        if parts is None:
            raise StoreError(
                f"open_store cannot read '{url}'; got another form of address, allowed "
                f"hf://datasets/OWNER/NAME[@REVISION][/FOLDER]; correct it"
            )
        kind, self._repo, revision, self._folder = parts.groups()
        self._kind = {"datasets": "dataset", "spaces": "space"}.get(kind)
        self.name, self.revision = url.rstrip("/"), revision or "main"

    def url_of(self, key: str) -> str:  # noqa: D102
        from huggingface_hub import hf_hub_url

        path = f"{self._folder}/{check_key(self.name, key)}" if self._folder else check_key(self.name, key)
        return hf_hub_url(self._repo, path, repo_type=self._kind, revision=self.revision)

    def client(self) -> Any:  # noqa: D102
        from huggingface_hub import get_session

        return get_session()

    def headers(self) -> dict[str, str]:  # noqa: D102
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        return super().headers() | build_hf_headers(library_name="dit-lens")

    def answered(self, response: Any) -> None:  # noqa: D102
        first = response.history[0] if response.history else response  # the Hub tells it before it sends us on
        if commit := first.headers.get("x-repo-commit") or response.headers.get("x-repo-commit"):
            self.revision = commit


class ObjectPlace(Place):
    """A folder of a bucket: ``s3://`` and its kin; access comes from the usual environment variables.

    Parameters
    ----------
    url : str
    """

    remote: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        self.name, self._url = shown(url), url
        self._lock = threading.Lock()
        self._opened: Any = None
        _require("obstore", url, "s3")

    def read(self, key: str, limit: int) -> bytes | None:  # noqa: D102
        return self._get(key, None, limit)

    def read_range(self, key: str, start: int, length: int) -> bytes | None:  # noqa: D102
        return self._get(key, (start, start + length), length) if length else b""

    def read_tail(self, key: str, length: int) -> bytes | None:  # noqa: D102
        return self._get(key, {"suffix": length}, length)

    def size(self, key: str) -> int | None:  # noqa: D102
        import obstore

        found = self._call(key, lambda: obstore.head(self._store(), check_key(self.name, key)))
        return None if found is None else int(found["size"])

    def _get(self, key: str, part: object, limit: int) -> bytes | None:
        import obstore

        options: Any = {"range": part} if part else {}
        found = self._call(key, lambda: obstore.get(self._store(), check_key(self.name, key), options=options))
        if found is None:
            return None
        first, last = found.range
        if last - first > limit:
            raise too_large(self.name, key, last - first, limit)
        content: bytes | None = self._call(key, lambda: bytes(found.bytes()))
        return content

    def _call(self, key: str, function: Callable[[], Any]) -> Any:
        import obstore

        try:
            return function()
        except StoreError:
            raise
        except FileNotFoundError:
            return None
        except (obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise unreachable(self.name, key, error) from None

    def _store(self) -> Any:
        with self._lock:
            if self._opened is None:
                from obstore.store import from_url

                self._opened = from_url(self._url)
            return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["url"])  # type: ignore[misc]


class FsspecPlace(Place):
    """Whatever fsspec knows, such as ``memory://``.

    Parameters
    ----------
    url : str

    Examples
    --------
    >>> import fsspec
    >>> fsspec.filesystem("memory").pipe("/doc/a", b"0123456789")
    >>> place = FsspecPlace("memory://doc")
    >>> place.read("a", 100), place.read_range("a", 2, 3), place.read_tail("a", 2), place.exists("b")
    (b'0123456789', b'234', b'89', False)
    """

    remote: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.name = shown(url)
        try:
            self._files, self._path = url_to_fs(url)
        except ImportError as error:
            raise StoreError(
                f"open_store cannot read '{self.name}'; got {error}, allowed a scheme whose package is installed; "
                f"install it"
            ) from None
        except OSError as error:  # some ask the server at once
            raise unreachable(self.name, "zarr.json", error) from None
        except ValueError as error:
            schemes = "a path, https, hf, s3, gs, az, memory or another scheme of fsspec"
            raise StoreError(
                f"open_store cannot read '{self.name}'; got {error}, allowed {schemes}; correct it"
            ) from None

    def read(self, key: str, limit: int) -> bytes | None:  # noqa: D102
        found = self._get(key, 0, limit + 1)
        if found is not None and len(found) > limit:
            raise too_large(self.name, key, len(found), limit)
        return found

    def read_range(self, key: str, start: int, length: int) -> bytes | None:  # noqa: D102
        return self._get(key, start, start + length)

    def read_tail(self, key: str, length: int) -> bytes | None:  # noqa: D102
        return self._get(key, -length, None)

    def size(self, key: str) -> int | None:  # noqa: D102
        try:
            info = self._files.info(f"{self._path}/{check_key(self.name, key)}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreachable(self.name, key, error) from None
        return int(info["size"]) if info["type"] == "file" else None

    def _get(self, key: str, start: int, end: int | None) -> bytes | None:
        try:
            return bytes(self._files.cat_file(f"{self._path}/{check_key(self.name, key)}", start=start, end=end))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreachable(self.name, key, error) from None


@lru_cache(maxsize=1)
def _plain_client(_process: int) -> Any:
    """A client that knows nothing of the Hub, neither its token nor its offline mode; one in each process."""
    from huggingface_hub import get_session

    client = type(get_session())(follow_redirects=True, timeout=_TIMEOUT)
    atexit.register(client.close)
    return client


def _client_errors() -> tuple[type[Exception], ...]:
    """What the client raises when nothing answers; its package has changed its name between versions of the Hub's."""
    from huggingface_hub import get_session

    package = import_module(type(get_session()).__module__.partition(".")[0])
    return (package.HTTPError, package.StreamError, OSError)


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0


def _require(package: str, url: str, extra: str) -> None:
    try:
        import_module(package)
    except ImportError:
        raise StoreError(
            f"open_store cannot read '{shown(url)}'; got no package '{package}', allowed an installed one; pip install "
            f"'dit-lens[{extra}]'"
        ) from None

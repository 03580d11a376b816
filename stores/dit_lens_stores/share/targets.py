"""Where a store is pushed to: buckets through obstore, and whatever fsspec knows; the Hub has a module of its own.

A target lists what it holds, with whatever it knows of the content, takes files, and gives small ones back. A file that
is there with the same size and the same hash is not sent again, so a push that was interrupted goes on where it
stopped. S3 keeps the MD5 of what was put in one request, and the MD5 of the MD5s of the parts of a larger file; as the
parts always have one size here, both can be worked out from the file. Where a target keeps no hash, the file is read
back and compared.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from dit_lens_stores.errors import StoreError, Unreachable, close_match
from dit_lens_stores.remote import shown
from dit_lens_stores.share.files import File
from dit_lens_stores.share.retrying import again

__all__ = ["Found", "FsspecTarget", "ObjectTarget", "Target", "target_of"]

PART = 16 * 2**20
_WIDTH, _BLOCK = 8, 4 * 2**20
_MD5 = re.compile(r'"?([0-9a-f]{32}(?:-\d+)?)"?')
_OBJECT_SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss")

Tell = Callable[[int], None]
"""Called with the bytes that are there now, after each file."""


@dataclass(frozen=True)
class Found:
    """A file of a target: its size, and its hash if the target knows one that says something."""

    size: int
    digest: str | None = None


class Target(ABC):
    """Takes the files of a store; made by `target_of`.

    Attributes
    ----------
    name : str
    atomic : bool
        Whether files that are sent together become visible together.
    """

    name: str
    atomic: ClassVar[bool] = False

    @abstractmethod
    def files(self) -> dict[str, Found]:
        """List what is there, by key."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """Return a small file, None if there is none."""

    @abstractmethod
    def holds(self, file: File, found: Found) -> bool:
        """Whether a file of the same key is the same."""

    @abstractmethod
    def send(self, files: Sequence[File], tell: Tell) -> None:
        """Put files; when it returns, all of them are there."""

    @property
    def revision(self) -> str | None:
        """The commit that was made, where there are such."""
        return None

    def prepare(self) -> None:  # noqa: B027
        """Make the place ready to take files; most are."""


class _ByFile(Target):
    """Sends file by file, a few at a time."""

    def send(self, files: Sequence[File], tell: Tell) -> None:
        pool = ThreadPoolExecutor(_WIDTH)
        try:
            for size in pool.map(self._send, files):
                tell(size)
        finally:
            pool.shutdown(cancel_futures=True)

    def holds(self, file: File, found: Found) -> bool:
        if found.size != file.size:
            return False
        if found.digest is not None:
            return found.digest == _etag(file)
        return _sha256(self.blocks(file.key)) == file.sha256

    def _send(self, file: File) -> int:
        again(partial(self.put, file))
        return file.size

    @abstractmethod
    def put(self, file: File) -> None:
        """Put one file."""

    @abstractmethod
    def blocks(self, key: str) -> Iterable[bytes]:
        """Read a file back, piece by piece."""


class ObjectTarget(_ByFile):
    """A folder of a bucket; access comes from the usual environment variables.

    Parameters
    ----------
    url : str
        ``s3://BUCKET/FOLDER``, or ``gs://``, ``az://``.
    """

    schemes: ClassVar[tuple[str, ...]] = _OBJECT_SCHEMES

    def __init__(self, url: str) -> None:
        self.name = shown(url)
        try:
            from obstore.store import from_url
        except ImportError:
            raise StoreError(
                f"push cannot reach '{self.name}'; got no package 'obstore', allowed an installed one; pip install "
                f"'dit-lens[s3]'"
            ) from None
        self._store: Any = self._call(lambda: from_url(url.rstrip("/")))

    def files(self) -> dict[str, Found]:  # noqa: D102
        import obstore

        listed = self._call(lambda: [one for page in obstore.list(self._store) for one in page])
        return {str(one["path"]): Found(int(one["size"]), _md5(one.get("e_tag"))) for one in listed}

    def read(self, key: str) -> bytes | None:  # noqa: D102
        import obstore

        return self._call(lambda: _if_there(lambda: bytes(obstore.get(self._store, key).bytes())))  # type: ignore[no-any-return]

    def put(self, file: File) -> None:  # noqa: D102
        import obstore

        with file.open() as content:
            large = file.size > PART
            self._call(lambda: obstore.put(self._store, file.key, content, use_multipart=large, chunk_size=PART))

    def blocks(self, key: str) -> Iterable[bytes]:  # noqa: D102
        import obstore

        return map(bytes, self._call(lambda: obstore.get(self._store, key)).stream(_BLOCK))

    def _call(self, function: Callable[[], Any]) -> Any:
        import obstore.exceptions as known

        try:
            return function()
        except (known.PermissionDeniedError, known.UnauthenticatedError, PermissionError) as error:
            raise no_access(self.name, error, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
        except (known.BaseError, OSError, ValueError) as error:
            if "credential" in str(error).lower() or "/latest/api/token" in str(
                error
            ):  # it looked for a cloud machine's own
                raise no_access(
                    self.name, "no credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                ) from None
            if "NoSuchBucket" in str(error):
                raise Unreachable(
                    f"push to '{self.name}' stopped; got no such bucket, allowed one that is there; make it first"
                ) from None
            raise failed(self.name, error) from None  # obstore itself has asked again for minutes


class FsspecTarget(_ByFile):
    """A folder of a file system of fsspec.

    Parameters
    ----------
    url : str

    Examples
    --------
    >>> target = FsspecTarget("memory://doc-target")
    >>> target.send([File("t0/a", data=b"123")], lambda size: None)
    >>> target.files(), target.read("t0/a"), target.holds(File("t0/a", data=b"124"), Found(3))
    ({'t0/a': Found(size=3, digest=None)}, b'123', False)
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.name = shown(url)
        try:
            self._files, path = url_to_fs(
                url.rstrip("/"), **({"auto_mkdir": True} if url.startswith("file://") else {})
            )
        except ImportError as error:
            raise StoreError(
                f"push cannot reach '{self.name}'; got {error}, allowed a scheme whose package is installed; install it"
            ) from None
        except ValueError as error:
            raise unknown_scheme(self.name, error) from None
        self._path = path.rstrip("/")

    def files(self) -> dict[str, Found]:  # noqa: D102
        self._files.invalidate_cache()
        listed = self._call(lambda: self._files.find(self._path, detail=True))
        return {path.removeprefix(self._path).lstrip("/"): Found(int(info["size"])) for path, info in listed.items()}

    def read(self, key: str) -> bytes | None:  # noqa: D102
        return self._call(lambda: _if_there(lambda: bytes(self._files.cat_file(f"{self._path}/{key}"))))  # type: ignore[no-any-return]

    def put(self, file: File) -> None:  # noqa: D102
        def write() -> None:
            self._files.makedirs(f"{self._path}/{file.key}".rpartition("/")[0], exist_ok=True)
            with self._files.open(f"{self._path}/{file.key}", "wb") as out:
                for block in file.blocks():
                    out.write(block)

        self._call(write)

    def blocks(self, key: str) -> Iterator[bytes]:  # noqa: D102
        with self._files.open(f"{self._path}/{key}", "rb") as content:
            while block := content.read(_BLOCK):
                yield block

    def _call(self, function: Callable[[], Any]) -> Any:
        try:
            return again(function)
        except PermissionError as error:
            raise no_access(self.name, error, "set what the scheme needs") from None
        except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
            raise StoreError(
                f"push cannot write to '{self.name}'; got {error.strerror or _short(error)}, allowed a place where "
                f"folders can be made; choose another target"
            ) from None
        except OSError as error:
            raise failed(self.name, error) from None


def target_of(url: str, private: bool = False) -> Target:
    """Find the target that an address names.

    Parameters
    ----------
    url : str
        ``hf://datasets/OWNER/NAME[@REVISION][/FOLDER]``, ``s3://BUCKET/FOLDER`` and its kin, ``file://``,
        ``memory://`` and whatever else fsspec knows.
    private : bool
        Make a repository of the Hub that is not there yet a private one.

    Returns
    -------
    Target

    Raises
    ------
    StoreError
        If the scheme is unknown, or needs a package that is not installed.

    Examples
    --------
    >>> target_of("memory://doc-target").name
    'memory://doc-target'
    >>> target_of("owner/name")
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.StoreError: push cannot reach 'owner/name'; got no scheme, allowed hf, s3, gs, az, ...
    """
    scheme, mark, _ = url.partition("://")
    if not mark:
        raise unknown_scheme(url, "no scheme")
    if scheme == "hf":
        from dit_lens_stores.share.hub import HubTarget

        return HubTarget(url, private=private)
    if scheme in ("http", "https"):
        raise unknown_scheme(url, "a web server, which is only read")
    return ObjectTarget(url) if scheme in _OBJECT_SCHEMES else FsspecTarget(url)


def unknown_scheme(url: str, got: object) -> StoreError:
    """Make the error for an address that nothing can be pushed to."""
    known = ("hf", "s3", "gs", "az", "file", "memory")
    hint = close_match(url.partition("://")[0], known) or "; write hf://datasets/OWNER/NAME or s3://BUCKET/FOLDER"
    return StoreError(
        f"push cannot reach '{url}'; got {_short(got)}, allowed {', '.join(known)} or another scheme of fsspec{hint}"
    )


def no_access(name: str, got: object, remedy: str) -> StoreError:
    """Make the error for a target that does not let us in."""
    return Unreachable(f"push has no access to '{name}'; got {_short(got)}, allowed your own; {remedy}")


def failed(name: str, error: object) -> StoreError:
    """Make the error for a target that does not answer."""
    return Unreachable(
        f"push to '{name}' stopped; got {_short(error)}, allowed an answer; run the same command again, it goes on "
        f"where it stopped"
    )


def _short(problem: object) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__


def _if_there(function: Callable[[], bytes]) -> bytes | None:
    try:
        return function()
    except FileNotFoundError:
        return None


def _md5(tag: str | None) -> str | None:
    known = _MD5.fullmatch(tag or "")
    return known[1] if known else None


def _etag(file: File) -> str:
    """What S3 says of a file that was put by us."""
    digests = [hashlib.md5(part, usedforsecurity=False) for part in file.blocks(PART)]
    if file.size <= PART:
        return digests[0].hexdigest() if digests else hashlib.md5(usedforsecurity=False).hexdigest()
    whole = hashlib.md5(b"".join(part.digest() for part in digests), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(digests)}"


def _sha256(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()

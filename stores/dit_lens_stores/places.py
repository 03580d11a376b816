"""Where a store lies: a folder, a zip, or an address, all read through the same few calls.

A ``Place`` gives the bytes behind a key, such as ``t0/zarr.json``, whole or in part. A key is checked before anything
is opened: it cannot climb out of its place, and in a folder neither can a link. Whoever asks for a whole file says how
large it may be, so that a file that lies about what it is cannot fill the memory. Nothing here writes.
"""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import RawIOBase
from pathlib import Path
from typing import ClassVar, TypeVar

from dit_lens_stores.errors import Corrupt, StoreError, Unreachable

__all__ = ["MAX_METADATA", "LocalPlace", "Place", "check_key", "place_of", "side_by_side"]

MAX_METADATA = 64 * 2**20
"""Largest ``zarr.json`` that is read, in bytes."""
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL)
_REMOTE_WIDTH, _LOCAL_WIDTH = 16, 4

Item = TypeVar("Item")
Result = TypeVar("Result")


class Place(ABC):
    """Gives the bytes behind the keys of a store; made by `place_of`.

    Attributes
    ----------
    name : str
        The place as it is named in messages; holds no password and no signature.
    remote : bool
        Whether a request is slow, so that many are made side by side and what does not change is kept.
    """

    name: str
    remote: ClassVar[bool] = False

    @abstractmethod
    def read(self, key: str, limit: int) -> bytes | None:
        """Return a whole file, None if there is none; raise `Corrupt` if it is larger than ``limit`` bytes."""

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return a part of a file, shorter if the file ends before; None if there is no file."""

    @abstractmethod
    def read_tail(self, key: str, length: int) -> bytes | None:
        """Return the last bytes of a file, all of them if it is shorter; None if there is no file."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Return the size of a file in bytes, None if there is none."""

    def exists(self, key: str) -> bool:
        """Tell whether there is a file behind a key."""
        return self.size(key) is not None

    def stamp(self, key: str) -> object:
        """Return something that changes when the file does; None means that it is not looked at again."""
        return None

    def what_is_there(self) -> str:
        """Say what is found at the place itself, for the message that it is no store."""
        return "nothing"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}'>"


class LocalPlace(Place):
    """A folder on this machine.

    Parameters
    ----------
    path : pathlib.Path

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "a").write_bytes(b"0123456789")
    >>> place = LocalPlace(folder)
    >>> place.read("a", 100), place.read_range("a", 2, 3), place.read_tail("a", 2), place.read("b", 100)
    (b'0123456789', b'234', b'89', None)
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        self._root = os.path.realpath(path)

    def read(self, key: str, limit: int) -> bytes | None:  # noqa: D102
        size = self.size(key)
        if size is None:
            return None
        if size > limit:
            raise too_large(self.name, key, size, limit)
        return self._pread(key, 0, limit)

    def read_range(self, key: str, start: int, length: int) -> bytes | None:  # noqa: D102
        return self._pread(key, start, length)

    def read_tail(self, key: str, length: int) -> bytes | None:  # noqa: D102
        size = self.size(key)
        return None if size is None else self._pread(key, max(0, size - length), length)

    def size(self, key: str) -> int | None:  # noqa: D102
        try:
            state = self._inside(key).stat()
        except OSError as error:
            self._refuse_unless_nothing(key, error)
            return None
        return state.st_size if stat.S_ISREG(state.st_mode) else None

    def stamp(self, key: str) -> object:  # noqa: D102
        try:
            state = self._inside(key).stat()
        except OSError:
            return 0
        return state.st_ino, state.st_mtime_ns, state.st_size

    def what_is_there(self) -> str:  # noqa: D102
        if not self.path.exists():
            return "nothing"
        return "a folder that is no Zarr group" if self.path.is_dir() else "a file"

    def _inside(self, key: str) -> Path:
        full = os.path.realpath(f"{self._root}/{check_key(self.name, key)}")
        if not full.startswith(self._root.rstrip(os.sep) + os.sep):
            raise Corrupt(
                f"reading '{key}' of '{self.name}' refused; got a link out of the folder, allowed files inside it; put "
                f"a copy of the file in its place"
            )
        return Path(full)

    def _pread(self, key: str, start: int, length: int) -> bytes | None:
        try:
            path = self._inside(key)
            if not stat.S_ISREG(path.stat().st_mode):
                return None  # opening a pipe would wait for whoever writes to it
            with path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(start)
                return _read_all(file, min(length, max(0, size - start)))
        except OSError as error:
            self._refuse_unless_nothing(key, error)
            return None

    def _refuse_unless_nothing(self, key: str, error: OSError) -> None:
        if error.errno not in _NOTHING_THERE:
            raise unreachable(self.name, key, error) from None


def check_key(place: str, key: str) -> str:
    """Return a key unchanged if it names something inside its place.

    Examples
    --------
    >>> check_key("a.zarr", "t0/x/c/0")
    't0/x/c/0'
    >>> check_key("a.zarr", "../secret")
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.Corrupt: reading '../secret' of 'a.zarr' refused; got a name that leads out of it, ...
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in key or "\0" in key:
        raise Corrupt(
            f"reading {key!r} of '{place}' refused; got a name that leads out of it, allowed names inside the store; "
            f"get the store from somebody you trust"
        )
    return key


def place_of(store: str | Path | Place) -> Place:
    """Find the place that a path or an address names.

    Parameters
    ----------
    store : str, pathlib.Path or Place
        A folder, a ``.zip`` of one, or an address: ``https://``, ``s3://``, ``hf://``, ``file://``, ``memory://`` and
        whatever else fsspec knows.

    Returns
    -------
    Place

    Raises
    ------
    StoreError
        If the scheme is unknown, or needs a package that is not installed.

    Examples
    --------
    >>> place_of("runs/a.zarr").name
    'runs/a.zarr'
    >>> place_of("memory://a.zarr").remote
    True
    """
    if isinstance(store, Place):
        return store
    if isinstance(store, str) and store.startswith("file://"):
        store = Path(store.removeprefix("file://"))
    if isinstance(store, str) and "://" in store:
        from dit_lens_stores.remote import remote_place

        return remote_place(store)
    path = Path(store)
    if path.suffix == ".zip" and path.is_file():
        from dit_lens_stores.zipped import ZipPlace

        return ZipPlace(LocalPlace(path.parent), path.name, str(path), path)
    return LocalPlace(path)


def side_by_side(
    place: Place, function: Callable[[Item], Result], items: Iterable[Item], heavy: bool = False
) -> list[Result]:
    """Call a function for every item, in threads where that is worth it; the results are in order.

    Parameters
    ----------
    place : Place
        Remote ones are asked by many threads, since most of the time is waiting.
    function : callable
    items : iterable
    heavy : bool
        Whether there is enough to decode that threads help on this machine as well.

    Examples
    --------
    >>> side_by_side(place_of("a.zarr"), str.upper, ["a", "b"])
    ['A', 'B']
    """
    items = list(items)
    local = min(_LOCAL_WIDTH, os.cpu_count() or 1) if heavy else 1
    width = min(len(items), _REMOTE_WIDTH if place.remote else local)
    if width < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(width) as pool:
        return list(pool.map(function, items))


def too_large(place: str, key: str, size: int, limit: int) -> StoreError:
    """Make the error for a file that is larger than what it should hold."""
    return Corrupt(
        f"reading '{key}' of '{place}' refused; got {size} bytes or more, allowed {limit}; copy the "
        f"file again, or get the store from somebody you trust"
    )


def unreachable(place: str, key: str, error: object) -> StoreError:
    """Make the error for a place that does not answer."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return Unreachable(
        f"reading '{key}' of '{place}' failed; got {reason}, allowed an answer; check the address and your access, and "
        f"try again"
    )


def _read_all(file: RawIOBase, length: int) -> bytes:
    """One read of the kernel stops short at 2 GB."""
    parts, left = [], length
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)

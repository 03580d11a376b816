"""A store inside a zip, read in place: members are stored, not deflated, so a part of one is a part of the zip.

The zip may lie in a folder or behind an address. A zip that holds a name which leads out of it, one name twice,
members that share their bytes, or compressed members was not made by packing a store, and is refused whole; so there
is nothing that could unpack to more than its own size.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

from dit_lens_stores.errors import Corrupt, NotAStore
from dit_lens_stores.places import Place, check_key, too_large

__all__ = ["ZipPlace"]

_HEADER = struct.Struct("<4s5H3I2H")
_LONGEST = 255  # bytes of the name of a file or folder
_WINDOW = 64 * 1024  # the directory of a zip is read in pieces of this size at least


class ZipPlace(Place):
    """A zip of a store.

    Parameters
    ----------
    inner : Place
        Where the zip lies.
    key : str
        Its name there.
    name : str
        For messages.
    path : pathlib.Path, optional
        If it is a file of this machine.

    Examples
    --------
    >>> import zipfile
    >>> from dit_lens_stores.places import LocalPlace
    >>> folder = getfixture("tmp_path")
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as made:
    ...     made.writestr("zarr.json", "0123456789")
    >>> place = ZipPlace(LocalPlace(folder), "a.zip", "a.zip")
    >>> place.read("zarr.json", 100), place.read_tail("zarr.json", 2), place.exists("x")
    (b'0123456789', b'89', False)
    """

    def __init__(self, inner: Place, key: str, name: str, path: Path | None = None) -> None:
        self.inner, self.key, self.name, self.path = inner, key, name, path
        self.remote = inner.remote  # type: ignore[misc]
        self._starts: dict[str, int] = {}

    def read(self, key: str, limit: int) -> bytes | None:  # noqa: D102
        size = self.size(key)
        if size is not None and size > limit:
            raise too_large(self.name, key, size, limit)
        return None if size is None else self._part(key, 0, size)

    def read_range(self, key: str, start: int, length: int) -> bytes | None:  # noqa: D102
        size = self.size(key)
        return None if size is None else self._part(key, start, max(0, min(length, size - start)))

    def read_tail(self, key: str, length: int) -> bytes | None:  # noqa: D102
        size = self.size(key)
        return None if size is None else self._part(key, max(0, size - length), min(length, size))

    def size(self, key: str) -> int | None:  # noqa: D102
        info = self.members.get(check_key(self.name, key))
        return None if info is None else info.file_size

    def stamp(self, key: str) -> object:  # noqa: D102
        return self.inner.stamp(self.key)

    def what_is_there(self) -> str:  # noqa: D102
        return "a zip of something else"

    @cached_property
    def members(self) -> dict[str, zipfile.ZipInfo]:
        """The directory of the zip, by key."""
        try:
            with zipfile.ZipFile(io.BufferedReader(_ZipFile(self.inner, self.key), _WINDOW)) as opened:
                found = [info for info in opened.infolist() if not info.is_dir()]
        except (
            zipfile.BadZipFile,
            struct.error,
            NotImplementedError,
            UnicodeDecodeError,
            ValueError,
            EOFError,
        ) as error:
            if isinstance(error, Corrupt):
                raise
            raise NotAStore(
                f"open_store found no store at '{self.name}'; got a zip that cannot be read ({error}), allowed a zip "
                f"of a dit-lens store; copy it again"
            ) from None
        self._check(found)
        prefix = _prefix([info.filename for info in found])
        return {info.filename.removeprefix(prefix): info for info in found}

    def _check(self, found: list[zipfile.ZipInfo]) -> None:
        for info in found:
            check_key(self.name, info.filename)
            if max(len(os.fsencode(part)) for part in info.filename.split("/")) > _LONGEST:
                raise self._refused("a name that no disk holds", f"at most {_LONGEST} bytes; pack the store again")
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
                raise self._refused(f"a compressed member '{info.filename}'", "stored ones; pack the store again")
        names = [info.filename for info in found]
        if len(set(names)) != len(names):
            raise self._refused("one name twice", "each name once; pack the store again")
        folders = {folder for name in names for folder in _folders(name)}
        if both := folders.intersection(names):
            raise self._refused(f"a file and a folder '{min(both)}'", "one of the two; pack the store again")
        self._check_extent(found)

    def _check_extent(self, found: list[zipfile.ZipInfo]) -> None:
        """Members that share bytes could together be far larger than the zip."""
        size = self.inner.size(self.key) or 0
        shared = len({info.header_offset for info in found}) != len(found)
        if shared or sum(info.file_size for info in found) > size:
            raise self._refused("members that share their bytes", "bytes of their own; pack the store again")

    def _refused(self, got: str, allowed: str) -> Corrupt:
        return Corrupt(f"open_store refused the zip '{self.name}'; got {got}, allowed {allowed}")

    def _part(self, key: str, start: int, length: int) -> bytes:
        found = self.inner.read_range(self.key, self._start(key) + start, length) if length else b""
        return found or b""

    def _start(self, key: str) -> int:
        """Where the bytes of a member begin, behind its local header."""
        if key not in self._starts:
            info = self.members[key]
            head = self.inner.read_range(self.key, info.header_offset, _HEADER.size) or b""
            fields: tuple[Any, ...] = _HEADER.unpack(head) if len(head) == _HEADER.size else (b"",)
            if fields[0] != b"PK\x03\x04":
                raise self._refused(f"no member '{key}' where its directory says", "a whole zip; copy it again")
            self._starts[key] = info.header_offset + _HEADER.size + fields[-2] + fields[-1]
        return self._starts[key]


class _ZipFile(io.RawIOBase):
    """The zip as a file that can be read anywhere, which is what Python's own reader of zips wants."""

    def __init__(self, place: Place, key: str) -> None:
        self._place, self._key, self._at = place, key, 0
        size, tail = place.size(key), place.read_tail(key, _WINDOW)
        if size is None or tail is None:
            raise NotAStore(
                f"open_store found no store at '{place.name}/{key}'; got nothing, allowed a dit-lens store; check the "
                f"path"
            )
        self._tail, self._length = tail, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._length)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._length - self._at))
        inside = self._at - (self._length - len(self._tail))
        if inside >= 0:
            found = self._tail[inside : inside + wanted]
        else:
            found = self._place.read_range(self._key, self._at, wanted) or b"" if wanted else b""
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def _folders(name: str) -> list[str]:
    """The folders above a file."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _prefix(names: list[str]) -> str:
    """Whoever zips the folder by hand gets its name in front of all names."""
    first = {name.partition("/")[0] for name in names}
    if "zarr.json" in names or len(first) != 1 or f"{(only := first.pop())}/zarr.json" not in names:
        return ""
    return f"{only}/"

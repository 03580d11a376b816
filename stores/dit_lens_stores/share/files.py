"""The files of a store in the order in which they may be copied, so that nobody reads a trace that is not whole.

Values go first, then the marks that say what of them is there and the metadata of arrays, then that of the traces, and
the root with the index last: until it is there, a store that is being copied is no store yet, or the one that it was
before. What a killed process or somebody else left in the folder is not part of the store and is not copied.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from dit_lens_stores.errors import Corrupt, NotDone, few
from dit_lens_stores.members import Members
from dit_lens_stores.nodes import read_group
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.schema import DONE_SUFFIX, SUMS
from dit_lens_stores.vectors import Contents

__all__ = [
    "CARD",
    "CROISSANT",
    "ROOT",
    "File",
    "check_complete",
    "is_extra",
    "is_part",
    "phase_of",
    "store_files",
    "total",
]

CARD, CROISSANT = "README.md", "croissant.json"
ROOT = "zarr.json"
_NAME = r"[^/\\\x00-\x1f\x7f]+"
_KEY = re.compile(
    rf"zarr\.json|[a-z0-9][a-z0-9._-]*/(?:{_NAME}/)?zarr\.json|[a-z0-9][a-z0-9._-]*/{_NAME}/c(?:/[0-9]+)*"
)
_BLOCK = 2**20


@dataclass(frozen=True)
class File:
    """A file to be copied: its key in the store, and where its bytes are.

    Attributes
    ----------
    key : str
    path : pathlib.Path, optional
    data : bytes
        Its content, if it has no path.

    Examples
    --------
    >>> File("a", data=b"abc").size, File("a", data=b"abc").sha256[:8]
    (3, 'ba7816bf')
    """

    key: str
    path: Path | None = None
    data: bytes = b""

    @cached_property
    def size(self) -> int:
        """Its size in bytes."""
        return self.path.stat().st_size if self.path else len(self.data)

    @cached_property
    def sha256(self) -> str:
        """Its sha256, read once."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, size: int = _BLOCK) -> Iterator[bytes]:
        """Its bytes, piece by piece."""
        if self.path is None:
            yield from (self.data[at : at + size] for at in range(0, len(self.data), size))
            return
        with self.path.open("rb") as file:
            while block := file.read(size):
                yield block

    def open(self) -> IO[bytes]:
        """Open it for reading."""
        import io

        return self.path.open("rb") if self.path else io.BytesIO(self.data)


def phase_of(key: str) -> int:
    """Tell how late a file may be copied: 0 values, 1 marks and arrays, 2 traces, 3 what goes with a store, 4 its root.

    Examples
    --------
    >>> [phase_of(key) for key in ("t0/x/c/0/0", "t0/x_done/c/0", "t0/zarr.json", "README.md", "zarr.json")]
    [0, 1, 2, 3, 4]
    """
    if is_extra(key):
        return 3
    if key.rpartition("/")[2] == ROOT:
        return {0: 4, 1: 2}.get(key.count("/"), 1)
    return int(f"{DONE_SUFFIX}/c/" in f"{key}/")


def is_extra(key: str) -> bool:
    """Whether a key is what goes with a store: checksums, card, croissant.

    Examples
    --------
    >>> is_extra("README.md"), is_extra("t0/README.md")
    (True, False)
    """
    return key in (SUMS, CARD, CROISSANT)


def is_part(key: str) -> bool:
    """Whether a key can be one of a store; a name that leads elsewhere never is.

    Examples
    --------
    >>> [is_part(key) for key in ("t0/x/c/0/1", "t0/x/zarr.json", "t0/x/c/0/1.partial", "../zarr.json", "notes.txt")]
    [True, True, False, False, False]
    """
    names = key.split("/")
    return bool(_KEY.fullmatch(key)) and not any(name in ("", ".", "..") for name in names)


def store_files(store: StoreReader) -> list[File]:
    """List the files of a store in a folder, in the order in which they may be copied.

    Parameters
    ----------
    store : Store
        Its index is read once, so traces that are begun meanwhile are not part of what is copied.

    Returns
    -------
    list of File

    Raises
    ------
    Corrupt
        If there is a link among them, or metadata are not what the format allows.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> [file.key for file in store_files(create_store(getfixture("tmp_path") / "a.zarr"))]
    ['zarr.json']
    """
    root = File(ROOT, data=(store.path / ROOT).read_bytes())
    found = [file for trace in store.traces for file in _trace_files(store, trace)]
    return sorted([*found, root], key=lambda file: (phase_of(file.key), file.key))


def check_complete(store: StoreReader, action: str, remedy: str) -> None:
    """Refuse a store with traces that are not complete.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> check_complete(create_store(getfixture("tmp_path") / "a.zarr"), "pack", "trace them again")
    """
    unfinished = [trace for trace in store.traces if store.status(trace) != "complete"]
    if unfinished:
        raise NotDone(
            f"{action} refused '{store.url}'; got traces that are not complete ({few(unfinished, 3)}), allowed "
            f"complete ones; {remedy}"
        )


def total(files: Iterable[File]) -> int:
    """Add up sizes.

    Examples
    --------
    >>> total([File("a", data=b"ab"), File("b", data=b"c")])
    3
    """
    return sum(file.size for file in files)


def _trace_files(store: StoreReader, trace: str) -> Iterator[File]:
    """The files of a trace that somebody reads, and therefore checks."""
    attributes = read_group(store.place, trace)
    if attributes is None:
        return
    members = Members(Contents(store.place, trace, attributes))
    for key, path in _walk(store.path, trace):
        if is_part(key) and members.hold(key.partition("/")[2]):
            yield File(key, path)


def _walk(store: Path, trace: str) -> Iterator[tuple[str, Path]]:
    """Every file in the folder of a trace; a link is refused, it may lead out of the store."""
    for folder, folders, names in os.walk(store / trace):
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.is_symlink():
                raise Corrupt(
                    f"copying '{store}' refused '{path.relative_to(store).as_posix()}'; got a link, allowed files and "
                    f"folders; put a copy of what it names in its place"
                )
        yield from ((Path(folder, name).relative_to(store).as_posix(), Path(folder, name)) for name in names)

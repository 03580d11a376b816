"""Write the files of an array ourselves: one chunk, or a shard of inner chunks with an index at its end.

Zarr's own writer needs several copies of a shard and many small tasks for its chunks; this one codes a chunk, appends
it and forgets it. A chunk is little-endian bytes, compressed by blosc if the array says so, and their crc32c. A shard
ends with its index, two 64-bit numbers (offset, length) for every inner chunk in C order, all ones where there is
none, and the crc32c of the index: the codec ``sharding_indexed`` of Zarr v3. A file appears under its name by a
rename, whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import Blosc

__all__ = ["PARTIAL", "ChunkCoder", "write_chunk", "write_shard"]

Values = npt.NDArray[Any]

PARTIAL = ".partial"
_ABSENT = 2**64 - 1
_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


class ChunkCoder:
    """Codes chunks as the array's metadata says: bytes, blosc or not, crc32c or not.

    Parameters
    ----------
    blosc : mapping or None
        As `dit_lens_stores.layout.blosc_options` gives it.
    checksum : bool

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> ChunkCoder(None).append(file, np.zeros(4, np.float32)), len(file.getvalue())
    (20, 20)
    """

    def __init__(self, blosc: Mapping[str, Any] | None, checksum: bool = True) -> None:
        self._checksum = checksum
        self._blosc = Blosc(**{**blosc, "shuffle": _SHUFFLES[blosc["shuffle"]]}) if blosc else None

    def append(self, file: BinaryIO, chunk: Values) -> int:
        """Code one chunk, write it, and return its length in bytes."""
        little = np.ascontiguousarray(chunk, dtype=chunk.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        coded = np.frombuffer(self._blosc.encode(little), np.uint8) if self._blosc else little
        return _append(file, coded, self._checksum)


def write_chunk(path: Path, chunk: Values, coder: ChunkCoder, fsync: bool = False) -> None:
    """Write the file of an array whose shards are single chunks.

    Parameters
    ----------
    path : pathlib.Path
    chunk : array
    coder : ChunkCoder
    fsync : bool
        Wait until the disk has it, so that it survives a power cut.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "0"
    >>> write_chunk(path, np.zeros(2, np.uint16), ChunkCoder(None))
    >>> path.stat().st_size
    8
    """
    with _replaced(path, fsync) as file:
        coder.append(file, chunk)


def write_shard(
    path: Path, chunks: Iterable[tuple[int, Values]], count: int, coder: ChunkCoder, fsync: bool = False
) -> None:
    """Write a shard; never more than one coded chunk of it is in memory.

    Parameters
    ----------
    path : pathlib.Path
    chunks : iterable of (int, array)
        The place of each inner chunk in C order, and its values; chunks that are left out are absent.
    count : int
        How many inner chunks the shard has room for.
    coder : ChunkCoder
    fsync : bool

    Examples
    --------
    >>> path = getfixture("tmp_path") / "0"
    >>> write_shard(path, [(1, np.zeros(2, np.uint16))], 2, ChunkCoder(None))
    >>> path.stat().st_size  # a chunk of 4 + 4 bytes, an index of 2 x 16 + 4
    44
    """
    index, end = np.full((count, 2), _ABSENT, "<u8"), 0
    with _replaced(path, fsync) as file:
        for place, chunk in chunks:
            size = coder.append(file, chunk)
            index[place] = end, size
            end += size
        _append(file, index.reshape(-1).view(np.uint8), checksum=True)


def _append(file: BinaryIO, data: npt.NDArray[np.uint8], checksum: bool) -> int:
    file.write(data.data)
    if not checksum:
        return len(data)
    file.write(google_crc32c.value(data).to_bytes(4, "little"))
    return len(data) + 4


@contextmanager
def _replaced(path: Path, fsync: bool) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when all of it was written; nothing is left if it was not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as file:
            yield file
            if fsync:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # the error that comes from above says more
            partial.unlink()
        raise
    if fsync:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Write the files of an array ourselves: one chunk, or a shard of inner chunks with an index at its end.

Zarr's own writer needs several copies of a shard and many small tasks for its chunks; this one codes a chunk, appends
it and forgets it, and a thread beside it writes what was coded while the next chunk is. A chunk is little-endian bytes,
compressed by blosc if the array says so, and their crc32c. A shard ends with its index, two 64-bit numbers (offset,
length) for every inner chunk in C order, all ones where there is none, and the crc32c of the index: the codec
``sharding_indexed`` of Zarr v3. A file appears under its name by a rename, whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dit_lens_stores.appending import Buffer, appending
from dit_lens_stores.encodings import widened
from dit_lens_stores.frames import FrameCoder

__all__ = ["PARTIAL", "ChunkCoder", "write_chunk", "write_shard"]

Values = npt.NDArray[Any]

PARTIAL = ".partial"
_ABSENT = 2**64 - 1


class ChunkCoder:
    """Codes chunks as the array's metadata says: bytes, blosc or not, crc32c or not.

    Parameters
    ----------
    blosc : mapping or None
        As `dit_lens_stores.layout.blosc_options` gives it.
    checksum : bool
    dtype : str, optional
        Of the stored values. Chunks of uint16 are bit patterns of bfloat16 where it is float32.

    Examples
    --------
    >>> ChunkCoder(None, dtype="float32").encode(np.array([0x3F80], np.uint16))[0].tobytes().hex()
    '0000803f'
    """

    def __init__(self, blosc: Mapping[str, Any] | None, checksum: bool = True, dtype: str = "") -> None:
        self.checksum, self._dtype = checksum, dtype
        self._frames = FrameCoder(blosc) if blosc else None

    @property
    def compresses(self) -> bool:
        """Whether coding takes time."""
        return self._frames is not None

    def encode(self, chunk: Values) -> list[Buffer]:
        """Code a chunk, but for its crc32c, which whoever writes it adds."""
        little = np.ascontiguousarray(chunk, dtype=chunk.dtype.newbyteorder("<")).reshape(-1)
        if self._frames:
            return self._frames.encode(little)
        return [widened(little, self._dtype).view(np.uint8).data]


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
    with _replaced(path, fsync) as file, appending(file) as append:
        append(coder.encode(chunk), coder.checksum)


def write_shard(
    path: Path, chunks: Iterable[tuple[int, Values]], count: int, coder: ChunkCoder, fsync: bool = False
) -> None:
    """Write a shard; only a few coded chunks of it are in memory.

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
    with _replaced(path, fsync) as file, appending(file, beside=coder.compresses) as append:
        for place, chunk in chunks:
            size = append(coder.encode(chunk), coder.checksum)
            index[place] = end, size
            end += size
        append([index.tobytes()], True)


@contextmanager
def _replaced(path: Path, fsync: bool) -> Iterator[FileIO]:
    """Open a file that takes its name only when all of it was written; nothing is left if it was not."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        with _opened(partial) as file:
            yield file
            if fsync:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # the error that comes from above says more
            partial.unlink()
        raise
    if fsync:
        _sync_folder(path.parent)


def _opened(path: Path) -> FileIO:
    """Open a file to write it; its folder is made when it is found missing, not looked for before every file."""
    try:
        return path.open("wb", buffering=0)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb", buffering=0)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

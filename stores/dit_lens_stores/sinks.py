"""Where the shards of an array go: files that we write ourselves, or a Zarr store of any other kind.

A local folder gets the fast way. Anything else (memory, an object store) is written through zarr-python, in one
assignment per shard.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import LocalStore

from dit_lens_stores.encodings import widened
from dit_lens_stores.layout import Layout
from dit_lens_stores.shard_file import ChunkCoder, write_chunk, write_shard
from dit_lens_stores.tiles import Tiles

__all__ = ["MarksFile", "Sink", "sink_of"]

Values = npt.NDArray[Any]
Positions = tuple[int, ...]

_UNCOMPRESSED = ChunkCoder(None)


class Sink(Protocol):
    """Puts the events of one shard in place, whole.

    Examples
    --------
    >>> class Lists:
    ...     def put(self, shard, tiles, values):
    ...         self.chunks = list(tiles.chunks(values))
    >>> sink: Sink = Lists()
    """

    def put(self, shard: Positions, tiles: Tiles, values: Mapping[Positions, Values]) -> None:
        """Write the shard at an index of the shard grid along the event dimensions; it replaces what was there."""


def sink_of(array: zarr.Array[Any], layout: Layout, coder: ChunkCoder, fsync: bool = False) -> Sink:
    """Return the fastest sink for an array.

    Examples
    --------
    >>> array = zarr.create_array({}, shape=(2,), chunks=(2,), dtype="uint8")
    >>> type(sink_of(array, Layout((2,), (2,), (2,)), ChunkCoder(None))).__name__
    '_ZarrSink'
    """
    if isinstance(array.store, LocalStore):
        return _FileSink(array, layout, coder, fsync)
    return _ZarrSink(array, layout)


class MarksFile:
    """The done marks of an array on disk: one chunk, replaced whole.

    Parameters
    ----------
    array : zarr.Array
    fsync : bool

    Examples
    --------
    >>> array = zarr.create_array({}, shape=(2,), chunks=(2,), dtype="uint8")
    >>> MarksFile(array).put(np.array([1, 0], np.uint8))
    >>> array[...]
    array([1, 0], dtype=uint8)
    """

    def __init__(self, array: zarr.Array[Any], fsync: bool = False) -> None:
        self._array, self._fsync = array, fsync
        self._file = _file_of(array, (0,) * array.ndim) if isinstance(array.store, LocalStore) else None

    def put(self, marks: npt.NDArray[np.uint8]) -> None:
        """Replace all marks."""
        if self._file:
            write_chunk(self._file, marks, _UNCOMPRESSED, self._fsync)
        else:
            self._array[...] = marks


class _FileSink:
    def __init__(self, array: zarr.Array[Any], layout: Layout, coder: ChunkCoder, fsync: bool) -> None:
        self._array, self._coder, self._fsync = array, coder, fsync
        self._sharded = layout.shard != layout.chunk

    def put(self, shard: Positions, tiles: Tiles, values: Mapping[Positions, Values]) -> None:
        path = _file_of(self._array, (*shard, *[0] * (self._array.ndim - len(shard))))
        chunks = tiles.chunks(values)
        if self._sharded:
            write_shard(path, chunks, tiles.count, self._coder, self._fsync)
        else:
            write_chunk(path, next(chunks)[1], self._coder, self._fsync)


class _ZarrSink:
    def __init__(self, array: zarr.Array[Any], layout: Layout) -> None:
        self._array, self._layout = array, layout

    def put(self, shard: Positions, tiles: Tiles, values: Mapping[Positions, Values]) -> None:
        index = (*shard, *[0] * (self._array.ndim - len(shard)))
        start = np.multiply(index, self._layout.shard, dtype=np.int64)
        size = np.minimum(self._layout.shard, np.subtract(self._layout.shape, start))
        block = np.full(size, self._array.fill_value, dtype=self._array.dtype)
        for place, chunk in tiles.chunks(values):
            at = np.multiply(np.unravel_index(place, self._layout.counts), self._layout.chunk, dtype=np.int64)
            target = block[_region(at, self._layout.chunk)]
            target[...] = widened(chunk, block.dtype)[_region(np.zeros_like(at), target.shape)]
        self._array[_region(start, size)] = block


def _file_of(array: zarr.Array[Any], index: Positions) -> Path:
    assert isinstance(array.store, LocalStore)
    return Path(array.store.root) / array.path / array.metadata.encode_chunk_key(index)


def _region(start: Any, size: Any) -> tuple[slice, ...]:
    return tuple(slice(int(first), int(first) + int(length)) for first, length in zip(start, size, strict=True))

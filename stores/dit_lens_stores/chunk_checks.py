"""Check the values of an array: every file that its marks promise, and every chunk in it, by its checksum.

A bad chunk is told by the events that are in it and are marked done. One that belongs to nothing that the array holds
is told as well: no byte of a shard may lie outside its chunks and its index.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from dit_lens_stores.decoding import BadBytes, decode_chunk, decode_index, largest_stored
from dit_lens_stores.errors import StoreError
from dit_lens_stores.nodes import ArrayNode
from dit_lens_stores.places import Place
from dit_lens_stores.report import Problem
from dit_lens_stores.schema import WRITTEN
from dit_lens_stores.vectors import Contents

__all__ = ["Values"]

_ABSENT = 2**64 - 1
_SHOWN = 1000  # of one chunk that holds more events, the rest is left out

At = tuple[int, ...]


class Values:
    """Checks arrays of one trace, and counts.

    Parameters
    ----------
    place : Place
    trace : str
    problems : list of Problem
        What is wrong is added here.

    Attributes
    ----------
    files, events, bytes : int
        How much was checked.
    """

    def __init__(self, place: Place, trace: str, problems: list[Problem]) -> None:
        self.files = self.events = self.bytes = 0
        self._place, self._trace, self._problems = place, trace, problems

    def check(self, contents: Contents, name: str) -> set[str]:
        """Check one array; returns the files that its marks promise."""
        array = _Array(contents, name)
        self.events += int((array.marks == WRITTEN).sum())
        promised = set()
        for at in array.files():
            key = array.node.file_key(at)
            promised.add(key)
            for what, chunks in self._check_file(array, key, at):
                self._tell(array, what, key, chunks)
        return promised

    def _tell(self, array: _Array, what: str, key: str, chunks: Sequence[At]) -> None:
        told = {event for chunk in chunks for event in array.events_in(chunk)}
        for event in sorted(told)[:_SHOWN]:
            self._problems.append(Problem(what, self._trace, array.node.name, array.labels_of(event), key))
        if not told:
            self._problems.append(Problem(what, self._trace, array.node.name, {}, key))

    def _check_file(self, array: _Array, key: str, at: At) -> Iterator[tuple[str, Sequence[At]]]:
        """What is wrong with a file, and with which of its chunks."""
        every = array.chunks_in(at)
        size = self._place.size(key)
        if size is None:
            yield "the file is gone", every
            return
        self.files, self.bytes = self.files + 1, self.bytes + size
        try:
            if array.node.sharded:
                yield from self._check_shard(array, key, every, size)
            else:
                decode_chunk(self._place.read(key, largest_stored(array.node)) or b"", array.node)
        except (BadBytes, StoreError) as problem:
            yield str(problem), every

    def _check_shard(self, array: _Array, key: str, every: list[At], size: int) -> Iterator[tuple[str, Sequence[At]]]:
        node = array.node
        length = 16 * math.prod(node.chunks_in_file) + 4 * node.checked_index
        index = decode_index(self._place.read_tail(key, length) or b"", node).reshape(-1, 2)
        extents = {}
        for chunk, (offset, stored) in zip(every, index.tolist(), strict=True):
            if offset == stored == _ABSENT:
                if array.holds(chunk) and array.events_in(chunk):
                    yield "the chunk is not in the shard", [chunk]
            else:
                extents[chunk] = (offset, stored)
        yield from self._check_extents(extents, size - length)
        for chunk, (offset, stored) in extents.items():
            try:
                if not 0 < stored <= largest_stored(node) or offset + stored > size:
                    raise BadBytes(f"an index that names {stored} bytes at {offset}")
                decode_chunk(self._place.read_range(key, offset, stored) or b"", node)
            except BadBytes as problem:
                yield str(problem), [chunk]

    def _check_extents(self, extents: dict[At, tuple[int, int]], end: int) -> Iterator[tuple[str, Sequence[At]]]:
        """Chunks follow each other from the start of the file to its index."""
        reached = 0
        for chunk, (offset, stored) in sorted(extents.items(), key=lambda one: one[1]):
            if offset != reached:
                kind = "that belong to no chunk" if offset > reached else "that belong to two chunks"
                yield f"{abs(offset - reached)} bytes {kind}", [chunk]
            reached = offset + stored
        if reached != end:
            yield f"{abs(end - reached)} bytes too {'many' if reached < end else 'few'} before the index", list(extents)


class _Array:
    """Where the events of an array lie in the grids of its files and chunks."""

    def __init__(self, contents: Contents, name: str) -> None:
        self.node: ArrayNode = contents.node(name)
        self.marks: npt.NDArray[np.uint8] = contents.marks(name)
        self._dims = contents.mark_dims(name)
        self._labels = [contents.labels(dim) for dim in self._dims]
        self._own = _own_positions(contents, name, self.node)

    def files(self) -> list[At]:
        """The files that hold events that are done, by their place in the grid."""
        count = self.marks.ndim
        events = {
            tuple(i // size for i, size in zip(at, self.node.file[:count], strict=True))
            for at in np.argwhere(self.marks == WRITTEN).tolist()
        }
        rest = [
            range(-(-size // file)) for size, file in zip(self.node.shape[count:], self.node.file[count:], strict=True)
        ]
        return [(*event, *inner) for event in sorted(events) for inner in product(*rest)]

    def chunks_in(self, file: At) -> list[At]:
        """All chunks of a file in C order, by their place in the grid of chunks."""
        starts = [at * count for at, count in zip(file, self.node.chunks_in_file, strict=True)]
        ranges = (range(start, start + count) for start, count in zip(starts, self.node.chunks_in_file, strict=True))
        return list(product(*ranges))

    def events_in(self, chunk: At) -> list[At]:
        """The events of a chunk that are done."""
        count = self.marks.ndim
        starts = [at * size for at, size in zip(chunk, self.node.chunk, strict=True)][:count]
        inside = tuple(slice(start, start + size) for start, size in zip(starts, self.node.chunk, strict=False))
        found = np.argwhere(self.marks[inside] == WRITTEN) if count else np.empty((int(self.marks == WRITTEN), 0), int)
        return [tuple(int(i) + start for i, start in zip(at, starts, strict=True)) for at in found]

    def holds(self, chunk: At) -> bool:
        """Whether the array holds any label of a chunk, along its value dimensions."""
        for axis, own in self._own.items():
            start = chunk[axis] * self.node.chunk[axis]
            if not any(start <= at < start + self.node.chunk[axis] for at in own):
                return False
        return all(at * size < whole for at, size, whole in zip(chunk, self.node.chunk, self.node.shape, strict=True))

    def labels_of(self, event: At) -> dict[str, Any]:
        """The labels of an event."""
        return {dim: held[i] for dim, held, i in zip(self._dims, self._labels, event, strict=True)}


def _own_positions(contents: Contents, name: str, node: ArrayNode) -> dict[int, list[int]]:
    """For each dimension of which the array holds fewer labels than the trace, where those are."""
    found = {}
    for dim, labels in contents.own_labels(name).items():
        wanted = set(labels)
        found[node.dims.index(dim)] = [i for i, label in enumerate(contents.labels(dim)) if label in wanted]
    return found

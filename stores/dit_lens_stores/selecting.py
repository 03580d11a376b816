"""Read a selection of one array: only the files and, inside them, only the bytes that it touches.

A selection is a list of positions along every dimension. It is cut along the grid of chunks; chunks of one shard that
lie side by side are fetched by one request. Requests and decoding run side by side in a few threads, and every thread
writes its own part of the result, so no more memory is taken than the result and what is on its way.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from dit_lens_stores.decoding import BadBytes, decode_chunk, decode_index, largest_stored
from dit_lens_stores.errors import Corrupt, StoreError
from dit_lens_stores.nodes import ArrayNode
from dit_lens_stores.places import Place, side_by_side

__all__ = ["Piece", "Selection", "read_selection"]

_ABSENT = 2**64 - 1
_HEAVY_BYTES = 4 * 2**20
_RUN_BYTES = 8 * 2**20
"""A run of neighbouring chunks is cut into requests of about this size."""

Values = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]
At = tuple[int, ...]
_MAX_PIECES = 2**20


@dataclass(frozen=True)
class Piece:
    """What a selection takes from one chunk.

    Attributes
    ----------
    at : tuple of int
        The chunk, in the grid of chunks of the array.
    into : tuple of array
        Along each dimension, where in the result.
    inside : tuple of array
        Along each dimension, where in the chunk.
    """

    at: At
    into: tuple[Positions, ...]
    inside: tuple[Positions, ...]


@dataclass(frozen=True)
class Selection:
    """What is read, and who is asked about what is not there.

    Attributes
    ----------
    place : Place
    node : ArrayNode
    positions : sequence of array
        Along each dimension, the positions that are wanted.
    wanted : callable
        Whether a piece is to be read; what is not stays at the fill value.
    absent : callable
        Called with the pieces whose file or chunk is not there, and the key of the file.
    describe : callable
        Names the pieces for a message.
    """

    place: Place
    node: ArrayNode
    positions: Sequence[Positions]
    wanted: Callable[[Piece], bool]
    absent: Callable[[list[Piece], str], None]
    describe: Callable[[Sequence[Piece]], str]

    @property
    def shape(self) -> At:
        """The shape of the result."""
        return tuple(len(positions) for positions in self.positions)

    def leave(self, out: Values, pieces: Sequence[Piece]) -> None:
        """Fill what is not read."""
        for piece in pieces:
            out[_index(piece.into)] = self.node.fill

    def miss(self, out: Values, pieces: list[Piece], key: str) -> None:
        """Ask what to do about pieces that are not there; fill them if that raises nothing."""
        self.absent(pieces, key)
        self.leave(out, pieces)

    def fail(self, pieces: Sequence[Piece], key: str, problem: object) -> NoReturn:
        """Raise the error for bytes that are not those that were written."""
        raise Corrupt(
            f"reading {self.describe(pieces)} failed in '{self.place.name}'; got {problem} in '{key}', allowed the "
            f"bytes that were written; copy the file again, or trace it again"
        )


def read_selection(selection: Selection) -> Values:
    """Read what a selection names.

    Parameters
    ----------
    selection : Selection

    Returns
    -------
    numpy.ndarray
        In the stored dtype.

    Raises
    ------
    StoreError
        If the result is larger than the memory of this machine.
    Corrupt
        If bytes are not those that were written.
    """
    out = _result(selection)
    _check_count(selection)
    files: dict[At, list[Piece]] = {}
    for piece in _pieces(selection):
        if selection.wanted(piece):
            files.setdefault(selection.node.file_of(piece.at), []).append(piece)
        else:
            selection.leave(out, [piece])
    read = _sharded if selection.node.sharded else _single
    runs = side_by_side(selection.place, lambda item: read(selection, out, *item), files.items())
    heavy = out.nbytes > _HEAVY_BYTES
    side_by_side(selection.place, lambda run: run.read(selection, out), [run for found in runs for run in found], heavy)
    return out


@dataclass(frozen=True)
class _Run:
    """Pieces that lie side by side in one file, with the offset and length of each; length 0 is the whole file."""

    key: str
    pieces: list[tuple[Piece, int, int]]

    def read(self, selection: Selection, out: Values) -> None:
        start = self.pieces[0][1]
        length = self.pieces[-1][1] + self.pieces[-1][2] - start
        data = self._fetch(selection, start, length)
        if data is None:
            return selection.miss(out, [piece for piece, _, _ in self.pieces], self.key)
        view = memoryview(data)
        for piece, offset, size in self.pieces:
            part = view[offset - start : offset - start + size] if size else view
            _put(selection, self.key, piece, bytes(part) if len(self.pieces) > 1 else data, out)
        return None

    def _fetch(self, selection: Selection, start: int, length: int) -> bytes | None:
        if length:
            return selection.place.read_range(self.key, start, length)
        return selection.place.read(self.key, largest_stored(selection.node))


def _put(selection: Selection, key: str, piece: Piece, data: bytes, out: Values) -> None:
    try:
        values = decode_chunk(data, selection.node)
    except BadBytes as problem:
        selection.fail([piece], key, problem)
    out[_index(piece.into)] = values[_index(piece.inside)]


def _single(selection: Selection, out: Values, at: At, pieces: list[Piece]) -> list[_Run]:
    return [_Run(selection.node.file_key(at), [(piece, 0, 0)]) for piece in pieces]


def _sharded(selection: Selection, out: Values, at: At, pieces: list[Piece]) -> list[_Run]:
    """Look the chunks up in the index at the end of the shard; what is not there is told of."""
    node, key = selection.node, selection.node.file_key(at)
    index = _index_of(selection, key, pieces)
    if index is None:
        selection.miss(out, pieces, key)
        return []
    found: list[tuple[Piece, int, int]] = []
    gone: list[Piece] = []
    for piece in pieces:
        offset, length = map(int, index[tuple(i % n for i, n in zip(piece.at, node.chunks_in_file, strict=True))])
        if offset == length == _ABSENT:
            gone.append(piece)
        elif not 0 < length <= largest_stored(node) or offset > 2**62:
            selection.fail([piece], key, f"an index that names {length} bytes at {offset}")
        else:
            found.append((piece, offset, length))
    if gone:
        selection.miss(out, gone, key)
    return [_Run(key, run) for run in _runs(sorted(found, key=lambda one: one[1]))]


def _index_of(selection: Selection, key: str, pieces: list[Piece]) -> npt.NDArray[np.uint64] | None:
    place, node = selection.place, selection.node
    try:
        return _kept_index(place, node, key) if place.remote else _read_index(place, node, key)
    except BadBytes as problem:
        selection.fail(pieces, key, problem)


def _read_index(place: Place, node: ArrayNode, key: str) -> npt.NDArray[np.uint64] | None:
    length = 16 * math.prod(node.chunks_in_file) + 4 * node.checked_index
    data = place.read_tail(key, length)
    return None if data is None else decode_index(data, node)


_kept_index = lru_cache(maxsize=256)(_read_index)
"""Of a remote shard the index is read once: the next frame of it then takes one request and not two."""


def _runs(found: list[tuple[Piece, int, int]]) -> Iterator[list[tuple[Piece, int, int]]]:
    run: list[tuple[Piece, int, int]] = []
    for one in found:
        adjacent = run and one[1] == run[-1][1] + run[-1][2] and one[1] - run[0][1] < _RUN_BYTES
        if run and not adjacent:
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _pieces(selection: Selection) -> Iterator[Piece]:
    """Every chunk that the selection touches."""
    cuts = [_cut(at, chunk) for at, chunk in zip(selection.positions, selection.node.chunk, strict=True)]
    for combination in product(*cuts):
        yield Piece(
            tuple(number for number, _, _ in combination),
            tuple(into for _, into, _ in combination),
            tuple(inside for _, _, inside in combination),
        )


def _cut(positions: Positions, chunk: int) -> list[tuple[int, Positions, Positions]]:
    """Cut positions along one dimension: the chunk, where in the result, where in the chunk."""
    numbers = positions // chunk
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return [(number := int(numbers[into[0]]), into, positions[into] - number * chunk) for into in parts if len(into)]


def _check_count(selection: Selection) -> None:
    touched = [len(np.unique(at // n)) for at, n in zip(selection.positions, selection.node.chunk, strict=True)]
    if math.prod(touched) > _MAX_PIECES:
        raise StoreError(
            f"reading {selection.node.name} {selection.shape} of '{selection.place.name}' touches too many chunks; got "
            f"{math.prod(touched)}, allowed {_MAX_PIECES} at once; select less, or read it in parts"
        )


def _result(selection: Selection) -> Values:
    dtype = object if selection.node.dtype == "string" else selection.node.dtype
    size, memory = math.prod(selection.shape) * np.dtype(dtype).itemsize, _memory()
    if size > memory:
        raise StoreError(
            f"reading {selection.node.name} {selection.shape} of '{selection.place.name}' takes {size / 1e9:.1f} GB; "
            f"got more than there is, allowed {memory / 1e9:.1f} GB of memory; select less, or read it in parts"
        )
    try:
        return np.empty(selection.shape, dtype=dtype)
    except MemoryError:
        raise StoreError(
            f"reading {selection.node.name} {selection.shape} of '{selection.place.name}' takes {size / 1e9:.1f} GB; "
            f"got no memory, allowed what is free; select less, or read it in parts"
        ) from None


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not told here
        return 2**36


def _index(at: tuple[Positions, ...]) -> tuple[Any, ...]:
    """Index along every dimension; by slices where positions follow each other, which copies fastest."""
    slices = [_slice(positions) for positions in at]
    if all(part is not None for part in slices):
        return tuple(slices)
    return np.ix_(*at)


def _slice(positions: Positions) -> slice | None:
    first, last = int(positions[0]), int(positions[-1])
    whole = last - first + 1 == len(positions) and (len(positions) < 2 or bool((np.diff(positions) == 1).all()))
    return slice(first, last + 1) if whole else None

"""Cut the values of events into the inner chunks of a shard.

An array holds some labels of each dimension, its chunks run over the labels of all arrays of the trace. Events are
kept in memory as they came, without the gaps; a chunk with its gaps filled exists only while it is written. Chunks in
which the array holds nothing are not written at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from dit_lens_stores.encodings import NAN_BITS, widened
from dit_lens_stores.layout import Layout

__all__ = ["Tiles"]

Values = npt.NDArray[Any]
Positions = tuple[int, ...]


@dataclass(frozen=True)
class _Run:
    """The labels of one dimension that fall into one chunk: which of the array's own they are, and where they go."""

    chunk: int
    own: slice
    inside: npt.NDArray[np.intp]
    whole: bool


class Tiles:
    """How the events of an array lie in the chunks of one shard.

    Parameters
    ----------
    layout : Layout
    events : int
        How many of the dimensions are event dimensions.
    held : sequence of sequence of int
        For each value dimension, the positions that the array holds, rising.
    dtype : str
    fill : float or int

    Examples
    --------
    >>> tiles = Tiles(Layout((3, 4), (1, 2), (3, 4)), 1, [(0, 1, 3)], "float32", np.nan)
    >>> for place, chunk in tiles.chunks({(2,): np.array([5, 6, 7], np.float32)}):
    ...     print(place, chunk)
    4 [[5. 6.]]
    5 [[nan  7.]]
    """

    def __init__(self, layout: Layout, events: int, held: Sequence[Sequence[int]], dtype: str, fill: Any) -> None:
        self._layout, self._events, self._dtype, self._fill = layout, events, dtype, fill
        chunk = layout.chunk[events:]
        self._runs = [_runs_of(positions, size) for positions, size in zip(held, chunk, strict=True)]
        self._rows = layout.chunk[events - 1] if events else 1

    @property
    def count(self) -> int:
        """How many inner chunks a shard has room for."""
        return int(np.prod(self._layout.counts, dtype=np.int64))

    def chunks(self, values: Mapping[Positions, Values]) -> Iterator[tuple[int, Values]]:
        """Yield the chunks of one shard that hold something, in C order, each with its place.

        Parameters
        ----------
        values : mapping
            The values of the shard's events, by their position.
        """
        for group, rows in sorted(self._grouped(values).items()):
            for runs in product(*self._runs):
                place = (*(0,) * (self._events - 1), *((group,) if self._events else ()), *(run.chunk for run in runs))
                yield int(np.ravel_multi_index(place, self._layout.counts)) if place else 0, self._chunk(rows, runs)

    def _grouped(self, values: Mapping[Positions, Values]) -> dict[int, dict[int, Values]]:
        """Sort events by the chunk of the last event dimension, and there by row."""
        groups: dict[int, dict[int, Values]] = {}
        for at, event in values.items():
            row = at[-1] % self._layout.shard[self._events - 1] if at else 0
            groups.setdefault(row // self._rows, {})[row % self._rows] = event
        return groups

    def _chunk(self, rows: Mapping[int, Values], runs: Sequence[_Run]) -> Values:
        own = tuple(run.own for run in runs)
        if self._rows == 1 and all(run.whole for run in runs):
            return rows[0][own].reshape(self._layout.chunk)
        chunk = self._empty(rows.values())
        inside = _place(runs)
        for row, event in rows.items():
            chunk[row, ...][inside] = widened(event[own], chunk.dtype)
        return chunk.reshape(self._layout.chunk)

    def _empty(self, events: Iterable[Values]) -> Values:
        """Make a chunk of nothing but gaps; of bit patterns if the events are, all of them."""
        shape = (self._rows, *self._layout.chunk[self._events :])
        if self._dtype == "float32" and all(event.dtype == np.uint16 for event in events):
            return np.full(shape, NAN_BITS, dtype=np.uint16)
        return np.full(shape, self._fill, dtype=self._dtype)


def _place(runs: Sequence[_Run]) -> tuple[Any, ...]:
    """Index a chunk where the own labels go; by slices if nothing lies between them, which is much faster."""
    if all(len(run.inside) == run.inside[-1] - run.inside[0] + 1 for run in runs):
        return tuple(slice(int(run.inside[0]), int(run.inside[-1]) + 1) for run in runs)
    return np.ix_(*(run.inside for run in runs))


def _runs_of(positions: Sequence[int], size: int) -> list[_Run]:
    held = np.asarray(positions, dtype=np.intp)
    chunks, starts = np.unique(held // size, return_index=True)
    ends = [*starts[1:].tolist(), len(held)]
    return [
        _Run(int(chunk), slice(int(start), end), held[start:end] - chunk * size, end - start == size)
        for chunk, start, end in zip(chunks, starts, ends, strict=True)
    ]

"""Arrays for xarray that read what they are asked for, when they are asked, and say no to what is not there.

Before a value is fetched, the done marks of the events that it belongs to are looked at: reading an event that was
never written raises and names it. With ``partial`` it is NaN instead. What belongs to no capture (the union of labels
is wider than any one array) is the fill value in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from dit_lens_stores.encodings import decode
from dit_lens_stores.errors import NotDone
from dit_lens_stores.nodes import ArrayNode
from dit_lens_stores.places import Place
from dit_lens_stores.schema import EXPECTED, WRITTEN, Event
from dit_lens_stores.selecting import Piece, Positions, Selection, read_selection

__all__ = ["EventArray", "lazy_variable", "name_events"]

_SHOWN = 3


@dataclass
class EventArray(BackendArray):
    """One array of a trace over the union of labels, as xarray's lazy indexing wants it.

    Attributes
    ----------
    place : Place
    trace : str
    node : ArrayNode
    marks : array of uint8
        Over the event dimensions, which lead.
    labels : sequence of sequence
        Of the event dimensions.
    own : mapping of str to set of int
        For value dimensions of which the array holds fewer labels than the trace, the positions of those.
    partial : bool
    """

    place: Place
    trace: str
    node: ArrayNode
    marks: npt.NDArray[np.uint8]
    labels: Sequence[Sequence[Any]]
    own: Mapping[str, set[int]]
    partial: bool
    shape: tuple[int, ...] = field(init=False)
    dtype: np.dtype[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.shape = self.node.shape
        self.encoding = str(self.node.attributes.get("encoding", "exact"))
        self.dtype = decode(np.empty(0, self.node.dtype), self.encoding).dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read a selection."""
        if not isinstance(key, indexing.VectorizedIndexer):  # xarray's adapter stumbles over empty slices that go back
            return self._read(key.tuple)
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        positions = [_positions(part, size) for part, size in zip(key, self.shape, strict=True)]
        kept = tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in key)
        if 0 in map(len, positions):
            return np.empty([len(at) for at in positions], self.dtype)[kept]
        return np.asarray(decode(self._fetch(positions), self.encoding)[kept])

    def _fetch(self, positions: list[Positions]) -> npt.NDArray[Any]:
        marks = self.marks[np.ix_(*positions[: self.marks.ndim])] if self.marks.ndim else self.marks
        if not self.partial and (marks == EXPECTED).any():
            raise NotDone(self._not_done(positions, marks))
        values = read_selection(
            Selection(
                self.place,
                self.node,
                positions,
                lambda piece: bool((_of(piece, marks) == WRITTEN).any()),
                lambda pieces, key: self._absent(pieces, key, positions),
                lambda pieces: (
                    f"{name_events(self.node.name, self._events(pieces, positions))} of trace '{self.trace}'"
                ),
            )
        )
        if (marks != WRITTEN).any():
            values[marks != WRITTEN] = self.node.fill  # a chunk may hold events that are not done beside one that is
        return values

    def _not_done(self, positions: list[Positions], marks: npt.NDArray[np.uint8]) -> str:
        events = [self._event([positions[dim][i] for dim, i in enumerate(at)]) for at in np.argwhere(marks == EXPECTED)]
        return (
            f"reading trace '{self.trace}' found what is not done in '{self.place.name}'; got "
            f"{name_events(self.node.name, events)}, allowed events that were written; trace it again, or open it with "
            f"get('{self.trace}', partial=True)"
        )

    def _absent(self, pieces: list[Piece], key: str, positions: list[Positions]) -> None:
        held = [piece for piece in pieces if self._holds(piece, positions)]
        if held and not self.partial:
            events = name_events(self.node.name, self._events(held, positions))
            raise NotDone(
                f"trace '{self.trace}' has lost what was written in '{self.place.name}'; got no values of {events} in "
                f"'{key}', allowed every event that is marked done; copy the store again, or open the rest with "
                f"get('{self.trace}', partial=True)"
            )

    def _holds(self, piece: Piece, positions: list[Positions]) -> bool:
        """Whether the array holds anything of a chunk: labels of other arrays alone may have left it out."""
        touched = {dim: positions[i][piece.into[i]].tolist() for i, dim in enumerate(self.node.dims)}
        return all(any(at in own for at in touched[dim]) for dim, own in self.own.items())

    def _events(self, pieces: Sequence[Piece], positions: list[Positions]) -> list[Event]:
        count = self.marks.ndim
        found: dict[tuple[int, ...], Event] = {}
        for piece in pieces:
            touched = [positions[dim][piece.into[dim]].tolist() for dim in range(count)]
            for at in product(*touched):
                if self.marks[at] == WRITTEN:
                    found[at] = self._event(at)
        return [found[at] for at in sorted(found)]

    def _event(self, at: Sequence[int]) -> Event:
        dims = self.node.dims[: self.marks.ndim]
        return {dim: held[i] for dim, held, i in zip(dims, self.labels, at, strict=True)}


def lazy_variable(array: EventArray, attributes: Mapping[str, Any]) -> xr.Variable:
    """Wrap an array so that xarray reads it when its values are asked for, and copies before it writes into it."""
    data = indexing.CopyOnWriteArray(indexing.LazilyIndexedArray(array))  # type: ignore[arg-type]
    return xr.Variable(array.node.dims, data, dict(attributes))


def name_events(array: str, events: Sequence[Event]) -> str:
    """Put the first few of an array's events in words.

    Examples
    --------
    >>> name_events("x", [{"step": step} for step in range(5)])
    'x[step=0], x[step=1], x[step=2] and 2 more'
    >>> name_events("video", [{}])
    'video'
    """
    shown = [", ".join(f"{dim}={label}" for dim, label in event.items()) for event in events[:_SHOWN]]
    names = ", ".join(f"{array}[{inside}]" if inside else array for inside in shown)
    return f"{names} and {len(events) - _SHOWN} more" if len(events) > _SHOWN else names


def _positions(part: Any, size: int) -> Positions:
    if isinstance(part, slice):
        return np.arange(size, dtype=np.int64)[part]
    at = np.atleast_1d(np.asarray(part, dtype=np.int64))
    return np.where(at < 0, at + size, at)


def _of(piece: Piece, marks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The marks of the events that a piece holds."""
    return marks[np.ix_(*piece.into[: marks.ndim])] if marks.ndim else marks

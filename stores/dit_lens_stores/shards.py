"""Write the events of one array: gather a shard in memory, put it in place whole, then set its done marks.

A buffer covers only the bounding box of what the array holds, so frames that were not captured cost nothing. A shard
whose expected events are all there is written at once and is put in place by a rename. One that is given up early
(the run failed, or more shards are open than there are branches) is written event by event; a later event of it is
merged in. The marks are one small chunk, rewritten after the values, so a mark never promises what is not on disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from dit_lens_stores.errors import DuplicateEvent, StoreError, close_match
from dit_lens_stores.layout import Layout
from dit_lens_stores.schema import EXPECTED, NOT_PART, WRITTEN, ArraySpec, Event, Label

__all__ = ["ArrayWriter", "first_marks", "name_event"]

Values = npt.NDArray[Any]
Positions = tuple[int, ...]


def name_event(array: str, event: Mapping[str, Label]) -> str:
    """One event in words.

    Examples
    --------
    >>> name_event("block.out.raw", {"branch": "cond", "step": 3})
    'block.out.raw[branch=cond, step=3]'
    >>> name_event("video", {})
    'video'
    """
    inside = ", ".join(f"{dim}={label}" for dim, label in event.items())
    return f"{array}[{inside}]" if inside else array


def first_marks(spec: ArraySpec, labels: Mapping[str, Sequence[Label]]) -> npt.NDArray[np.uint8]:
    """Make the done marks of an array before anything is written, over the union labels of its event dimensions.

    Examples
    --------
    >>> first_marks(ArraySpec("a", ("step",), {"step": (2,)}, ("step",)), {"step": (0, 2)})
    array([2, 0], dtype=uint8)
    """
    marks = np.full([len(labels[dim]) for dim in spec.event_dims], NOT_PART, dtype=np.uint8)
    held = [[labels[dim].index(label) for label in spec.labels[dim]] for dim in spec.event_dims]
    marks[np.ix_(*held)] = EXPECTED
    return marks


class ArrayWriter:
    """Gathers one array's events into shards.

    Parameters
    ----------
    spec : ArraySpec
    labels : mapping
        Union labels of the trace.
    layout : Layout
    array, done : zarr.Array
        Preallocated values and marks.
    held : callable, optional
        Makes the context in which the disk is written; it raises if the trace is no longer this writer's.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> spec = ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))
    >>> writer = create_store(getfixture("tmp_path") / "a.zarr").begin("t0", [spec], [], {})
    >>> writer.write("x", {"step": 0}, np.float32(1))
    >>> writer.missing()
    [('x', {'step': 1})]
    """

    def __init__(
        self,
        spec: ArraySpec,
        labels: Mapping[str, Sequence[Label]],
        layout: Layout,
        array: zarr.Array[Any],
        done: zarr.Array[Any],
        held: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.spec = spec
        self._array, self._done, self._layout, self._held = array, done, layout, held
        self._marks = first_marks(spec, labels)
        place = {dim: {label: i for i, label in enumerate(labels[dim])} for dim in spec.dims}
        self._position = {dim: {label: place[dim][label] for label in spec.labels[dim]} for dim in spec.dims}
        own = [tuple(self._position[dim].values()) for dim in spec.value_dims]
        self._box = tuple(slice(min(positions), max(positions) + 1) for positions in own)
        self._into = _inside(self._box, own)
        self._open: dict[Positions, _Buffer] = {}
        others = [dim for dim in spec.event_dims[:-1] if dim != "step"]
        # Batched branches fill as many shards at a time.
        self._limit = math.prod(len(spec.labels[dim]) for dim in others)

    @property
    def buffered(self) -> int:
        """Bytes held in memory now."""
        return sum(buffer.values.nbytes for buffer in self._open.values())

    def write(self, event: Mapping[str, Label], values: Values) -> None:
        """Take one event's values; a shard that they complete is put in place."""
        at = self._locate(event)
        key = self._shard_of(at)
        buffer = self._open.get(key)
        if self._marks[at] == WRITTEN or (buffer and at in buffer.filled):
            raise DuplicateEvent(
                f"write got {name_event(self.spec.name, event)} a second time; got a second visit, allowed one write "
                f"of each event; record each event once"
            )
        checked = self._check(event, values)
        buffer = buffer or self._new_buffer(key)
        buffer.put(at, checked, self._into)
        if buffer.whole:
            self._flush(key)
        elif len(self._open) > self._limit:
            self._flush(next(iter(self._open)))

    def flush(self) -> None:
        """Put every open shard in place, whole or not."""
        for key in list(self._open):
            self._flush(key)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to the array, or replace them."""
        self._array.update_attributes(dict(attributes))

    def missing(self) -> list[Event]:
        """List expected events that are neither in place nor in memory."""
        held = {at for buffer in self._open.values() for at in buffer.filled}
        return [event for event in self.spec.events() if not self._is_there(self._locate(event), held)]

    def _is_there(self, at: Positions, held: set[Positions]) -> bool:
        return bool(self._marks[at] == WRITTEN) or at in held

    def _locate(self, event: Mapping[str, Label]) -> Positions:
        if set(event) != set(self.spec.event_dims):
            raise StoreError(
                f"write to '{self.spec.name}' needs its event dimensions; got {sorted(event)}, allowed exactly "
                f"{sorted(self.spec.event_dims)}; name each of them once"
            )
        return tuple(self._find(dim, event[dim]) for dim in self.spec.event_dims)

    def _find(self, dim: str, label: Label) -> int:
        position = self._position[dim].get(label)
        if position is None:
            allowed = tuple(self._position[dim])
            shown = ", ".join(map(str, allowed)) if len(allowed) <= 12 else f"{allowed[0]} to {allowed[-1]}"
            hint = close_match(str(label), map(str, allowed)) or "; add it to the capture's selection"
            raise StoreError(
                f"write to '{self.spec.name}' does not hold {dim}={label}; got {label!r}, allowed {shown}{hint}"
            )
        return position

    def _check(self, event: Mapping[str, Label], values: Values) -> Values:
        values = np.asarray(values)
        where = name_event(self.spec.name, event)
        if values.shape != self.spec.event_shape:
            dims = ", ".join(self.spec.value_dims)
            raise StoreError(
                f"write of {where} has another shape; got {values.shape}, allowed {self.spec.event_shape} ({dims}); "
                f"select the capture's own labels before writing"
            )
        if not np.can_cast(values.dtype, self.spec.dtype, "safe"):
            raise StoreError(
                f"write of {where} would lose values; got {values.dtype}, allowed {self.spec.dtype} or narrower; "
                f"convert it before writing"
            )
        return values

    def _shard_of(self, at: Positions) -> Positions:
        return tuple(position // size for position, size in zip(at, self._layout.shard, strict=False))

    def _new_buffer(self, key: Positions) -> _Buffer:
        sizes = self._layout.shard[: len(self.spec.event_dims)]
        start = np.array([index * size for index, size in zip(key, sizes, strict=True)], dtype=int)
        marks = self._marks[tuple(slice(first, first + size) for first, size in zip(start, sizes, strict=True))]
        expected: list[Positions] = [tuple((at + start).tolist()) for at in np.argwhere(marks == EXPECTED)]
        fresh = not bool((marks == WRITTEN).any())
        shape = tuple(extent.stop - extent.start for extent in self._box)
        self._open[key] = _Buffer(expected, fresh, shape, self.spec.dtype)
        return self._open[key]

    def _flush(self, key: Positions) -> None:
        with self._held():
            self._put_in_place(self._open[key])
            del self._open[key]
            self._done[...] = self._marks

    def _put_in_place(self, buffer: _Buffer) -> None:
        if buffer.whole and buffer.fresh:
            self._array[(*buffer.region(), *self._box)] = buffer.block()
        else:
            for at in buffer.filled:
                self._array[(*(slice(i, i + 1) for i in at), *self._box)] = buffer.row(at)
        for at in buffer.filled:
            self._marks[at] = WRITTEN


class _Buffer:
    """The expected events of one shard, over the bounding box of what the array holds."""

    def __init__(self, expected: list[Positions], fresh: bool, shape: Positions, dtype: str) -> None:
        self.filled: set[Positions] = set()
        self.fresh = fresh
        self._expected = expected
        self._first = expected[0]
        rows = expected[-1][-1] - self._first[-1] + 1 if self._first else 1
        self.values = np.full((rows, *shape), 0 if dtype == "uint8" else np.nan, dtype=dtype)

    @property
    def whole(self) -> bool:
        """Whether every expected event is in the buffer."""
        return len(self.filled) == len(self._expected)

    def put(self, at: Positions, values: Values, into: tuple[Any, ...]) -> None:
        """Copy one event in."""
        self.values[(self._row(at), *into)] = values
        self.filled.add(at)

    def region(self) -> tuple[slice, ...]:
        """Where the block goes, along the event dimensions."""
        sizes = (1,) * (len(self._first) - 1) + self.values.shape[:1]
        return tuple(slice(first, first + size) for first, size in zip(self._first, sizes, strict=False))

    def block(self) -> Values:
        """All events, with one axis for every event dimension."""
        axes = len(self._first)
        block: Values = self.values.reshape((1,) * (axes - 1) + self.values.shape[0 if axes else 1 :])
        return block

    def row(self, at: Positions) -> Values:
        """One event, with one axis for every event dimension."""
        row: Values = self.values[self._row(at)]
        return row.reshape((1,) * len(at) + self.values.shape[1:])

    def _row(self, at: Positions) -> int:
        return at[-1] - self._first[-1] if at else 0


def _inside(box: Sequence[slice], held: Sequence[Positions]) -> tuple[Any, ...]:
    """Index own labels inside the bounding box; everything if nothing between was left out."""
    if all(len(positions) == extent.stop - extent.start for extent, positions in zip(box, held, strict=True)):
        return (...,)
    return np.ix_(*([p - extent.start for p in positions] for extent, positions in zip(box, held, strict=True)))

"""Write the events of one array: gather a shard in memory, put it in place whole, then set its done marks.

Events are kept as they came, without the gaps of what was not captured. A shard whose expected events are all there
is handed to an encoder; it is put in place by a rename. One that is given up early (the run failed, or more shards are
open than there are branches) is written with what it has; when a later event of it comes, it is read back and written
again. The marks are one small chunk, replaced after the values, so a mark never promises what is not on disk; shards
that are put in place one right after the other share one replacement, which costs as much as a small shard does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from dit_lens_stores.encoders import Encoders
from dit_lens_stores.encodings import decode, encode
from dit_lens_stores.errors import DuplicateEvent, StoreError, close_match
from dit_lens_stores.layout import Layout, blosc_options
from dit_lens_stores.schema import EXPECTED, NOT_PART, WRITTEN, ArraySpec, Event, Label
from dit_lens_stores.shard_file import ChunkCoder
from dit_lens_stores.sinks import MarksFile, sink_of
from dit_lens_stores.tiles import Tiles

__all__ = ["ArrayWriter", "first_marks", "name_event"]

Values = npt.NDArray[Any]
Positions = tuple[int, ...]

_MARK_SECONDS = 0.25
"""How long a mark waits at most for the shards behind it, and as long as one of them takes."""


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
    encoders : Encoders, optional
        Who codes and writes; the caller's own thread if not given.
    fsync : bool
        Wait until the disk has each shard before its marks are set.

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
        encoders: Encoders | None = None,
        fsync: bool = False,
    ) -> None:
        self.spec = spec
        self._array, self._layout, self._held = array, layout, held
        self._encoders = encoders or Encoders()
        self._marks = first_marks(spec, labels)
        place = {dim: {label: i for i, label in enumerate(labels[dim])} for dim in spec.dims}
        self._position = {dim: {label: place[dim][label] for label in spec.labels[dim]} for dim in spec.dims}
        self._event_dims, self._event_shape = set(spec.event_dims), spec.event_shape
        self._stored_dtype = np.dtype(spec.stored_dtype)
        self._own = [tuple(self._position[dim].values()) for dim in spec.value_dims]
        self._tiles = Tiles(layout, len(spec.event_dims), self._own, spec.stored_dtype, spec.fill)
        self._sink = sink_of(array, layout, ChunkCoder(blosc_options(spec), spec.checksum, spec.stored_dtype), fsync)
        self._marks_file = MarksFile(done, fsync)
        self._open: dict[Positions, _Shard] = {}
        self._taken: set[Positions] = set()
        self._early: set[Positions] = set()
        self._waiting, self._unwritten_since = 0, math.inf  # shards for an encoder; marks in memory alone
        self._lock = Lock()  # of these, of the marks, and of what was taken, which encoders change
        others = [dim for dim in spec.event_dims[:-1] if dim != "step"]
        # Batched branches fill as many shards at a time.
        self._limit = math.prod(len(spec.labels[dim]) for dim in others)

    @property
    def buffered(self) -> int:
        """Bytes held in memory now, waiting for their shards to be whole."""
        return sum(shard.nbytes for shard in self._open.values())

    def keep(self, marks: npt.NDArray[np.uint8]) -> None:
        """Go on from what is on disk already: what is marked there was taken."""
        self._marks = marks.copy()
        self._taken = {tuple(at.tolist()) for at in np.argwhere(marks == WRITTEN)}

    def holds(self, event: Mapping[str, Label]) -> bool:
        """Whether an event was taken, by this writer or by the one before it."""
        return self._locate(event) in self._taken

    def write(self, event: Mapping[str, Label], values: Values, owned: bool = False) -> None:
        """Take one event's values; a shard that they complete is handed to an encoder."""
        at = self._locate(event)
        if at in self._taken:
            raise DuplicateEvent(
                f"write got {name_event(self.spec.name, event)} a second time; got a second visit, allowed one write "
                f"of each event; record each event once"
            )
        coded = self._coded(event, values, owned)
        key = self._shard_of(at)
        shard = self._open.get(key) or self._new_shard(key)
        shard.values[at] = coded
        self._taken.add(at)
        if len(shard.values) == shard.expected:
            self._flush(key)
        elif len(self._open) > self._limit:
            self._early.add(first := next(iter(self._open)))
            self._flush(first)

    def flush(self) -> None:
        """Hand over every open shard, whole or not."""
        for key in list(self._open):
            self._flush(key)

    def settle(self) -> None:
        """Write the marks that are in memory alone: of shards that are in place, where the one behind them failed."""
        if self._unwritten_since < math.inf:
            with self._held(), self._lock:
                self._write_marks()

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to the array, or replace them."""
        self._array.update_attributes(dict(attributes))

    def missing(self) -> list[Event]:
        """List expected events that were not taken, or whose shard could not be written."""
        return [event for event in self.spec.events() if self._locate(event) not in self._taken]

    def _locate(self, event: Mapping[str, Label]) -> Positions:
        if event.keys() != self._event_dims:
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

    def _coded(self, event: Mapping[str, Label], given: Values, owned: bool) -> Values:
        """Check an event's values and turn them into what is stored, in memory of their own and without gaps."""
        if given.shape != self._event_shape:
            dims = ", ".join(self.spec.value_dims)
            raise StoreError(
                f"{self._write_of(event)} has another shape; got {given.shape}, allowed {self._event_shape} ({dims}); "
                f"select the capture's own labels before writing"
            )
        values = given
        if given.dtype == np.uint16 and self.spec.dtype == "float32":  # bit patterns of bfloat16
            values = given if self.spec.encoding in ("exact", "bits") else decode(given, "bits")
        elif given.dtype != self._stored_dtype:
            if not np.can_cast(given.dtype, self.spec.dtype, "safe"):
                raise StoreError(
                    f"{self._write_of(event)} would lose values; got {given.dtype}, allowed {self.spec.dtype} or "
                    f"narrower; convert it before writing"
                )
            values = given.astype(self.spec.dtype, copy=False)
        if self.spec.encoding != "exact":
            values = encode(values, self.spec.encoding, self._write_of(event))
        coded = np.ascontiguousarray(values).reshape(given.shape)
        return coded if owned or not np.may_share_memory(coded, given) else coded.copy()

    def _write_of(self, event: Mapping[str, Label]) -> str:
        return f"write of {name_event(self.spec.name, event)}"

    def _shard_of(self, at: Positions) -> Positions:
        return tuple(position // size for position, size in zip(at, self._layout.shard, strict=False))

    def _new_shard(self, key: Positions) -> _Shard:
        if key in self._early:  # what it had may still be on its way to the disk
            self._encoders.drain()
        here = self._region(key)
        with self._lock:
            marks = self._marks[here]
            expected = int((marks == EXPECTED).sum())
            written = [self._global(key, at) for at in np.argwhere(marks == WRITTEN)]
        self._open[key] = _Shard(expected, written)
        return self._open[key]

    def _region(self, key: Positions) -> tuple[slice, ...]:
        sizes = self._layout.shard[: len(key)]
        return tuple(slice(index * size, (index + 1) * size) for index, size in zip(key, sizes, strict=True))

    def _global(self, key: Positions, at: npt.NDArray[np.intp]) -> Positions:
        return tuple(extent.start + int(i) for extent, i in zip(self._region(key), at, strict=True))

    def _flush(self, key: Positions) -> None:
        with self._held():  # whoever lost the trace hears of it here; the encoder looks again
            shard = self._open.pop(key)
        with self._lock:
            self._waiting += 1
        self._encoders.put(self.spec.name, partial(self._put_in_place, key, shard), shard.nbytes)

    def _put_in_place(self, key: Positions, shard: _Shard) -> None:
        with self._lock:
            self._waiting -= 1
        try:
            with self._held():
                earlier = {at: self._read_back(at) for at in shard.written}
                self._sink.put(key, self._tiles, earlier | shard.values)
                with self._lock:
                    self._mark(shard.values)
        except BaseException:
            with self._lock:
                self._taken -= set(shard.values)
            raise

    def _mark(self, events: Iterable[Positions]) -> None:
        """Set marks, and write them unless another shard waits that will."""
        for at in events:
            self._marks[at] = WRITTEN
        now = time.monotonic()
        self._unwritten_since = min(self._unwritten_since, now)
        if not self._waiting or now - self._unwritten_since >= _MARK_SECONDS:
            self._write_marks()

    def _write_marks(self) -> None:
        self._marks_file.put(self._marks)
        self._unwritten_since = math.inf

    def _read_back(self, at: Positions) -> Values:
        own = [np.asarray([i]) for i in at] + [np.asarray(positions) for positions in self._own]
        stored = np.asarray(self._array.get_orthogonal_selection(tuple(own))) if own else np.asarray(self._array[...])
        return stored.reshape(self.spec.event_shape)


class _Shard:
    """The events of one shard that are in memory, and those that are on disk already."""

    def __init__(self, expected: int, written: list[Positions]) -> None:
        self.expected, self.written = expected, written
        self.values: dict[Positions, Values] = {}

    @property
    def nbytes(self) -> int:
        return sum(values.nbytes for values in self.values.values())

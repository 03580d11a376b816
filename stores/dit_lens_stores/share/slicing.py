"""Copy a part of a store into a new one: some traces, arrays, steps, layers, tokens, with their true labels.

Reading goes through the reader, so only the chunks that are touched are fetched, and whatever is not done raises;
writing goes through the writer, so the copy is a store like any other. Events are copied shard by shard, so the memory
does not grow with the store. Where a trace came from is kept in its manifest as its lineage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from dit_lens_stores.errors import StoreError, UnknownArray, close_match
from dit_lens_stores.layout import SHARD_BYTES
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.reader import Trace
from dit_lens_stores.root import Store
from dit_lens_stores.schema import ArraySpec, Coordinate, Event
from dit_lens_stores.share.choosing import choose

__all__ = ["Slice", "copy_slice", "manifest_of_part"]

_OWN_ATTRIBUTES = ("encoding",)


@dataclass(frozen=True)
class Slice:
    """Which part of a store.

    Attributes
    ----------
    selection : mapping of str to sequence of str
        Terms by axis, as `dit_lens_stores.share.choosing` reads them.
    traces : sequence of str
        All, if there are none.
    arrays : sequence of str
        All that hold something of it, if there are none.
    """

    selection: Mapping[str, Sequence[str]]
    traces: Sequence[str] = ()
    arrays: Sequence[str] = ()

    @property
    def empty(self) -> bool:
        """Whether it is the whole store."""
        return not (self.selection or self.traces or self.arrays)

    def as_json(self) -> dict[str, Any]:
        """The selection as a manifest keeps it.

        Examples
        --------
        >>> Slice({"step": ("0:3",)}).as_json()
        {'select': 'step=0:3'}
        """
        words = ",".join(f"{axis}={'+'.join(terms)}" for axis, terms in self.selection.items())
        return ({"select": words} if words else {}) | ({"arrays": list(self.arrays)} if self.arrays else {})


def copy_slice(
    source: StoreReader,
    out: Store,
    part: Slice,
    lineage: Mapping[str, Any],
    tell: Callable[[int, int], None] = lambda done, size: None,
) -> None:
    """Copy a part of a store; traces that are complete in the copy are left as they are.

    Parameters
    ----------
    source : Store
    out : Store
        Opened for writing.
    part : Slice
    lineage : mapping
        Added to the lineage of each trace, with its id and the selection.
    tell : callable
        Called with (bytes of values done, in all), uncompressed.

    Raises
    ------
    NotDone
        If it touches what is not done.
    StoreError
        If there is no such trace, array or label.
    """
    chosen = [source.get(trace_id) for trace_id in part.traces or source.traces]
    plans = [(trace, _plan(trace, part)) for trace in chosen]
    sizes = [sum(_nbytes(spec) for spec in plan) for _, plan in plans]
    done = 0
    for (trace, plan), size in zip(plans, sizes, strict=True):
        if trace.id not in out or out.status(trace.id) != "complete":
            _copy(trace, plan, out, manifest_of_part(trace, part, lineage))
        tell(done := done + size, sum(sizes))


def manifest_of_part(trace: Trace, part: Slice, lineage: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a trace with one more step in its lineage: where it came from, and what of it.

    Parameters
    ----------
    trace : Trace
    part : Slice
    lineage : mapping

    Returns
    -------
    dict
    """
    earlier = trace.manifest.get("lineage", [])
    step = {**lineage, "trace": trace.id, **part.as_json()}
    return trace.manifest | {"lineage": [*(earlier if isinstance(earlier, list) else []), step]}


def _plan(trace: Trace, part: Slice) -> list[ArraySpec]:
    labels = choose(trace.dataset, part.selection, trace.id)
    specs = [spec for name in _named(trace, part.arrays) if (spec := _spec(trace, name, labels)) is not None]
    if not specs:
        raise StoreError(
            f"trace '{trace.id}' holds nothing of a selection; got {part.as_json()}, allowed what one of its arrays "
            f"holds; widen it"
        )
    return specs


def _named(trace: Trace, arrays: Sequence[str]) -> Sequence[str]:
    for name in arrays:
        if name not in trace.arrays:
            allowed = ", ".join(trace.arrays)
            hint = close_match(name, trace.arrays) or "; name one of them"
            raise UnknownArray(f"trace '{trace.id}' holds no array of that name; got '{name}', allowed {allowed}{hint}")
    return arrays or trace.arrays


def _spec(trace: Trace, name: str, chosen: Mapping[str, set[Any]]) -> ArraySpec | None:
    """What is copied of an array; None if it holds nothing of it."""
    array = trace[name]
    labels = {
        str(dim): tuple(label for label in array[dim].values.tolist() if label in chosen.get(str(dim), {label}))
        for dim in array.dims
    }
    if not all(labels.values()):
        return None
    attributes = {key: value for key, value in array.attrs.items() if key not in _OWN_ATTRIBUTES}
    dtype = "uint8" if array.dtype == np.uint8 else "float32"
    encoding = str(array.attrs.get("encoding", "exact"))
    dims, events = tuple(map(str, array.dims)), tuple(map(str, trace.done(name).dims))
    return ArraySpec(name, dims, labels, events, dtype, attributes, encoding)  # type: ignore[arg-type]


def _copy(trace: Trace, plan: Sequence[ArraySpec], out: Store, manifest: Mapping[str, Any]) -> None:
    writer = out.begin(trace.id, plan, _coordinates(trace, plan), manifest)
    try:
        for spec in plan:
            for event, values in _events(trace[spec.name], spec):
                writer.write(spec.name, event, values)
        writer.finish()
    except BaseException as error:
        if writer.status == "running":
            writer.fail(f"copying stopped: {type(error).__name__}")
        raise


def _events(array: xr.DataArray, spec: ArraySpec) -> Iterator[tuple[Event, Any]]:
    """Every event with its values, read some at a time."""
    inner = {dim: list(spec.labels[dim]) for dim in spec.value_dims}
    if not spec.event_dims:
        yield {}, array.sel(inner).values
        return
    *outer, last = spec.event_dims
    many = max(1, SHARD_BYTES // max(1, 4 * math.prod(spec.event_shape)))
    for labels in product(*(spec.labels[dim] for dim in outer)):
        event = dict(zip(outer, labels, strict=True))
        for at in range(0, len(spec.labels[last]), many):
            some = list(spec.labels[last][at : at + many])
            values = array.sel(event).sel({last: some, **inner}).values
            yield from ((event | {last: label}, values[i]) for i, label in enumerate(some))


def _coordinates(trace: Trace, plan: Sequence[ArraySpec]) -> list[Coordinate]:
    dims = {dim for spec in plan for dim in spec.dims}
    coords = {str(name): value for name, value in trace.dataset.coords.items() if name not in trace.dataset.dims}
    found = []
    for name, values in coords.items():
        dim = str(values.dims[0])
        if dim in dims:
            by_label = dict(zip(trace.dataset[dim].values.tolist(), values.values.tolist(), strict=True))
            dtype: Any = "str" if values.dtype.kind in "OUT" else str(values.dtype)
            found.append(Coordinate(name, dim, by_label, dtype=dtype, attrs=dict(values.attrs)))
    return found


def _nbytes(spec: ArraySpec) -> int:
    return math.prod(len(labels) for labels in spec.labels.values()) * (1 if spec.dtype == "uint8" else 4)

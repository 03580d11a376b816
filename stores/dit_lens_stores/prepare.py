"""Lay a trace out on disk before the model runs: every array, mark and coordinate at its final size.

Arrays are never resized: one array that is out of step with its siblings would keep plain xarray from opening the
group at all. Everything is checked first, so a plan that cannot be stored leaves nothing behind. Labels are Zarr
arrays named like their dimension; other coordinates are listed in the group's ``coordinates`` attribute, which xarray
reads. Words are stored with the variable-length ``string`` type: fixed-length text has no Zarr v3 specification yet
and warns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec

from dit_lens_stores.encoders import Encoders
from dit_lens_stores.errors import StoreError, close_match
from dit_lens_stores.index import as_json
from dit_lens_stores.layout import Layout, array_options, plan_layout
from dit_lens_stores.schema import DONE_SUFFIX, ArraySpec, Coordinate, Label, union_labels
from dit_lens_stores.shards import ArrayWriter, first_marks

__all__ = ["OWN_LABELS", "CoordinateArray", "Plan", "allocate", "make_plan", "reopen"]

OWN_LABELS = "own_labels"
"""Attribute of an array: for each dimension of which it holds fewer labels than the trace, those that it holds."""
Held = Callable[[], AbstractContextManager[None]]
_FILL: dict[str, Any] = {"float64": np.nan, "int64": -1, "str": ""}
_MARK_ATTRS: dict[str, Any] = {
    "flag_values": [0, 1, 2],
    "flag_meanings": "expected_and_not_done done not_part_of_the_capture",
}


@dataclass(frozen=True)
class Plan:
    """What a trace will look like on disk.

    Examples
    --------
    >>> plan = make_plan([ArraySpec("x", ("step",), {"step": (0, 2)}, ("step",))], [])
    >>> plan.labels
    {'step': (0, 2)}
    """

    arrays: tuple[ArraySpec, ...]
    coordinates: tuple[Coordinate, ...]
    labels: dict[str, tuple[Label, ...]]
    layouts: dict[str, Layout]
    values: dict[str, npt.NDArray[Any]]


@dataclass
class CoordinateArray:
    """A coordinate on disk with its values in memory, so that one of them can be set while the model runs.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> spec = ArraySpec("x", ("step",), {"step": (0, 2)}, ("step",))
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> writer = store.begin("t0", [spec], [Coordinate("sigma", "step", {}, dtype="float64")], {})
    >>> writer.set_coordinate("sigma", 2, 0.5)
    >>> store.get("t0", partial=True).dataset.sigma.values
    array([nan, 0.5])
    """

    array: zarr.Array[Any]
    values: npt.NDArray[Any]
    labels: tuple[Label, ...]
    spec: Coordinate

    def set(self, label: Label, value: Any) -> None:
        """Set the value of one label, on disk as well."""
        if label not in self.labels:
            shown = ", ".join(map(str, self.labels[:12]))
            hint = close_match(str(label), map(str, self.labels)) or "; set only what the trace holds"
            where = f"set_coordinate of '{self.spec.name}'"
            raise StoreError(f"{where} has no such {self.spec.dim}; got {label!r}, allowed {shown}{hint}")
        self.values[self.labels.index(label)] = value
        self.array[...] = self.values

    def replace(self, values: Sequence[Any]) -> None:
        """Set the values of all labels, on disk as well."""
        self.values[:] = values
        self.array[...] = self.values


def make_plan(
    arrays: Sequence[ArraySpec],
    coordinates: Sequence[Coordinate],
    chunk_bytes: int | None = None,
    shard_bytes: int | None = None,
) -> Plan:
    """Check what a trace shall hold and work out its labels, chunks and coordinate values; touches no disk.

    Parameters
    ----------
    arrays : sequence of ArraySpec
    coordinates : sequence of Coordinate
    chunk_bytes, shard_bytes : int, optional
        See `dit_lens_stores.layout.plan_layout`.

    Returns
    -------
    Plan

    Raises
    ------
    StoreError
        If names clash, labels do not fit each other, or a coordinate fits no dimension.

    Examples
    --------
    >>> make_plan([], [])
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.StoreError: begin got no array; got 0, allowed at least 1; add a capture
    """
    if not arrays:
        raise StoreError("begin got no array; got 0, allowed at least 1; add a capture")
    labels = union_labels(arrays)
    _check_names(arrays, coordinates, labels)
    for spec in arrays:
        _check_order(spec, labels)
        as_json(f"attrs of array '{spec.name}'", spec.attrs)
    values = {coordinate.name: _coordinate_values(coordinate, labels) for coordinate in coordinates}
    row = _tokens_in_a_row(coordinates, values)
    sizes = {dim: len(held) for dim, held in labels.items()}
    layouts = {spec.name: plan_layout(spec, sizes, row, shard_bytes, chunk_bytes) for spec in arrays}
    return Plan(tuple(arrays), tuple(coordinates), labels, layouts, values)


def allocate(
    group: zarr.Group, plan: Plan, held: Held = nullcontext, encoders: Encoders | None = None, fsync: bool = False
) -> tuple[dict[str, ArrayWriter], dict[str, CoordinateArray]]:
    """Create everything that the plan names inside an empty group.

    Parameters
    ----------
    group : zarr.Group
    plan : Plan
    held : callable, optional
        For the writers: makes the context in which the disk is written.
    encoders : Encoders, optional
    fsync : bool

    Returns
    -------
    tuple of dict
        Writers of the arrays and of the coordinates, by name.

    Examples
    --------
    >>> group = zarr.create_group({}, zarr_format=3)
    >>> _ = allocate(group, make_plan([ArraySpec("x", ("step",), {"step": (0, 2)}, ("step",))], []))
    >>> sorted(group)
    ['step', 'x', 'x_done']
    """
    for dim, labels in plan.labels.items():
        kind = "int64" if isinstance(labels[0], int) else "str"
        _write_vector(group, dim, dim, _vector(kind, labels), {})
    coordinates = {spec.name: _allocate_coordinate(group, spec, plan) for spec in plan.coordinates}
    writers = {}
    for spec in plan.arrays:
        array, done = _allocate_array(group, spec, plan)
        layout = plan.layouts[spec.name]
        writers[spec.name] = ArrayWriter(spec, plan.labels, layout, array, done, held, encoders, fsync)
    return writers, coordinates


def reopen(
    group: zarr.Group, plan: Plan, held: Held = nullcontext, encoders: Encoders | None = None, fsync: bool = False
) -> tuple[dict[str, ArrayWriter], dict[str, CoordinateArray]]:
    """Open what `allocate` has created, to go on with it.

    Parameters
    ----------
    group, plan, held, encoders, fsync
        See `allocate`.

    Returns
    -------
    tuple of dict
        Writers of the arrays and of the coordinates, by name.

    Examples
    --------
    >>> group = zarr.create_group({}, zarr_format=3)
    >>> plan = make_plan([ArraySpec("x", ("step",), {"step": (0, 2)}, ("step",))], [])
    >>> _ = allocate(group, plan)
    >>> writers, _ = reopen(group, plan)
    >>> writers["x"].missing()
    [{'step': 0}, {'step': 2}]
    """
    writers = {}
    for spec in plan.arrays:
        array, done = _array_of(group, spec.name), _array_of(group, spec.name + DONE_SUFFIX)
        layout = plan.layouts[spec.name]
        writers[spec.name] = ArrayWriter(spec, plan.labels, layout, array, done, held, encoders, fsync)
    coordinates = {}
    for given in plan.coordinates:
        array = _array_of(group, given.name)
        values = np.array(np.asarray(array[...]).tolist(), dtype=plan.values[given.name].dtype)
        coordinates[given.name] = CoordinateArray(array, values, plan.labels[given.dim], given)
    return writers, coordinates


def _array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _allocate_coordinate(group: zarr.Group, spec: Coordinate, plan: Plan) -> CoordinateArray:
    array = _write_vector(group, spec.name, spec.dim, plan.values[spec.name], as_json(spec.name, spec.attrs))
    return CoordinateArray(array, plan.values[spec.name].copy(), plan.labels[spec.dim], spec)


def _allocate_array(group: zarr.Group, spec: ArraySpec, plan: Plan) -> tuple[zarr.Array[Any], zarr.Array[Any]]:
    fewer = {dim: list(own) for dim, own in spec.labels.items() if len(own) < len(plan.labels[dim])}
    attrs = as_json(spec.name, spec.attrs) | {"encoding": spec.encoding} | ({OWN_LABELS: fewer} if fewer else {})
    array = group.create_array(spec.name, attributes=attrs, **array_options(spec, plan.layouts[spec.name]))
    marks = first_marks(spec, plan.labels)
    done = group.create_array(
        spec.name + DONE_SUFFIX,
        shape=marks.shape,
        chunks=marks.shape,
        dtype="uint8",
        fill_value=0,
        serializer=BytesCodec(),
        compressors=(Crc32cCodec(),),
        dimension_names=spec.event_dims,
        attributes=_MARK_ATTRS,
        config={"write_empty_chunks": True},
    )
    done[...] = marks
    return array, done


def _write_vector(
    group: zarr.Group, name: str, dim: str, values: npt.NDArray[Any], attrs: dict[str, Any]
) -> zarr.Array[Any]:
    words = values.dtype == object
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=values.shape,
        dtype="str" if words else values.dtype,
        fill_value=_FILL["str" if words else str(values.dtype)],
        compressors=(Crc32cCodec(),),
        dimension_names=(dim,),
        attributes=attrs,
        config={"write_empty_chunks": True},
    )
    array[...] = values
    return array


def _vector(kind: str, values: Sequence[Any]) -> npt.NDArray[Any]:
    return np.array(values, dtype=object if kind == "str" else kind)


def _coordinate_values(spec: Coordinate, labels: Mapping[str, tuple[Label, ...]]) -> npt.NDArray[Any]:
    held, kind = labels[spec.dim], spec.kind
    if isinstance(spec.values, Mapping):
        return _vector(kind, [spec.values.get(label, _FILL[kind]) for label in held])
    if len(spec.values) != len(held):
        raise StoreError(
            f"coordinate '{spec.name}' has another length than '{spec.dim}'; got {len(spec.values)} values, allowed "
            f"{len(held)} (the union of all arrays' labels); give a mapping from label to value"
        )
    return _vector(kind, list(spec.values))


def _tokens_in_a_row(coordinates: Sequence[Coordinate], values: Mapping[str, npt.NDArray[Any]]) -> int:
    if not any((spec.name, spec.dim) == ("x", "token") for spec in coordinates):
        return 1
    return len(np.unique(values["x"]))


def _check_order(spec: ArraySpec, labels: Mapping[str, tuple[Label, ...]]) -> None:
    for dim in spec.value_dims:
        own = set(spec.labels[dim])
        if list(spec.labels[dim]) != [label for label in labels[dim] if label in own]:
            raise StoreError(
                f"array '{spec.name}' has labels of '{dim}' in another order; got {spec.labels[dim]}, allowed the "
                f"order of {labels[dim]}; use one order in every array"
            )


def _check_names(
    arrays: Sequence[ArraySpec], coordinates: Sequence[Coordinate], labels: Mapping[str, tuple[Label, ...]]
) -> None:
    taken = list(labels)
    for name in [*(spec.name for spec in arrays), *(spec.name for spec in coordinates)]:
        if name in taken:
            raise StoreError(f"begin got one name twice; got '{name}', allowed each name once; rename one of the two")
        taken.append(name)
    for spec in coordinates:
        if spec.dim not in labels:
            hint = close_match(spec.dim, labels) or "; put it on a dimension of an array"
            allowed = ", ".join(labels)
            raise StoreError(f"coordinate '{spec.name}' is on no dimension; got '{spec.dim}', allowed {allowed}{hint}")

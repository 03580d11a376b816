"""What a trace holds, as data: arrays with named dimensions and the model's own labels, and coordinates along them.

An ``ArraySpec`` names every label that its array holds. Captures may select different labels, yet all arrays of a
trace share one group, so that plain xarray opens them together: the group's dimensions carry the *union* of the
labels, and what an array does not hold stays at the fill value and is marked "not part of the capture". The leading
*event dimensions* are those that one write fixes; for ``block.out`` an event is one (branch, step, layer).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from numbers import Integral, Real
from typing import Any, Literal

from dit_lens_stores.encodings import check_encoding, fill_value, stored_dtype
from dit_lens_stores.errors import StoreError

__all__ = [
    "CONVENTION",
    "DONE_SUFFIX",
    "EXPECTED",
    "FORMAT",
    "FORMAT_KEY",
    "NOT_PART",
    "SUMS",
    "WRITTEN",
    "ArraySpec",
    "Coordinate",
    "Event",
    "Label",
    "check_trace_id",
    "union_labels",
]

FORMAT = "1.0"
"""Version of the layout on disk; a reader refuses another major number."""
FORMAT_KEY = "dit_lens_format"
CONVENTION = {
    "uuid": "7d3f0c52-6a0e-4c1b-9b5e-2f6d8a41c9e7",
    "name": "dit_lens_format",
    "description": "Activations of a video diffusion transformer by step, layer, frame and token; format 1.",
}
"""How the root of a store declares itself among the Zarr conventions; the uuid never changes within a major format."""
DONE_SUFFIX = "_done"
SUMS = "SHA256SUMS"
"""Hashes of all files of a store that was shared."""
EXPECTED, WRITTEN, NOT_PART = 0, 1, 2
"""The done marks of an event: expected and not there yet, in place, not part of the capture."""

Label = int | str
Event = dict[str, Label]
_DTYPES = ("float32", "uint8")
_COMPRESSORS = ("auto", "lz4", "zstd", "none")
_TAKEN = "zarr.json"  # beside the traces lies the root group's own file
_NOT_IN_NAMES = re.compile(r"[/\\\x00-\x1f\x7f]")
_TRACE_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class ArraySpec:
    """One array of a trace.

    Attributes
    ----------
    name : str
        Site and reduction, such as ``"block.out.energy"``.
    dims : tuple of str
        All dimensions, the event dimensions first.
    labels : mapping of str to tuple of int or str
        For every dimension the labels that this array holds, the model's own numbers, rising.
    event_dims : tuple of str
        The leading dimensions that one write fixes; empty if the array is written at once.
    dtype : {"float32", "uint8"}
        uint8 is for video.
    attrs : mapping
        JSON-able facts: site, reduction, source_dtype, units, long_name.
    encoding : str
        How float32 is kept: ``exact``, ``bits`` (uint16 bit patterns of bfloat16), ``float16`` or ``bitround:N``; see
        `dit_lens_stores.encodings`. uint8 is always exact.
    compressor : {"auto", "lz4", "zstd", "none"}
        lz4 is the fastest that gains something, zstd the smallest; ``auto`` is zstd for video and lz4 for the rest.
    checksum : bool
        Keep a crc32c of every chunk, so that a flipped bit is an error. Without it and without a compressor a write is
        as fast as the disk.

    Examples
    --------
    >>> spec = ArraySpec("latent.energy", ("step", "frame"), {"step": (0, 2), "frame": (0, 1, 2)}, ("step",))
    >>> spec.event_shape, spec.events()
    ((3,), [{'step': 0}, {'step': 2}])
    """

    name: str
    dims: tuple[str, ...]
    labels: Mapping[str, tuple[Label, ...]]
    event_dims: tuple[str, ...] = ()
    dtype: Literal["float32", "uint8"] = "float32"
    attrs: Mapping[str, Any] = field(default_factory=dict)
    encoding: str = "exact"
    compressor: Literal["auto", "lz4", "zstd", "none"] = "auto"
    checksum: bool = True

    def __post_init__(self) -> None:
        where = f"array '{self.name}'"
        if not _is_name(self.name) or self.name.endswith(DONE_SUFFIX):
            rule = "a name without '/', '\\' and control characters, a leading dot or '__', not ending in '_done'"
            raise StoreError(f"ArraySpec refused its name; got {self.name!r}, allowed {rule}; rename it")
        if self.dtype not in _DTYPES:
            raise StoreError(f"{where} has a dtype; got '{self.dtype}', allowed {', '.join(_DTYPES)}; widen to float32")
        if self.compressor not in _COMPRESSORS:
            allowed = ", ".join(_COMPRESSORS)
            raise StoreError(f"{where} has a compressor; got '{self.compressor}', allowed {allowed}; leave it out")
        check_encoding(self.encoding, self.dtype, where)
        if self.event_dims != self.dims[: len(self.event_dims)]:
            raise StoreError(
                f"{where} has event_dims that do not lead; got {self.event_dims}, allowed a beginning of {self.dims}; "
                f"put the event dimensions first"
            )
        if set(self.labels) != set(self.dims) or len(set(self.dims)) != len(self.dims):
            raise StoreError(
                f"{where} has labels that do not fit its dims; got labels of {sorted(self.labels)}, allowed exactly "
                f"{sorted(set(self.dims))}; give every dimension its labels once"
            )
        plain = {dim: tuple(map(_plain, self.labels[dim])) for dim in self.dims}
        for dim in self.dims:
            _check_labels(where, dim, plain[dim])
        object.__setattr__(self, "labels", plain)

    @property
    def stored_dtype(self) -> str:
        """The dtype on disk."""
        return stored_dtype(self.dtype, self.encoding)

    @property
    def fill(self) -> Any:
        """What stands on disk for values that were never written."""
        return fill_value(self.dtype, self.encoding)

    @property
    def value_dims(self) -> tuple[str, ...]:
        """The dimensions of one event's values."""
        return self.dims[len(self.event_dims) :]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one event's values."""
        return tuple(len(self.labels[dim]) for dim in self.value_dims)

    def events(self) -> list[Event]:
        """Every event that the array expects, the last event dimension fastest."""
        combinations = product(*(self.labels[dim] for dim in self.event_dims))
        return [dict(zip(self.event_dims, labels, strict=True)) for labels in combinations]


@dataclass(frozen=True)
class Coordinate:
    """A variable along one dimension, such as ``sigma`` on ``step`` or ``y`` on ``token``.

    Attributes
    ----------
    name, dim : str
    values : sequence or mapping
        A mapping from label to value, which may hold more labels than the trace; or a sequence, one value for every
        label of the union (see `union_labels`). Labels that a mapping lacks are filled: NaN, an empty string, or -1.
    attrs : mapping
    dtype : {"float64", "int64", "str"}, optional
        Taken from the values if not given; needed when there are none yet.

    Examples
    --------
    >>> Coordinate("y", "token", {0: 0, 1: 0, 2: 1}).kind
    'int64'
    >>> Coordinate("sigma", "step", {}, dtype="float64").kind
    'float64'
    """

    name: str
    dim: str
    values: Sequence[Any] | Mapping[Any, Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    dtype: Literal["float64", "int64", "str"] | None = None

    @property
    def kind(self) -> str:
        """The dtype that the values are stored as."""
        if self.dtype is not None:
            return self.dtype
        values = list(self.values.values() if isinstance(self.values, Mapping) else self.values)
        if values and all(isinstance(value, str) for value in values):
            return "str"
        if values and all(isinstance(value, Integral) for value in values):
            return "int64"
        if values and all(isinstance(value, Real) for value in values):
            return "float64"
        raise StoreError(
            f"coordinate '{self.name}' has values of no one kind; got {values[:3]}, allowed all str, all integers or "
            f"all floats; give its dtype"
        )


def union_labels(arrays: Sequence[ArraySpec]) -> dict[str, tuple[Label, ...]]:
    """Return the labels that a trace's dimensions carry: the union over its arrays, numbers rising, words as first met.

    Parameters
    ----------
    arrays : sequence of ArraySpec

    Returns
    -------
    dict of str to tuple

    Examples
    --------
    >>> first = ArraySpec("a", ("step",), {"step": (0, 4)}, ("step",))
    >>> union_labels([first, ArraySpec("b", ("step",), {"step": (2, 4)}, ("step",))])
    {'step': (0, 2, 4)}
    """
    met: dict[str, dict[Label, None]] = {}
    for spec in arrays:
        for dim in spec.dims:
            met.setdefault(dim, {}).update(dict.fromkeys(spec.labels[dim]))
    return {dim: _in_order(dim, tuple(labels)) for dim, labels in met.items()}


def check_trace_id(trace_id: str) -> str:
    """Return a trace id unchanged if a store can hold it.

    Parameters
    ----------
    trace_id : str
        Lower-case letters, digits, ``.``, ``_`` and ``-``, a letter or digit first; not ``zarr.json``.

    Returns
    -------
    str

    Raises
    ------
    StoreError
        If it has another form.

    Examples
    --------
    >>> check_trace_id("maze-5-0.seed-3")
    'maze-5-0.seed-3'
    """
    if not _TRACE_ID.fullmatch(trace_id):
        proposal = re.sub(r"[^a-z0-9._-]+", "-", trace_id.lower()).strip("._-") or "trace-0"
        raise StoreError(
            f"begin refused a trace id; got '{trace_id}', allowed [a-z0-9][a-z0-9._-]*; did you mean '{proposal}'?"
        )
    if trace_id == _TAKEN:
        raise StoreError(
            f"begin refused a trace id; got '{trace_id}', allowed any name but that of Zarr's own file; did you mean "
            f"'{trace_id.replace('.', '-')}'?"
        )
    return trace_id


def _is_name(name: str) -> bool:
    return bool(name) and not name.startswith((".", "__")) and not _NOT_IN_NAMES.search(name)


def _plain(label: Any) -> Any:
    """Turn numpy's integers and words into Python's, which JSON holds."""
    if isinstance(label, str | bool):
        return label if isinstance(label, bool) else str(label)
    return int(label) if isinstance(label, Integral) else label


def _check_labels(where: str, dim: str, labels: tuple[Label, ...]) -> None:
    whole = all(type(label) is int for label in labels) or all(type(label) is str for label in labels)
    rising = whole and (isinstance(next(iter(labels), ""), str) or list(labels) == sorted(labels))
    if not labels or not rising or len(set(labels)) != len(labels):
        raise StoreError(
            f"{where} has labels of '{dim}' that cannot be stored; got {_short(labels)}, allowed rising integers or "
            f"different words, at least one; sort them and drop what is double"
        )


def _in_order(dim: str, labels: tuple[Label, ...]) -> tuple[Label, ...]:
    numbers = [label for label in labels if isinstance(label, int)]
    if numbers and len(numbers) != len(labels):
        raise StoreError(
            f"begin found two kinds of labels along '{dim}'; got {_short(labels)}, allowed all integers or all words; "
            f"use one kind in every array"
        )
    return tuple(sorted(numbers)) or labels


def _short(values: Sequence[Any]) -> str:
    return str(tuple(values)) if len(values) <= 6 else f"({', '.join(map(repr, values[:5]))}, ...)"

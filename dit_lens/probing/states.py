"""Keep the state of a probe in one file that holds no code: plain arrays, and a text that says how they hang together.

The file is a zip of ``.npy`` arrays and JSON. A state may be made of numbers, text, None, tuples, lists, sets, dicts,
numpy arrays, xarray datasets and arrays, and of dataclasses and named tuples of the probe's own package. Anything else
is refused by the name of its type. Nothing is pickled. A class is never imported because a file names it: it must be
there already, beside the probe that the user asked for, and it is made again from its fields.

In the JSON, a number, a text, true, false and null stand for themselves; everything else is a list whose first entry
says what it is.
"""

from __future__ import annotations

import json
import math
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens.probing.errors import BadShard, BadState
from dit_lens.probing.protocol import Probe, State

__all__ = ["check_state", "read_header", "read_state", "write_state"]

Node = Any
"""A value as JSON can hold it."""
_TREE, _HEADER = "state.json", "header.json"
_KINDS = "biufcSUmM"  # of arrays that a plain .npy holds
_SEQUENCES: dict[type, str] = {tuple: "tuple", list: "list", set: "set", frozenset: "frozenset"}
_READ = (*_SEQUENCES.values(), "float", "dict", "scalar", "array", "objects", "dataset", "dataarray", "record")
_ALLOWED = "numbers, text, tuples, lists, sets, dicts, numpy arrays, xarray datasets and dataclasses of its package"


def check_state(state: State, probe: Probe) -> None:
    """Refuse a state that no file can keep.

    Parameters
    ----------
    state : State
    probe : Probe
        Whose state it is.

    Raises
    ------
    BadState

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> check_state({"sums": (np.zeros(3), 7)}, Energy())
    >>> check_state({"sums": object()}, Energy())
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.BadState: the state of probe 'energy' cannot be kept in a file; got object, allowed ...
    """
    _Writer(probe, lambda array: 0).node(state)


def write_state(state: State, probe: Probe, path: Path, header: Mapping[str, Any]) -> None:
    """Write a state; the file has its name when it is whole.

    Parameters
    ----------
    state : State
    probe : Probe
    path : pathlib.Path
    header : mapping
        JSON-able; read again by ``read_header`` without the state.

    Raises
    ------
    BadState

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> path = getfixture("tmp_path") / "part.state"
    >>> write_state({("a", 3): np.arange(2.0)}, Energy(), path, {"shard": [0, 2]})
    >>> read_header(path), read_state(path, Energy())
    ({'shard': [0, 2]}, {('a', 3): array([0., 1.])})
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.writestr(_HEADER, json.dumps(header))
            archive.writestr(_TREE, json.dumps(_Writer(probe, _Arrays(archive).add).node(state)))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_header(path: Path) -> dict[str, Any]:
    """What was noted beside a state.

    Raises
    ------
    BadShard
        If the file is none that ``write_state`` wrote.
    """
    return cast("dict[str, Any]", _read(path, lambda archive: dict(json.loads(archive.read(_HEADER)))))


def read_state(path: Path, probe: Probe) -> State:
    """Read a state of a probe again.

    Raises
    ------
    BadShard
        If the file is none that ``write_state`` wrote, or it names a class that the probe's package does not have.
    """
    return _read(path, lambda archive: _Reader(archive, probe).value(json.loads(archive.read(_TREE))))


@dataclass
class _Arrays:
    """Arrays as members of a zip, by number."""

    archive: zipfile.ZipFile
    count: int = 0

    def add(self, array: npt.NDArray[Any]) -> int:
        with self.archive.open(f"{self.count}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, array, allow_pickle=False)
        self.count += 1
        return self.count - 1


@dataclass
class _Writer:
    probe: Probe
    add: Callable[[npt.NDArray[Any]], int]

    def node(self, value: Any) -> Node:  # noqa: C901  (one line for each kind)
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else ["float", str(value)]
        if kind in _SEQUENCES:
            return [_SEQUENCES[kind], [self.node(entry) for entry in value]]
        if kind is dict:
            return ["dict", [[self.node(key), self.node(entry)] for key, entry in value.items()]]
        if isinstance(value, np.generic):
            return ["scalar", self.array(np.asarray(value))]
        if kind is np.ndarray:
            return self.array(value)
        if kind is xr.DataArray:
            return ["dataarray", self.dataset(value.to_dataset(name="value")), self.node(value.name)]
        if kind is xr.Dataset:
            return ["dataset", self.dataset(value)]
        return self.record(value)

    def array(self, array: npt.NDArray[Any]) -> Node:
        if array.dtype.kind == "O":
            return ["objects", list(array.shape), [self.node(entry) for entry in array.ravel().tolist()]]
        if array.dtype.kind not in _KINDS:
            raise self.refuse(f"an array of {array.dtype}")
        return ["array", self.add(array)]

    def dataset(self, dataset: xr.Dataset) -> Node:
        if odd := [str(name) for name in dataset.xindexes if name not in dataset.dims]:
            raise self.refuse(f"an index of several coordinates ({', '.join(odd)})")
        variables = [[self.node(name), self.variable(variable)] for name, variable in dataset.variables.items()]
        return [variables, [self.node(name) for name in dataset.coords], self.node(dict(dataset.attrs))]

    def variable(self, variable: xr.Variable) -> Node:
        return [[self.node(dim) for dim in variable.dims], self.array(variable.values), self.node(dict(variable.attrs))]

    def record(self, value: Any) -> Node:
        kind = type(value)
        if not _is_own(kind, self.probe):
            home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            raise self.refuse(f"{home}{kind.__qualname__}")
        home = "" if kind.__module__ == type(self.probe).__module__ else kind.__module__
        return ["record", home, kind.__qualname__, [[name, self.node(getattr(value, name))] for name in _fields(kind)]]

    def refuse(self, got: str) -> BadState:
        return BadState(
            f"the state of probe '{self.probe.name}' cannot be kept in a file; got {got}, allowed {_ALLOWED}; run it "
            f"without --shard, or change its state"
        )


@dataclass
class _Reader:
    archive: zipfile.ZipFile
    probe: Probe

    def value(self, node: Node) -> Any:
        if not isinstance(node, list):
            return node
        kind, *rest = node
        if kind not in _READ:
            raise ValueError(f"a value of kind {kind!r}")
        make: Callable[..., Any] = getattr(self, f"_{kind}")
        return make(*rest)

    def _float(self, text: str) -> float:
        return float(text)

    def _tuple(self, nodes: list[Node]) -> tuple[Any, ...]:
        return tuple(map(self.value, nodes))

    def _list(self, nodes: list[Node]) -> list[Any]:
        return list(map(self.value, nodes))

    def _set(self, nodes: list[Node]) -> set[Any]:
        return set(map(self.value, nodes))

    def _frozenset(self, nodes: list[Node]) -> frozenset[Any]:
        return frozenset(map(self.value, nodes))

    def _dict(self, pairs: list[list[Node]]) -> dict[Any, Any]:
        return {self.value(key): self.value(entry) for key, entry in pairs}

    def _scalar(self, node: Node) -> Any:
        return self.value(node)[()]

    def _array(self, number: int) -> npt.NDArray[Any]:
        with self.archive.open(f"{int(number)}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)

    def _objects(self, shape: list[int], nodes: list[Node]) -> npt.NDArray[np.object_]:
        flat = np.empty(len(nodes), dtype=object)
        flat[:] = [self.value(node) for node in nodes]
        return flat.reshape(shape)

    def _dataset(self, parts: list[Node]) -> xr.Dataset:
        variables, coords, attrs = parts
        made = {self.value(name): self._variable(*variable) for name, variable in variables}
        names = [self.value(name) for name in coords]
        held = {name: variable for name, variable in made.items() if name not in names}
        return xr.Dataset(held, {name: made[name] for name in names}, self.value(attrs))

    def _variable(self, dims: list[Node], values: Node, attrs: Node) -> xr.Variable:
        return xr.Variable(tuple(map(self.value, dims)), self.value(values), self.value(attrs))

    def _dataarray(self, parts: list[Node], name: Node) -> xr.DataArray:
        return self._dataset(parts)["value"].rename(self.value(name))

    def _record(self, module: str, name: str, values: list[list[Node]]) -> Any:
        kind: Any = sys.modules.get(module or type(self.probe).__module__)
        for part in name.split("."):
            kind = getattr(kind, part, None)
        if not (isinstance(kind, type) and _is_own(kind, self.probe)):
            raise ValueError(f"{module}.{name}, which the package of probe '{self.probe.name}' does not have")
        return kind(**{field: self.value(node) for field, node in values})


def _is_own(kind: type, probe: Probe) -> bool:
    """Whether a class is made of fields and belongs to the package of a probe."""
    home = type(probe).__module__.partition(".")[0]
    is_record = is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    return is_record and kind.__module__.partition(".")[0] == home


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.init) if is_dataclass(kind) else tuple(kind._fields)  # type: ignore[attr-defined]


def _read(path: Path, read: Callable[[zipfile.ZipFile], Any]) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return read(archive)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadShard(
            f"'{path}' is no part of an analysis; got {reason}, allowed what --shard wrote; make it again"
        ) from error

"""Read one trace as xarray, lazily.

The group on disk carries the union of all labels; an array read here is narrowed to the labels that it holds, and
keeps their true numbers. Nothing is loaded before it is asked for. A trace that is not complete opens as well, and what
is done of it can be read; a selection that touches anything else raises and names it, because NaN that was never
computed must not be taken for data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from dit_lens_stores.errors import StoreError, UnknownArray, close_match
from dit_lens_stores.lazy import EventArray, lazy_variable
from dit_lens_stores.nodes import read_group
from dit_lens_stores.places import Place, place_of
from dit_lens_stores.presence import lost_events, lost_files
from dit_lens_stores.schema import DONE_SUFFIX, EXPECTED, Event
from dit_lens_stores.vectors import OWN_LABELS, Contents

__all__ = ["Trace"]


class Trace:
    """One trace of a store, read only; made by ``store[trace_id]`` or `Store.get`.

    Parameters
    ----------
    store : str, pathlib.Path or Place
        The store.
    trace_id : str
    partial : bool
        Read what is not done as NaN.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> spec = ArraySpec("x", ("step", "frame"), {"step": (0, 1), "frame": (3, 5)}, ("step",))
    >>> writer = store.begin("t0", [spec], [], {"seed": 3})
    >>> writer.write("x", {"step": 1}, np.array([1, 2], np.float32))
    >>> writer.fail("stopped")
    >>> trace = store["t0"]
    >>> trace.manifest, trace.missing()
    ({'seed': 3}, [('x', {'step': 0})])
    >>> float(trace["x"].sel(step=1, frame=5))
    2.0
    >>> trace["x"].sel(step=0).values
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.NotDone: reading trace 't0' found what is not done in ...; got x[step=0], allowed ...
    """

    def __init__(self, store: str | Path | Place, trace_id: str, partial: bool = False) -> None:
        self.place, self.id, self.partial = place_of(store), trace_id, partial
        self._attrs: dict[str, Any] = read_group(self.place, trace_id) or {}
        self._contents = Contents(self.place, trace_id, self._attrs)

    @property
    def path(self) -> str:
        """The store, as it is named in messages: a path or an address."""
        return self.place.name

    @property
    def manifest(self) -> dict[str, Any]:
        """Everything needed to run it again."""
        manifest = self._attrs.get("manifest", {})
        return dict(manifest) if isinstance(manifest, Mapping) else {}

    @property
    def status(self) -> str:
        """``"running"``, ``"complete"`` or ``"failed"``, as it was when the trace was opened."""
        return str(self._attrs.get("status", "running"))

    @property
    def reason(self) -> str | None:
        """Why it failed, if it did."""
        return self._attrs.get("reason")

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of its arrays."""
        return self._contents.arrays

    @cached_property
    def dataset(self) -> xr.Dataset:
        """All arrays with the union of their labels; what an array does not hold is NaN (0 in video)."""
        self._contents.load(self.arrays)
        there = self._held() if self.partial else self.arrays
        variables = {name: self._variable(name) for name in there}
        coords = self._coords(dict.fromkeys(dim for variable in variables.values() for dim in variable.dims))
        return xr.Dataset(variables, coords, {"trace_id": self.id, "status": self.status})

    def __getitem__(self, name: str) -> xr.DataArray:
        """One array, lazy, narrowed to the labels that it holds, with its coordinates."""
        self._check_known(name)
        variable = self._variable(name)
        array = xr.DataArray(variable, self._coords(variable.dims), name=name)
        own = self._own_positions(name)
        return array.isel({dim: _narrow(at) for dim, at in own.items()})

    def sel(self, **labels: Any) -> xr.Dataset:
        """Select by the model's own labels in all arrays at once, lazily.

        Parameters
        ----------
        **labels : int, str, list, range or slice
            By dimension. A slice holds both its ends, as everywhere in xarray; a range is without its last.

        Returns
        -------
        xarray.Dataset
            Without the arrays that hold nothing of it.

        Raises
        ------
        StoreError
            If the trace has no such dimension or label.

        Examples
        --------
        >>> from dit_lens_stores import ArraySpec, create_store
        >>> store = create_store(getfixture("tmp_path") / "s.zarr")
        >>> writer = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 4)}, ("step",))], [], {})
        >>> writer.write("x", {"step": 4}, np.float32(1))
        >>> writer.fail("stopped")
        >>> float(store["t0"].sel(step=4)["x"])
        1.0
        """
        held = {str(dim): self._contents.labels(str(dim)) for dim in self.dataset.dims}
        chosen = {dim: self._wanted(dim, wanted, held) for dim, wanted in labels.items()}
        out = [name for name in self.dataset.data_vars if not self._holds(str(name), chosen)]
        return self.dataset.drop_vars(out).sel(chosen)

    def done(self, name: str) -> xr.DataArray:
        """Return the done marks of an array: 0 expected and not done, 1 done, 2 not part of the capture.

        Parameters
        ----------
        name : str

        Returns
        -------
        xarray.DataArray of uint8, over the array's event dimensions
        """
        self._check_known(name)
        marks, dims = self._contents.marks(name), self._contents.mark_dims(name)
        return xr.DataArray(marks.copy(), self._coords(dims), dims, name + DONE_SUFFIX)

    def missing(self) -> list[tuple[str, Event]]:
        """List the events that are expected and not there, as (array, event).

        An event whose file was lost since is among them. The events are empty, one for each array, if the writer was
        killed before the trace was laid out.
        """
        self._contents.load(self.arrays)
        return [(name, event) for name in self.arrays for event in self._missing_of(name)]

    def lost(self) -> tuple[str, ...]:
        """List the files that were written and are gone, as paths inside the store; Zarr reads them as NaN."""
        return tuple(f"{self.id}/{file}" for file in lost_files(self._contents))

    def _missing_of(self, name: str) -> list[Event]:
        if not self._contents.laid_out():
            return [{}]
        marks, dims = self._contents.marks(name), self._contents.mark_dims(name)
        wanted = {tuple(at.tolist()) for at in np.argwhere(marks == EXPECTED)} | set(lost_events(self._contents, name))
        labels = [self._contents.labels(dim) for dim in dims]
        return [{dim: held[i] for dim, held, i in zip(dims, labels, at, strict=True)} for at in sorted(wanted)]

    def _variable(self, name: str) -> xr.Variable:
        contents = self._contents
        node, marks = contents.node(name), contents.marks(name)
        labels = [contents.labels(dim) for dim in contents.mark_dims(name)]
        values = node.dims[marks.ndim :]
        own = {dim: set(at) for dim, at in self._own_positions(name).items() if dim in values}
        array = EventArray(self.place, self.id, node, marks, labels, own, self.partial)
        return lazy_variable(array, {key: kept for key, kept in node.attributes.items() if key != OWN_LABELS})

    def _own_positions(self, name: str) -> dict[str, list[int]]:
        found = {}
        for dim, labels in self._contents.own_labels(name).items():
            wanted = set(labels)
            found[dim] = [i for i, label in enumerate(self._contents.labels(dim)) if label in wanted]
        return found

    def _coords(self, dims: Any) -> dict[str, xr.Variable]:
        names = [str(dim) for dim in dims]
        coords = {dim: xr.Variable((dim,), self._contents.vector(dim).copy()) for dim in names}
        self._contents.load([])
        for name in self._contents.coordinates:
            dim = self._contents.dim_of(name)
            if dim is None and not self.partial:
                self._contents.vector(name)  # says which file is lost
            if dim in names and name not in coords:
                coords[name] = xr.Variable((dim,), self._contents.vector(name).copy())
        return coords

    def _wanted(self, dim: str, wanted: Any, held: Mapping[str, list[Any]]) -> Any:
        if dim not in held:
            hint = close_match(dim, held) or "; name one of them"
            raise StoreError(
                f"sel of trace '{self.id}' has no such dimension; got '{dim}', allowed {', '.join(held)}{hint}"
            )
        if isinstance(wanted, slice):
            return wanted
        named = [wanted] if isinstance(wanted, str | int | np.integer) else list(wanted)
        if absent := [label for label in named if label not in held[dim]]:
            shown = ", ".join(map(str, held[dim][:12])) + (", ..." if len(held[dim]) > 12 else "")
            hint = close_match(str(absent[0]), map(str, held[dim])) or "; select what the trace holds"
            raise StoreError(f"sel of trace '{self.id}' has no such {dim}; got {absent[0]!r}, allowed {shown}{hint}")
        return wanted if isinstance(wanted, str | int | np.integer) else named

    def _holds(self, name: str, chosen: Mapping[str, Any]) -> bool:
        """Whether an array holds something of what is selected."""
        array = self[name]
        return all(_any_of(array.indexes[dim], wanted) for dim, wanted in chosen.items() if dim in array.dims)

    def _check_known(self, name: str) -> None:
        if name not in self.arrays:
            hint = close_match(name, self.arrays) or "; name one of them, or trace again with a capture of it"
            allowed = ", ".join(self.arrays)
            raise UnknownArray(f"trace '{self.id}' holds no array of that name; got '{name}', allowed {allowed}{hint}")

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        from dit_lens_stores.summary import trace_in_words

        return trace_in_words(self)

    def _repr_html_(self) -> str:
        from dit_lens_stores.html.traces import trace_html

        return trace_html(self)

    @property
    def held(self) -> tuple[str, ...]:
        """The names of the arrays of which there is something to read."""
        return tuple(self._held())

    def _held(self) -> list[str]:
        self._contents.load(self.arrays)
        contents = self._contents
        held = self.arrays if contents.laid_out() else ()
        return [name for name in held if contents.has(name) and contents.has(name + DONE_SUFFIX)]


def _any_of(index: Any, wanted: Any) -> bool:
    if isinstance(wanted, slice):
        return len(index[index.slice_indexer(wanted.start, wanted.stop, wanted.step)]) > 0
    return bool(index.isin([wanted] if isinstance(wanted, str | int | np.integer) else wanted).any())


def _narrow(at: list[int]) -> slice | list[int]:
    """Where own labels sit in the union; a slice where they sit together, because that reads fewer chunks at once."""
    return slice(at[0], at[-1] + 1) if at[-1] - at[0] + 1 == len(at) else at

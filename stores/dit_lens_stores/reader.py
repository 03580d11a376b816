"""Read one trace as xarray, lazily.

The group on disk carries the union of all labels; an array read here is narrowed to the labels that it holds, and
keeps their true numbers. Nothing is loaded before it is asked for. A trace that is not complete opens only when the
caller says so: NaN that was never computed must not be taken for data.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from dit_lens_stores.errors import UnknownArray, close_match
from dit_lens_stores.index import read_attributes
from dit_lens_stores.prepare import OWN_LABELS
from dit_lens_stores.presence import lost_events, lost_files
from dit_lens_stores.schema import DONE_SUFFIX, EXPECTED, Event

__all__ = ["Trace"]


class Trace:
    """One trace of a store, read only; made by ``store[trace_id]`` or `Store.get`.

    Parameters
    ----------
    path : pathlib.Path
        The store.
    trace_id : str

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> spec = ArraySpec("x", ("step", "frame"), {"step": (0, 1), "frame": (3, 5)}, ("step",))
    >>> writer = store.begin("t0", [spec], [], {"seed": 3})
    >>> writer.write("x", {"step": 1}, np.array([1, 2], np.float32))
    >>> trace = store.get("t0", partial=True)
    >>> trace.manifest, trace.missing()
    ({'seed': 3}, [('x', {'step': 0})])
    >>> float(trace["x"].sel(step=1, frame=5))
    2.0
    """

    def __init__(self, path: Path, trace_id: str) -> None:
        self.path, self.id = path, trace_id
        self._attrs: dict[str, Any] = read_attributes(path / trace_id) or {}

    @property
    def manifest(self) -> dict[str, Any]:
        """Everything needed to run it again."""
        return dict(self._attrs.get("manifest", {}))

    @property
    def status(self) -> str:
        """``"running"``, ``"complete"`` or ``"failed"``, as it was when the trace was opened."""
        return str(self._attrs.get("status", "running"))

    @property
    def reason(self) -> str | None:
        """Why it failed, if it did."""
        return self._attrs.get("reason")

    @property
    def created(self) -> str:
        """When it was begun, in UTC."""
        return str(self._attrs.get("created", ""))

    @property
    def finished(self) -> str | None:
        """When it was finished or failed, in UTC."""
        return self._attrs.get("finished")

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of its arrays."""
        return tuple(self._attrs.get("arrays", ()))

    @cached_property
    def dataset(self) -> xr.Dataset:
        """All arrays with the union of their labels; what an array does not hold is NaN (0 in video)."""
        there = [name for name in self.arrays if name in self._stored]
        dataset = self._stored[there].copy()  # its attributes are changed below
        words = {name: c.astype(object) for name, c in dataset.coords.items() if c.dtype.kind == "T"}
        dataset = dataset.assign_coords(words).drop_encoding()
        for name in there:
            dataset[name].attrs.pop(OWN_LABELS, None)
        return dataset.assign_attrs(trace_id=self.id, status=self.status)

    @cached_property
    def _stored(self) -> xr.Dataset:
        with warnings.catch_warnings():  # a killed or still running writer may leave Zarr's temporary file there
            warnings.filterwarnings("ignore", r"Object at \S+\.partial is not recognized")
            stored: xr.Dataset = xr.open_zarr(str(self.path), group=self.id, consolidated=False, chunks=None)
        stored.attrs = {}  # the manifest has its own place
        return stored

    def __getitem__(self, name: str) -> xr.DataArray:
        """One array, lazy, narrowed to the labels that it holds, with its coordinates."""
        own = self._own_labels(name)
        array = self.dataset[name]
        return array.isel({dim: _positions(array.indexes[dim].tolist(), labels) for dim, labels in own.items()})

    def done(self, name: str) -> xr.DataArray:
        """Return the done marks of an array: 0 expected and not done, 1 done, 2 not part of the capture.

        Parameters
        ----------
        name : str

        Returns
        -------
        xarray.DataArray of uint8, over the array's event dimensions
        """
        self._own_labels(name)
        return self._stored[name + DONE_SUFFIX]

    def missing(self) -> list[tuple[str, Event]]:
        """List the events that are expected and not on disk, as (array, event).

        An event whose file was lost since is among them. The event is empty for an array whose marks are not even
        there.
        """
        return [(name, event) for name in self.arrays for event in self._missing_of(name)]

    def lost(self) -> tuple[str, ...]:
        """List the files that were written and are gone, as paths inside the store; Zarr reads them as NaN."""
        files = lost_files(self.path / self.id, self.arrays, str(self._attrs.get("coordinates", "")).split())
        return tuple(f"{self.id}/{file}" for file in files)

    def _missing_of(self, name: str) -> list[Event]:
        if name + DONE_SUFFIX not in self._stored:  # killed while the trace was being laid out
            return [{}]
        marks, lost = self._stored[name + DONE_SUFFIX], lost_events(self.path / self.id, name)
        wanted = {tuple(at.tolist()) for at in np.argwhere(marks.values == EXPECTED)} | set(lost)
        labels = [marks.indexes[dim].tolist() for dim in marks.dims]
        return [
            {str(dim): held[i] for dim, held, i in zip(marks.dims, labels, at, strict=True)} for at in sorted(wanted)
        ]

    def _own_labels(self, name: str) -> dict[str, Any]:
        if name not in self.arrays or name not in self._stored:
            hint = close_match(name, self.arrays) or "; name one of them, or trace again with a capture of it"
            allowed = ", ".join(self.arrays)
            raise UnknownArray(f"trace '{self.id}' holds no array of that name; got '{name}', allowed {allowed}{hint}")
        return dict(self._stored[name].attrs.get(OWN_LABELS, {}))

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        shapes = {name: ", ".join(f"{dim} {size}" for dim, size in self[name].sizes.items()) for name in self._held()}
        lines = [f"  {name:24} ({shape})" for name, shape in shapes.items()]
        return "\n".join([f"<dit-lens trace '{self.id}': {self.status}>", *lines])

    def _held(self) -> list[str]:
        return [name for name in self.arrays if name in self._stored]


def _positions(union: list[Any], own: list[Any]) -> slice | list[int]:
    """Where own labels sit in the union; a slice where they sit together, because that reads fewer chunks at once."""
    wanted = set(own)
    at = [i for i, label in enumerate(union) if label in wanted]
    return slice(at[0], at[-1] + 1) if at[-1] - at[0] + 1 == len(at) else at

"""Make and open stores: a Zarr v3 directory with one group per trace.

Nothing that is not a store of ours is ever touched, and a trace that is complete is never overwritten. A trace that
was left incomplete is deleted when it is begun again, so a run that resumes ends with the same bytes as one that was
never interrupted.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import zarr

from dit_lens_stores.claim import Claim, check_free, locked
from dit_lens_stores.errors import NotDone, StoreError, StoreExists, UnknownTrace, close_match
from dit_lens_stores.index import FORMAT_KEY, as_json, now, read_attributes, read_root, summarise, write_entry
from dit_lens_stores.prepare import allocate, make_plan
from dit_lens_stores.reader import Trace
from dit_lens_stores.schema import FORMAT, ArraySpec, Coordinate, check_trace_id
from dit_lens_stores.writer import TraceWriter, list_events

__all__ = ["Store", "create_store", "open_store"]


class Store:
    """A directory of traces; made by `create_store` or `open_store`.

    Parameters
    ----------
    path : pathlib.Path
    writable : bool

    Examples
    --------
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> len(store), "t0" in store
    (0, False)
    """

    def __init__(self, path: Path, writable: bool) -> None:
        self.path, self.writable = path, writable

    @property
    def index(self) -> dict[str, dict[str, Any]]:
        """What the store says of its traces, by trace id; one request."""
        return dict(read_root(self.path)["traces"])

    @property
    def traces(self) -> tuple[str, ...]:
        """The ids of all traces, complete or not, in the order in which they were begun."""
        return tuple(self.index)

    def status(self, trace_id: str) -> str:
        """Return ``"running"``, ``"complete"`` or ``"failed"``, from the trace itself.

        Parameters
        ----------
        trace_id : str

        Returns
        -------
        str
        """
        self._check_known(trace_id)
        attributes = read_attributes(self.path / trace_id) or {}
        return str(attributes.get("status", "running"))  # no group yet: killed between the index and the group

    def begin(
        self,
        trace_id: str,
        arrays: Sequence[ArraySpec],
        coordinates: Sequence[Coordinate],
        manifest: Mapping[str, Any],
    ) -> TraceWriter:
        """Lay out a new trace; one of the same id that is not complete is deleted first.

        Parameters
        ----------
        trace_id : str
            Lower-case letters, digits, ``.``, ``_`` and ``-``.
        arrays : sequence of ArraySpec
        coordinates : sequence of Coordinate
        manifest : mapping
            JSON-able.

        Returns
        -------
        TraceWriter

        Raises
        ------
        StoreExists
            If the trace is complete already, or something else has its name; it is left untouched.
        StoreError
            If the store was opened for reading, or what it shall hold does not fit together; nothing is written.
        """
        if not self.writable:
            raise StoreError(
                f"begin cannot write to '{self.path}'; got a store opened for reading, allowed one opened for "
                f"writing; use create_store"
            )
        check_trace_id(trace_id)
        plan, manifest = make_plan(arrays, coordinates), as_json("manifest", manifest)
        start = {"status": "running", "created": now(), "finished": None, "arrays": [spec.name for spec in plan.arrays]}
        details = {"manifest": manifest, "coordinates": " ".join(plan.values)}
        claim = Claim(self.path, trace_id)
        with locked(self.path):  # until all is laid out, so that of two that begin at once the later one has it whole
            check_free(self.path, trace_id)
            write_entry(self.path, trace_id, start | summarise(manifest))
            group = claim.make_group(start | details)
            return TraceWriter(claim, group, *allocate(group, plan, claim.held))

    def get(self, trace_id: str, partial: bool = False) -> Trace:
        """Open one trace.

        Parameters
        ----------
        trace_id : str
        partial : bool
            Also open one that is not complete: what is not there is NaN, and ``trace.missing()`` names it.

        Returns
        -------
        Trace

        Raises
        ------
        NotDone
            If it is not complete, or files of it were lost, and ``partial`` was not given.
        UnknownTrace
            If there is none of that id.

        Examples
        --------
        >>> create_store(getfixture("tmp_path") / "b.zarr").get("t0")
        Traceback (most recent call last):
        ...
        dit_lens_stores.errors.UnknownTrace: ...got 't0', allowed none; look at store.traces
        """
        self._check_known(trace_id)
        trace = Trace(self.path, trace_id)
        if not partial and trace.status == "complete":
            _check_files(trace)
        if partial or trace.status == "complete":
            return trace
        missing = list_events(trace.missing()) or "nothing" if trace.arrays else "everything"
        raise NotDone(
            f"trace '{trace_id}' is not complete in '{self.path}'; got status '{trace.status}', missing {missing}, "
            f"allowed 'complete'; trace it again, or read it with get('{trace_id}', partial=True)"
        )

    def __getitem__(self, trace_id: str) -> Trace:
        return self.get(trace_id)

    def __contains__(self, trace_id: object) -> bool:
        return trace_id in self.index

    def __iter__(self) -> Iterator[str]:
        return iter(self.traces)

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        lines = [f"  {trace_id:24} {entry.get('status')}" for trace_id, entry in self.index.items()]
        return "\n".join([f"<dit-lens store '{self.path}': {len(lines)} traces>", *lines])

    def _check_known(self, trace_id: str) -> None:
        known = self.traces
        if trace_id not in known:
            shown = ", ".join(known[:6]) + (f" and {len(known) - 6} more" if len(known) > 6 else "") or "none"
            hint = close_match(trace_id, known) or "; look at store.traces"
            raise UnknownTrace(
                f"store '{self.path}' holds no trace of that id; got '{trace_id}', allowed {shown}{hint}"
            )


def create_store(path: str | Path) -> Store:
    """Make a new store, or open one of ours for adding traces.

    Parameters
    ----------
    path : str or pathlib.Path
        A new path, an empty folder or a dit-lens store.

    Returns
    -------
    Store

    Raises
    ------
    StoreExists
        If anything else is there; it is left untouched.
    UnknownFormat
        If it is a store of another major format.

    Examples
    --------
    >>> create_store(getfixture("tmp_path") / "a.zarr").traces
    ()
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise _in_the_way(path, "a file")
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):  # of two that make it at once, the second opens what the first has made
        if FORMAT_KEY not in (read_attributes(path) or {}):
            _make_store(path)
    read_root(path, "create_store")
    return Store(path, writable=True)


def open_store(path: str | Path) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    Store

    Raises
    ------
    NotAStore
        If there is no store.
    UnknownFormat
        If it is a store of another major format.

    Examples
    --------
    >>> path = create_store(getfixture("tmp_path") / "a.zarr").path
    >>> open_store(path).traces
    ()
    """
    path = Path(path)
    read_root(path)
    return Store(path, writable=False)


def _make_store(path: Path) -> None:
    if any(path.iterdir()):
        raise _in_the_way(path, "a folder that is no dit-lens store")
    attributes = {FORMAT_KEY: FORMAT, "created": now(), "software": _software(), "traces": {}}
    zarr.create_group(path, zarr_format=3, attributes=attributes)


def _in_the_way(path: Path, got: str) -> StoreExists:
    return StoreExists(
        f"create_store refused '{path}'; got {got}, allowed a new path, an empty folder or a dit-lens store; choose "
        f"another path"
    )


def _check_files(trace: Trace) -> None:
    if not (lost := trace.lost()):
        return
    files = f"'{lost[0]}'" + (f" and {len(lost) - 1} more" if len(lost) > 1 else "")
    parts = [file.split("/") for file in lost]
    only_values = all(name in trace.arrays and last != "zarr.json" for _, name, *_, last in parts)
    held = list_events(trace.missing()) if only_values else "labels, marks or metadata"  # no events without labels
    raise NotDone(
        f"trace '{trace.id}' has lost files in '{trace.path}'; got no {files}, which held {held}, allowed every file "
        f"that was written; copy the store again, or read the rest with get('{trace.id}', partial=True)"
    )


def _software() -> dict[str, str]:
    names = ("dit-lens", "zarr", "xarray", "numpy")
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a source tree
        return "unknown"

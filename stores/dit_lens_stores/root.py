"""Make and open stores: a Zarr v3 directory with one group per trace.

Nothing that is not a store of ours is ever touched, and a trace that is complete is never overwritten. A trace that
was left incomplete is resumed (``dit_lens_stores.resume``) or deleted when it is begun again, so that in either case it
ends with the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import zarr

from dit_lens_stores.claim import Claim, check_free, locked
from dit_lens_stores.encoders import QUEUE_BYTES, Encoders
from dit_lens_stores.errors import StoreError, StoreExists
from dit_lens_stores.folders import make_folder
from dit_lens_stores.index import as_json, enter_complete, read_attributes, summarise, write_entry
from dit_lens_stores.log import add_to_log
from dit_lens_stores.opening import StoreReader, read_format
from dit_lens_stores.places import LocalPlace, Place, place_of
from dit_lens_stores.prepare import Plan, allocate, make_plan, reopen
from dit_lens_stores.resume import Left, look_at, take_back
from dit_lens_stores.schema import CONVENTION, FORMAT, FORMAT_KEY, SUMS, ArraySpec, Coordinate, check_trace_id
from dit_lens_stores.writer import TraceWriter

__all__ = ["Store", "create_store", "open_store"]


class Store(StoreReader):
    """A directory of traces; made by `create_store` or `open_store`.

    Parameters
    ----------
    place : Place
        Where it lies.
    writable : bool

    Examples
    --------
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> len(store), "t0" in store
    (0, False)
    """

    def __init__(self, place: Place, writable: bool) -> None:
        super().__init__(place)
        self.writable = writable

    def begin(
        self,
        trace_id: str,
        arrays: Sequence[ArraySpec],
        coordinates: Sequence[Coordinate],
        manifest: Mapping[str, Any],
        *,
        encoders: int = 1,
        queue_bytes: int = QUEUE_BYTES,
        fsync: bool = False,
        resume: bool = False,
        chunk_bytes: int | None = None,
        shard_bytes: int | None = None,
    ) -> TraceWriter:
        """Lay out a new trace; one of the same id that is not complete is deleted first, or resumed.

        So is what is left of a complete one whose own ``zarr.json`` is gone. A complete trace that the index has lost
        is entered there again, and refused.

        Parameters
        ----------
        trace_id : str
            Lower-case letters, digits, ``.``, ``_`` and ``-``.
        arrays : sequence of ArraySpec
        coordinates : sequence of Coordinate
        manifest : mapping
            JSON-able.
        encoders : int
            Threads that compress and write while the caller goes on; with 0 the caller's own does it.
        queue_bytes : int
            How much may wait for them; the caller waits while it is more. One shard per thread is always let in.
        fsync : bool
            Wait for the disk before a shard counts as done, so that it survives a power cut.
        resume : bool
            Keep the steps of an earlier run that are whole, if `TraceWriter.note_latents` vouches for them, and
            refuse to go on with other settings. What the manifest says of the environment (``versions``, ``git``,
            ``device``) may differ; the trace is then begun anew.
        chunk_bytes, shard_bytes : int, optional
            Size of chunks and of shards before compression; 4 MB and 64 MB if not given.

        Returns
        -------
        TraceWriter

        Raises
        ------
        StoreExists
            If the trace is complete already, or something else has its name; it is left untouched.
        Busy
            If somebody else is writing it.
        OtherSettings
            If it shall be resumed and was begun with other settings.
        StoreError
            If the store cannot be written, or what it shall hold does not fit together; nothing is written.
        """
        self._check_writable()
        check_trace_id(trace_id)
        plan, manifest = make_plan(arrays, coordinates, chunk_bytes, shard_bytes), as_json("manifest", manifest)
        start = {"status": "running", "arrays": [spec.name for spec in plan.arrays]}
        details = {"manifest": manifest, "coordinates": " ".join(plan.values)}
        claim, threads = Claim(self.path, trace_id), Encoders(encoders, queue_bytes)
        try:
            with locked(self.path):  # until all is laid out, so that of two that begin at once one has it whole
                enter_complete(self.path, trace_id)
                check_free(self.path, trace_id, self.index.get(trace_id, {}).get("status") == "complete")
                claim.take()
                left = look_at(self.path, trace_id, plan, manifest) if resume else Left()
                (self.path / SUMS).unlink(missing_ok=True)  # of what was shared once; from here on they are not true
                write_entry(self.path, trace_id, start | summarise(manifest))
                group = self._lay_out(claim, plan, left, start | details)
                lay = reopen if left.steps else allocate
                return TraceWriter(claim, group, *lay(group, plan, claim.held, threads, fsync), threads, left)
        except BaseException:
            claim.let_go()
            raise

    def _lay_out(self, claim: Claim, plan: Plan, left: Left, attributes: dict[str, Any]) -> zarr.Group:
        """Make a trace's group, or bring the one that is there to the state from which it is resumed."""
        if not left.steps:
            add_to_log(self.path, "begin", trace=claim.trace_id, **({"anew": left.anew} if left.anew else {}))
            return claim.make_group(attributes)
        group = claim.keep_group(attributes)
        take_back(self.path / claim.trace_id, plan, left)
        add_to_log(self.path, "resume", trace=claim.trace_id, kept_steps=left.steps)
        return group

    def _check_writable(self) -> None:
        if not self.writable:
            raise StoreError(
                f"begin cannot write to '{self.url}'; got a store opened for reading, allowed one opened for "
                f"writing; use create_store"
            )
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StoreError(
                f"begin cannot write to '{self.url}'; got a folder that may not be written, allowed one that may; "
                f"change its permissions, or write elsewhere"
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
    make_folder(path, "create_store")
    with locked(path):  # of two that make it at once, the second opens what the first has made
        if FORMAT_KEY not in (read_attributes(path) or {}):
            _make_store(path)
    read_format(LocalPlace(path), "create_store")
    return Store(LocalPlace(path), writable=True)


def open_store(path: str | Path | Place) -> Store:
    """Open a store for reading, wherever it lies; nothing but its index is read.

    Parameters
    ----------
    path : str, pathlib.Path or Place
        A folder, a ``.zip`` of one, or an address: ``https://``, ``s3://``, ``hf://datasets/OWNER/NAME/...``, or
        another that fsspec knows.

    Returns
    -------
    Store
        A mapping of its traces.

    Raises
    ------
    NotAStore
        If there is no store.
    UnknownFormat
        If it is a store of another major format.
    Unreachable
        If the address does not answer.

    Examples
    --------
    >>> path = create_store(getfixture("tmp_path") / "a.zarr").path
    >>> open_store(path).traces
    ()
    """
    store = Store(place_of(path), writable=False)
    _ = store.attributes
    return store


def _make_store(path: Path) -> None:
    if any(path.iterdir()):
        raise _in_the_way(path, "a folder that is no dit-lens store")
    format_ = {FORMAT_KEY: FORMAT, "zarr_conventions": [CONVENTION]}
    attributes = {**format_, "software": dict(_software()), "traces": {}}
    zarr.create_group(path, zarr_format=3, attributes=attributes)


def _in_the_way(path: Path, got: str) -> StoreExists:
    return StoreExists(
        f"create_store refused '{path}'; got {got}, allowed a new path, an empty folder or a dit-lens store; choose "
        f"another path"
    )


@functools.cache
def _software() -> dict[str, str]:
    names = ("dit-lens", "zarr", "xarray", "numpy")
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a source tree
        return "unknown"

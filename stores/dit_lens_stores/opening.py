"""Open a store for reading, wherever it lies, and list what it holds.

The root's one small file holds the format number and the index of all traces: opening and listing a store takes one
request, however many traces there are. What the index says of a trace is a convenience, the group of the trace is the
truth about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dit_lens_stores.errors import (
    Corrupt,
    NotAStore,
    NotDone,
    StoreError,
    UnknownFormat,
    UnknownTrace,
    close_match,
    few,
)
from dit_lens_stores.nodes import corrupt, read_group
from dit_lens_stores.places import Place
from dit_lens_stores.reader import Trace
from dit_lens_stores.schema import FORMAT, FORMAT_KEY

__all__ = ["StoreReader", "read_format"]

_VERSION = re.compile(r"\d+\.\d+")
_TRACE_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")


class StoreReader:
    """A store that is read: a mapping of its traces.

    Parameters
    ----------
    place : Place

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> from dit_lens_stores.places import place_of
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> StoreReader(place_of(store.path)).traces
    ()
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._stamp: object = object()
        self._root: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """Where it lies, as it is named in messages: a path or an address."""
        return self.place.name

    @property
    def path(self) -> Path:
        """Its folder or zip on this machine.

        Raises
        ------
        StoreError
            If it is somewhere else.
        """
        path = getattr(self.place, "path", None)
        if path is None:
            raise StoreError(
                f"store '{self.url}' has no path; got an address, allowed a folder or a zip of this machine; pull it "
                f"first"
            )
        return Path(path)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the root says of the store: its format, its index and what else was noted."""
        stamp = self.place.stamp("zarr.json")
        if stamp != self._stamp:
            self._root, self._stamp = read_format(self.place), stamp
        return self._root

    @property
    def index(self) -> dict[str, dict[str, Any]]:
        """What the store says of its traces, by trace id; one request."""
        return {trace_id: dict(entry) for trace_id, entry in self._entries.items()}

    @property
    def traces(self) -> tuple[str, ...]:
        """The ids of all traces, complete or not, in the order in which they were begun."""
        return tuple(self._entries)

    @property
    def _entries(self) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = self.attributes["traces"]
        return entries

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
        attributes = read_group(self.place, trace_id) or {}
        return str(attributes.get("status", "running"))  # no group yet: killed between the index and the group

    def get(self, trace_id: str, partial: bool = False) -> Trace:
        """Open one trace; nothing is read before it is asked for.

        Parameters
        ----------
        trace_id : str
        partial : bool
            What is not done is NaN; otherwise reading it raises `NotDone`. ``trace.missing()`` names it.

        Returns
        -------
        Trace

        Raises
        ------
        UnknownTrace
            If there is none of that id.
        NotDone
            If nothing of it was written yet, and ``partial`` was not given.

        Examples
        --------
        >>> from dit_lens_stores import create_store
        >>> create_store(getfixture("tmp_path") / "b.zarr").get("t0")
        Traceback (most recent call last):
        ...
        dit_lens_stores.errors.UnknownTrace: ...got 't0', allowed none; look at store.traces
        """
        self._check_known(trace_id)
        trace = Trace(self.place, trace_id, partial)
        if not trace.arrays and not partial:
            raise NotDone(
                f"trace '{trace_id}' was never laid out in '{self.url}'; got nothing of it but its name, allowed a "
                f"trace that was begun; trace it again"
            )
        return trace

    def __getitem__(self, trace_id: str) -> Trace:
        return self.get(trace_id)

    def __contains__(self, trace_id: object) -> bool:
        return trace_id in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.traces)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        from dit_lens_stores.summary import store_in_words

        return store_in_words(self)

    def _repr_html_(self) -> str:
        from dit_lens_stores.html.traces import store_html

        return store_html(self)

    def _check_known(self, trace_id: str) -> None:
        known = self._entries
        if trace_id not in known:
            ids = list(known)
            hint = close_match(trace_id, ids) or "; look at store.traces"
            raise UnknownTrace(
                f"store '{self.url}' holds no trace of that id; got '{trace_id}', allowed {few(ids, 6)}{hint}"
            )


def read_format(place: Place, action: str = "open_store") -> dict[str, Any]:
    """Read the attributes of a store's root.

    Parameters
    ----------
    place : Place
    action : str
        What is being done, for the message.

    Returns
    -------
    dict

    Raises
    ------
    NotAStore
        If there is no store.
    UnknownFormat
        If its major format number is another.
    Corrupt
        If its index is none.

    Examples
    --------
    >>> from dit_lens_stores.places import place_of
    >>> read_format(place_of("no-such-folder"))
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.NotAStore: open_store found no store at 'no-such-folder'; got nothing, ...
    """
    attributes = _root(place)
    if attributes is None or FORMAT_KEY not in attributes:
        got = place.what_is_there() if attributes is None else f"a Zarr group without '{FORMAT_KEY}'"
        raise NotAStore(
            f"{action} found no store at '{place.name}'; got {got}, allowed a dit-lens store; check the path"
        )
    version, major = attributes[FORMAT_KEY], FORMAT.partition(".")[0]
    if not (isinstance(version, str) and _VERSION.fullmatch(version) and version.partition(".")[0] == major):
        raise UnknownFormat(
            f"{action} cannot read '{place.name}'; got format {str(version)[:40]!r}, allowed {major}.x; install a "
            f"newer dit-lens"
        )
    _check_index(place, attributes.get("traces"))
    return attributes


def _root(place: Place) -> dict[str, Any] | None:
    try:
        return read_group(place, "")
    except Corrupt as problem:
        if "refused" in str(problem):  # too large, a link, a zip that was made to harm
            raise
        return None


def _check_index(place: Place, traces: Any) -> None:
    if not isinstance(traces, dict) or not all(isinstance(entry, dict) for entry in traces.values()):
        raise corrupt(place.name, "zarr.json", "no index of traces", "one entry for each trace")
    if bad := [trace_id for trace_id in traces if not _TRACE_ID.fullmatch(trace_id) or trace_id == "zarr.json"]:
        raise corrupt(place.name, "zarr.json", f"a trace called {bad[0][:60]!r}", "[a-z0-9][a-z0-9._-]*")

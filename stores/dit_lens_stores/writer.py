"""Write one trace while the model runs.

A ``TraceWriter`` takes events one by one. When the shard to which an event belongs is whole, a thread compresses and
writes it while the caller goes on; if that fails, the next call raises what it raised. `finish` waits for the threads,
looks whether every expected event came and only then calls the trace complete. In memory are the events of shards that
are not whole yet (one shard per branch and array, at most 64 MB each unless a single event is larger), and what waits
for the threads (256 MB and one shard per thread); how many steps are traced does not matter. If the process is killed,
the status stays "running" and the done marks say what is there; a writer that resumes the trace goes on after the steps
that are whole. If the trace is begun again elsewhere while this writer lives, its next write to the disk raises and
leaves the new trace alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dit_lens_stores.encoders import Encoders
from dit_lens_stores.errors import NotDone, OtherRun, StoreError, UnknownArray, close_match, few
from dit_lens_stores.index import as_json, summarise, write_entry
from dit_lens_stores.latents import LATENTS, Journal
from dit_lens_stores.log import add_to_log
from dit_lens_stores.schema import Event, Label
from dit_lens_stores.shards import ArrayWriter, name_event

if TYPE_CHECKING:
    import zarr

    from dit_lens_stores.claim import Claim
    from dit_lens_stores.prepare import CoordinateArray
    from dit_lens_stores.resume import Left

__all__ = ["TraceWriter", "list_events"]

_SHOWN = 3


def list_events(events: Iterable[tuple[str, Mapping[str, Label]]]) -> str:
    """Put the first few of some events in words.

    Examples
    --------
    >>> list_events([("x", {"step": step}) for step in range(5)])
    'x[step=0], x[step=1], x[step=2] and 2 more'
    """
    return few((name_event(array, event) for array, event in events), _SHOWN)


class TraceWriter:
    """Takes the events of one trace; made by `Store.begin`.

    Parameters
    ----------
    claim : Claim
        The right to write this trace.
    group : zarr.Group
        The trace's group, allocated.
    arrays, coordinates : dict
        Writers by name.
    encoders : Encoders, optional
        The threads that the arrays' writers share.
    left : Left, optional
        What is kept of an earlier run.

    Attributes
    ----------
    trace_id : str
    kept_steps : int
        How many steps an earlier run has left whole: their events are in place, and are not taken again.
    anew : str or None
        Why what an earlier run had recorded was dropped, if it was.
    differs : bool
        Whether the latents of this run were seen to differ from those of the earlier one.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> spec = ArraySpec("x", ("step", "frame"), {"step": (0, 1), "frame": (0, 1)}, ("step",))
    >>> writer = store.begin("t0", [spec], [], {"seed": 3})
    >>> writer.write("x", {"step": 0}, np.zeros(2, np.float32))
    >>> writer.write("x", {"step": 1}, np.ones(2, np.float32))
    >>> writer.finish()
    >>> store.status("t0")
    'complete'
    """

    def __init__(
        self,
        claim: Claim,
        group: zarr.Group,
        arrays: Mapping[str, ArrayWriter],
        coordinates: Mapping[str, CoordinateArray],
        encoders: Encoders | None = None,
        left: Left | None = None,
    ) -> None:
        self.trace_id = claim.trace_id
        self.kept_steps, self.anew = (left.steps, left.anew) if left else (0, None)
        self.differs = False
        self._status = "running"
        self._claim, self._path, self._group = claim, claim.path, group
        self._arrays, self._coordinates = arrays, coordinates
        self._encoders = encoders or Encoders()
        self._begun: dict[str, Any] = dict(group.attrs["manifest"])  # type: ignore[arg-type]
        self._noted: dict[str, Any] = {}
        self._latents = list(left.latents) if left else []
        self._journal = Journal(self._path / self.trace_id) if LATENTS in coordinates else None
        for name, marks in (left.marks if left else {}).items():
            arrays[name].keep(marks)

    @property
    def status(self) -> str:
        """``"running"``, ``"complete"``, ``"failed"``, or ``"lost"`` once another writer was seen in its place."""
        return "lost" if self._claim.lost else self._status

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self._arrays)

    @property
    def buffered(self) -> int:
        """Bytes held in memory now: of shards that are not whole, or that wait to be written."""
        return sum(array.buffered for array in self._arrays.values()) + self._encoders.nbytes

    def write(self, array: str, event: Mapping[str, Label], values: npt.ArrayLike, *, owned: bool = False) -> None:
        """Write one event.

        Parameters
        ----------
        array : str
        event : mapping
            A label for each event dimension of the array.
        values : array
            Over the array's other dimensions, its own labels only. float32, or what widens to it exactly; uint16 are
            bit patterns of bfloat16, which are written faster than the float32 that they stand for.
        owned : bool
            The caller will not change the values any more, so they need not be copied.

        Raises
        ------
        UnknownArray
            If the trace has no such array.
        DuplicateEvent
            If the event was written before.
        StoreError
            If label, shape or dtype do not fit.
        OSError
            If an earlier event could not be written to the disk.
        """
        self._check_open("write")
        self._find("write", array).write(event, np.asarray(values), owned)

    def drain(self) -> None:
        """Wait until every whole shard is in place and its events are marked done.

        Raises
        ------
        OSError
            If one could not be written.
        """
        self._check_open("drain")
        self._settle()

    def holds(self, array: str, event: Mapping[str, Label]) -> bool:
        """Whether an event is there already: written here, or kept of an earlier run.

        Parameters
        ----------
        array : str
        event : mapping

        Returns
        -------
        bool
        """
        return self._find("holds", array).holds(event)

    def note_latents(self, step: int, sha256: str) -> None:
        """Note the latents that a step starts from; after the last step, those that it left.

        In a trace that is resumed, they are compared with those of the run that began it.

        Parameters
        ----------
        step : int
            Each in its turn, from 0.
        sha256 : str

        Raises
        ------
        OtherRun
            If the earlier run had others.
        """
        self._check_open("note_latents")
        if step < len(self._latents) and self._latents[step] != sha256:
            self.differs = True
            raise OtherRun(
                f"resuming trace '{self.trace_id}' in '{self._path}' failed at step {step}; got other latents than the "
                f"run that began it, allowed the same bits; record the trace anew"
            )
        if step == len(self._latents):
            self._latents.append(sha256)
            if self._journal is not None:
                with self._claim.held():
                    self._journal.add(step, sha256)

    def set_coordinate(self, name: str, dim_label: Label, value: Any) -> None:
        """Set one value of a coordinate that is known only while the model runs, such as ``sigma`` of a step.

        Parameters
        ----------
        name : str
        dim_label : int or str
            The label along the coordinate's dimension.
        value : float, int or str

        Raises
        ------
        StoreError
            If there is no such coordinate or label.
        """
        self._check_open("set_coordinate")
        if name not in self._coordinates:
            hint = close_match(name, self._coordinates) or "; name it when the trace begins"
            allowed = ", ".join(self._coordinates) or "none"
            raise StoreError(f"set_coordinate found no coordinate; got '{name}', allowed {allowed}{hint}")
        with self._claim.held():
            self._coordinates[name].set(dim_label, value)

    def set_array_attribute(self, array: str, name: str, value: Any) -> None:
        """Set one attribute of an array that is known only while the model runs, such as ``source_dtype``.

        Parameters
        ----------
        array : str
        name : str
        value : anything that JSON holds

        Raises
        ------
        UnknownArray
            If the trace has no such array.
        StoreError
            If JSON cannot hold the value, or the trace is finished.
        """
        self._check_open("set_array_attribute")
        writer = self._find("set_array_attribute", array)
        checked = as_json(f"attribute '{name}' of array '{array}'", {name: value})
        with self._claim.held():
            writer.set_attributes(checked)

    def missing(self) -> list[tuple[str, Event]]:
        """List the events that are expected and have not been written, as (array, event)."""
        return [(name, event) for name, array in self._arrays.items() for event in array.missing()]

    def update_manifest(self, mapping: Mapping[str, Any]) -> None:
        """Add entries to the manifest, or replace them, when the trace ends.

        A trace that is not complete keeps every entry that it was begun with, so that a run that resumes it can be held
        against them.

        Parameters
        ----------
        mapping : mapping
            JSON-able.
        """
        self._check_open("update_manifest")
        noted = as_json("manifest", mapping)
        with self._claim.held():
            self._noted |= noted

    def finish(self) -> None:
        """Put everything in place and call the trace complete.

        Raises
        ------
        NotDone
            If expected events never came; the trace is then marked failed.
        """
        self._check_open("finish")
        if missing := self.missing():
            reason = f"got {len(missing)} events missing: {list_events(missing)}"
            self.fail(reason)
            raise NotDone(
                f"trace '{self.trace_id}' is not complete in '{self._path}'; {reason}, allowed none; run it again"
            )
        self._settle()
        self._close("complete")

    def fail(self, reason: str) -> None:
        """Put what is there in place and call the trace failed.

        Parameters
        ----------
        reason : str
            Kept with the trace.
        """
        self._check_open("fail")
        for array in self._arrays.values():
            with suppress(OSError):  # the disk may be what failed; the reason for the failure must not be lost
                array.flush()
        with suppress(Exception):  # each is told below
            self._encoders.drain()
        for array in self._arrays.values():
            with suppress(OSError):
                array.settle()
        for name, error in dict(reversed(self._encoders.errors)).items():
            reason = f"{reason}; '{name}' could not be written: {error}"
        self._close("failed", reason)

    def _settle(self) -> None:
        self._encoders.drain()
        for array in self._arrays.values():
            array.settle()

    def _close(self, status: str, reason: str | None = None) -> None:
        self._encoders.close()
        whole = status == "complete"
        manifest = self._begun | self._noted | ({} if whole else self._begun) | self._told_latents()
        end = {"status": status} | ({"reason": reason} if reason else {})
        entry = {"arrays": list(self._arrays)} | summarise(manifest)
        with self._claim.held(alone=True):
            self._set_latents()
            if whole and self._journal is not None:
                self._journal.remove()
            # Killed between the two, the trace is not complete yet, and whoever resumes it corrects its entry.
            write_entry(self._path, self.trace_id, end | entry)
            self._claim.give_up(self._group, end | {"manifest": manifest})
        self._claim.let_go()
        self._status = status
        add_to_log(self._path, status, trace=self.trace_id)

    def _told_latents(self) -> dict[str, Any]:
        return {"latents": list(self._latents)} if self._latents else {}

    def _set_latents(self) -> None:
        if LATENTS not in self._coordinates or not self._latents:  # a copy has those of the run that it was copied from
            return
        coordinate = self._coordinates[LATENTS]
        known = dict(enumerate(self._latents))
        coordinate.replace([known.get(label, "") if isinstance(label, int) else "" for label in coordinate.labels])

    def _find(self, action: str, array: str) -> ArrayWriter:
        if array not in self._arrays:
            hint = close_match(array, self._arrays) or "; name one of them"
            allowed = ", ".join(self._arrays)
            raise UnknownArray(
                f"{action} found no array in trace '{self.trace_id}'; got '{array}', allowed {allowed}{hint}"
            )
        return self._arrays[array]

    def _check_open(self, action: str) -> None:
        self._claim.check_not_lost()
        if action != "fail":
            self._encoders.check()
        if self.status != "running":
            raise StoreError(
                f"{action} on trace '{self.trace_id}' came too late; got status '{self.status}', allowed 'running'; "
                f"begin the trace again"
            )

    def __repr__(self) -> str:
        return f"<TraceWriter '{self.trace_id}': {self.status}, {len(self.missing())} events missing>"

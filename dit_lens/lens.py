"""A lens: a stock diffusers pipeline with the means to look inside one generation.

``generate`` runs it plain, ``trace`` runs it with captures and writes what they ask for to a store while the model
runs. Between the two calls the pipeline is untouched: everything that a trace attaches is gone when it ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.adapters import Family, family_of
from dit_lens.adapters.extra import check_extra
from dit_lens.captures import Capture, Resolved, read_captures
from dit_lens.edits.edit import Edit
from dit_lens.edits.start import Start
from dit_lens.engine.arrays import array_specs, coordinates
from dit_lens.engine.batch import Batch, rows_of
from dit_lens.engine.course import PLAIN, Course, Departures, Further, PlannedCourse, plan_course, read_course
from dit_lens.engine.disk import DiskGuard, check_free, planned_bytes, read_budget, refuse_over_budget, taken_bytes
from dit_lens.engine.errors import BadRequest
from dit_lens.engine.keeper import check_memory
from dit_lens.engine.layout import Layout
from dit_lens.engine.naming import check_ids, check_notes, naming_default_ids
from dit_lens.engine.plan import check_request, plan_layout, plan_size
from dit_lens.engine.recording import Recording
from dit_lens.engine.run import Outcome, decode, run_edited, run_plain, run_traced
from dit_lens.engine.traceable import check_captures, check_pipeline
from dit_lens.generation import Generation, Result, Size, Standing
from dit_lens.manifest import request_manifest, run_manifest
from dit_lens.origin import Origin, name_of
from dit_lens.weights import Weights
from dit_lens_stores import Store, TraceWriter, create_store

if TYPE_CHECKING:
    from dit_lens.nnsight_bridge import Session
    from dit_lens.selection import Term

__all__ = ["Generation", "Lens", "Origin", "Result"]

_NO_SIZE = Size(1, 1, 1)
"""Of a batch without requests, which is refused."""


class Lens:
    """Look into a pipeline.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
        Any pipeline that an adapter knows.
    origin : Origin, optional
        Given by ``dit_lens.load``.

    Raises
    ------
    UnknownModel
        If no adapter knows the pipeline.

    Examples
    --------
    >>> import dit_lens
    >>> lens = dit_lens.load("tiny-wan")  # doctest: +SKIP
    >>> request = dit_lens.Generation(prompt="Draw the path.", image=first_frame, seed=0, steps=20)  # doctest: +SKIP
    >>> lens.trace(request, ["block.out:energy", "x0.guided"], "maze.zarr").trace_id  # doctest: +SKIP
    'seed0-2f6e0c1a'
    """

    def __init__(self, pipeline: Any, origin: Origin | None = None) -> None:
        self.family: Family = family_of(pipeline)
        self.pipeline = pipeline
        self.origin = origin or Origin(name_of(pipeline))
        self._weights = Weights(pipeline, self.origin.folder)

    def generate(
        self,
        request: Generation,
        *,
        edits: Iterable[Edit | str] = (),
        resets: Iterable[int] = (),
        start: Start | str | None = None,
        stop_after: int | None = None,
        decode: bool | None = None,
        keep: Iterable[Capture | str] | None = None,
    ) -> Result:
        """Run and record nothing; without further arguments with nothing attached: the control of a trace.

        Parameters
        ----------
        request : Generation
        edits : iterable of Edit or str
            In the order in which they act; see ``dit_lens.edits``.
        resets : iterable of int
            Steps before which the solver forgets its history. The control of an edited run has the ``resets`` of its
            result, and no edits.
        start : Start or str, optional
            A stored step to go on from; the steps before it do not run.
        stop_after : int, optional
            The last step that runs.
        decode : bool, optional
            Whether to decode the latents to a video; by default if the family can.
        keep : iterable of Capture or str, optional
            What the result keeps in memory, as ``kept``: the numbers of a trace without a trace, for runs that are
            read at once. A gigabyte at most.

        Returns
        -------
        Result

        Raises
        ------
        BadRequest, Untraceable
            If the model cannot run it.
        UnknownCapture, OverBudget
            If something cannot be kept, or is more than a gigabyte.
        BadEdit, BadSelection, StoreError
            If an edit does not fit the run, or its source does not give what it needs; before the model runs.
        MissedEdit
            If an edit did not come to an address, or the pipeline undid it.
        IncompleteTrace, UnexpectedVisit
                    With ``keep``: if not all of it came, or an address came twice.
        """
        course = Departures(edits=edits, resets=resets, start=start, stop_after=stop_after)
        return self.generate_batch([request], decode=decode, keep=keep, **course)[0]

    def generate_batch(
        self,
        requests: Sequence[Generation],
        *,
        decode: bool | None = None,
        keep: Iterable[Capture | str] | None = None,
        **course: Unpack[Departures],
    ) -> tuple[Result, ...]:
        """Run several requests in one call of the pipeline; a row is not bit-equal to the same request alone.

        Parameters
        ----------
        requests : sequence of Generation
            Alike in all but prompt, negative prompt and seed.
        decode, keep, **course
            See ``generate``; every row is edited, and of every row as much is kept.

        Returns
        -------
        tuple of Result
            The seconds are those of the call, which all rows share.

        Raises
        ------
        BadRequest
            If the model cannot run them, or not together; further as ``generate``.
        """
        requests, departs = tuple(requests), read_course(**course)
        sizes = [self.check(request) for request in requests]
        batch = Batch(requests, sizes[0] if sizes else _NO_SIZE)
        captures = () if keep is None else read_captures(keep)
        if departs.plain and not captures:
            out = run_plain(self.pipeline, self.family, batch, self._decodes(decode))
        else:
            layout, planned = self._plan_course(requests[0], departs, len(requests))
            check_captures(self.pipeline, self.family, captures)
            resolved = tuple(capture.resolve(layout) for capture in captures)
            check_memory(resolved, layout, len(requests))
            out = run_edited(self.pipeline, self.family, batch, layout, planned, self._decodes(decode), resolved)
        rows = zip(out.latents, out.videos, out.kept or ({},) * len(requests), strict=True)
        return tuple(
            Result(latents, video, None, None, out.seconds, resets=out.resets, kept=kept)
            for latents, video, kept in rows
        )

    def trace(
        self,
        request: Generation,
        captures: Iterable[Capture | str],
        out: str | Path | Store,
        *,
        edits: Iterable[Edit | str] = (),
        resets: Iterable[int] = (),
        start: Start | str | None = None,
        stop_after: int | None = None,
        trace_id: str | None = None,
        on_step: Callable[[int, int], None] | None = None,
        on_progress: Callable[[Standing], None] | None = None,
        decode: bool | None = None,
        notes: Mapping[str, Any] | None = None,
        budget: int | str | None = None,
        resume: bool = True,
    ) -> Result:
        """Run and record; everything is checked before anything is written.

        A trace of that name that is not complete is resumed: its steps that are whole are kept, if this run computes
        the same latents, bit for bit; otherwise it is recorded anew, and the result says so.

        Parameters
        ----------
        request : Generation
        captures : iterable of Capture or str
        out : str, pathlib.Path or Store
            A new path, or a store to add to.
        edits, resets, start, stop_after
            See ``generate``. What is recorded is what the edits left.
        trace_id : str, optional
            By default the seed and a hash of the request, and of the edits if there are any.
        on_step : callable, optional
            Called after every step with (steps done, steps).
        on_progress : callable, optional
            Called after every step with a ``Standing``: steps, events, bytes, and seconds of waiting for the writer.
        decode : bool, optional
            Whether to decode the latents, and store the video; by default if the family can.
        notes : mapping, optional
            Entries of your own for the manifest.
        budget : int or str, optional
            Bytes that the trace may take, before compression; a text as in ``20GB``.
        resume : bool
            Whether to keep anything of a trace of that name that is not complete; if not, it is recorded anew.

        Returns
        -------
        Result

        Raises
        ------
        UnknownCapture, BadSelection, BadRequest, BadEdit, Untraceable
            Before anything is written.
        OtherSettings
            If a trace of that name was begun with other settings; it is left as it is.
        StoreExists, Busy
            If a trace of that name is complete, or is being written.
        OverBudget, DiskTooSmall
            If it would take more than the budget, or than the disk has.
        DiskFull
            If the disk fills while it runs; what is recorded stays readable.
        IncompleteTrace
            If an expected address was not recorded, or one came twice; the trace is marked failed in the store.
        MissedEdit
            If an edit did not come to an address, or the pipeline undid it; likewise.
        """
        ids = None if trace_id is None else [trace_id]
        return self.trace_batch(
            [request],
            captures,
            out,
            edits=edits,
            resets=resets,
            start=start,
            stop_after=stop_after,
            trace_ids=ids,
            on_step=on_step,
            on_progress=on_progress,
            decode=decode,
            notes=notes,
            budget=budget,
            resume=resume,
        )[0]

    def trace_batch(
        self,
        requests: Sequence[Generation],
        captures: Iterable[Capture | str],
        out: str | Path | Store,
        *,
        trace_ids: Sequence[str] | None = None,
        on_step: Callable[[int, int], None] | None = None,
        on_progress: Callable[[Standing], None] | None = None,
        decode: bool | None = None,
        notes: Mapping[str, Any] | None = None,
        budget: int | str | None = None,
        only: Sequence[int] | None = None,
        resume: bool = True,
        **course: Unpack[Departures],
    ) -> tuple[Result, ...]:
        """Run several requests in one call of the pipeline, and record each row as a trace of its own.

        Rows of a batch are not bit-equal to the same requests run alone; their manifests say ``batch``.

        Parameters
        ----------
        requests : sequence of Generation
            Alike in all but prompt, negative prompt and seed.
        captures, out, on_step, on_progress, decode, notes, budget, resume, **course
            See ``trace``; the budget is that of all rows together, and every row is edited.
        trace_ids : sequence of str, optional
        only : sequence of int, optional
            Rows to record; all run, because a row depends on what runs beside it.

        Returns
        -------
        tuple of Result

        Raises
        ------
        BadRequest
            If the requests cannot run together; further as ``trace``.
        """
        captures, requests = read_captures(captures), tuple(requests)
        departs = read_course(**course)
        sizes = [self.check(request) for request in requests]
        batch = Batch(requests, sizes[0] if sizes else _NO_SIZE)
        size, layout, resolved = self.plan(requests[0], captures, batch=len(requests), **departs.limits)
        batch.arguments(self.pipeline, self.family)  # embeddings that cannot serve the batch are refused here
        ids = check_ids(self._default_ids(requests, departs) if trace_ids is None else trace_ids, len(requests))
        identity = cache(lambda: self.identity)  # to look at all weights takes a while: once for every run
        departure = PLAIN if departs.plain else self._plan_course(requests[0], departs, len(requests), identity)[1]
        wanted = rows_of(only, len(requests))
        arrays = array_specs(resolved, layout, self._decodes(decode))
        planned = planned_bytes(arrays) * len(wanted)
        refuse_over_budget(planned, read_budget(budget))
        told = partial(run_manifest, self.pipeline, self.family)
        facts = {
            row: {**identity(), **told(requests[row], size, layout, resolved, departure.facts)}
            | {"batch": {"size": len(requests), "row": row} if len(requests) > 1 else None}
            for row in wanted
        }
        facts = {row: {**check_notes(notes, known), **known} for row, known in facts.items()}
        store = out if isinstance(out, Store) else create_store(out)
        check_free(store.path, max(0, planned - taken_bytes(store.path / ids[row] for row in wanted)))
        plan = Recording(
            store, [ids[row] for row in wanted], arrays, coordinates(layout, arrays), list(facts.values()), resume
        )

        def run(writers: Sequence[TraceWriter]) -> Outcome:
            rows = dict(zip(wanted, writers, strict=True))
            every = [rows.get(row) for row in range(len(requests))]
            guard = DiskGuard(store.path)
            observed = (on_step, guard, departure, on_progress)
            return run_traced(self.pipeline, self.family, batch, layout, resolved, every, *observed)

        with naming_default_ids(trace_ids is None):
            ran, anew = plan.run(run)
        shared = (store.path, ran.seconds, ran.waited)
        return tuple(
            Result(ran.latents[row], ran.videos[row], ids[row], *shared, anew.get(ids[row]), ran.resets)
            for row in wanted
        )

    def nnsight(
        self,
        request: Generation,
        *,
        steps: Term | Iterable[Term] | None = None,
        expert: str | None = None,
        captures: Iterable[Capture | str] = (),
        out: str | Path | Store | None = None,
        trace_id: str | None = None,
        decode: bool | None = None,
    ) -> Session:
        """Run with an nnsight block written against addresses; see ``dit_lens.nnsight_bridge``.

        Parameters
        ----------
        request : Generation
        steps, expert
            The steps that the block may address, and the expert; all by default.
        captures, out, trace_id, decode
            To trace the run with the block's edits in it; see ``trace``.

        Returns
        -------
        Session

        Examples
        --------
        >>> with lens.nnsight(request) as (model, at):  # doctest: +SKIP
        ...     at(3, "cond", layer=4).output[:] = 0
        """
        from dit_lens.nnsight_bridge import nnsight_session

        return nnsight_session(
            self,
            request,
            steps=steps,
            expert=expert,
            captures=captures,
            out=out,
            trace_id=trace_id,
            decode=decode,
        )

    def plan(
        self,
        request: Generation,
        captures: Iterable[Capture | str],
        *,
        batch: int = 1,
        **course: Unpack[Departures],
    ) -> tuple[Size, Layout, tuple[Resolved, ...]]:
        """Check a trace without running it: the size, the layout of the run, and what every capture selects.

        Raises
        ------
        UnknownCapture, BadSelection, BadRequest, BadEdit, Untraceable
        """
        read, departs = read_captures(captures), read_course(**course)
        check_pipeline(self.pipeline, self.family)
        size = self.check(request)
        check_captures(self.pipeline, self.family, read)
        layout = departs.limit(
            plan_layout(self.pipeline, self.family, request, size, batch), self.pipeline, self.family, request
        )
        if departs.edits or departs.resets:
            self._plan_course(request, departs, batch)
        return size, layout, tuple(capture.resolve(layout) for capture in read)

    def plan_edits(
        self, request: Generation, edits: Iterable[Edit | str] = (), **further: Unpack[Further]
    ) -> PlannedCourse:
        """Check edits without running them; what comes back prints what will be done, in words.

        Parameters
        ----------
        request : Generation
        edits : iterable of Edit or str
        **further
            ``resets``, ``start`` and ``stop_after``, see ``generate``.

        Returns
        -------
        PlannedCourse

        Raises
        ------
        BadEdit, BadSelection, StoreError, BadRequest, Untraceable

        Examples
        --------
        >>> print(lens.plan_edits(request, ["block.out:zero[step=0,layer=2:5]"]))  # doctest: +SKIP
        step 0, cond+uncond, layers 2-4, 320 of the tokens: replace by zeros (block.out)
        """
        return self._plan_course(request, read_course(edits, **further), 1)[1]

    def _plan_course(
        self, request: Generation, course: Course, batch: int, identity: Callable[[], Mapping[str, Any]] | None = None
    ) -> tuple[Layout, PlannedCourse]:
        check_pipeline(self.pipeline, self.family)
        layout = plan_layout(self.pipeline, self.family, request, self.check(request), batch)
        limited = course.limit(layout, self.pipeline, self.family, request)
        told = identity or (lambda: self.identity)
        return limited, plan_course(course, self.pipeline, self.family, request, limited, told)

    def check(self, request: Generation) -> Size:
        """Check a request without running it, and give the size that it would run at.

        Raises
        ------
        BadRequest
        """
        check_request(request)
        check_extra(self.pipeline, self.family, request.extra)
        size = plan_size(request, self.origin.size, self.family)
        self.family.check(self.pipeline, request, size)
        return size

    def decode(self, latents: torch.Tensor) -> npt.NDArray[np.uint8]:
        """Decode latents to pixels, as the pipeline itself would.

        Parameters
        ----------
        latents : torch.Tensor
            Shape (1, C, F, H, W) or (C, F, H, W).

        Returns
        -------
        numpy.ndarray of uint8, shape (F, H, W, 3)
        """
        return decode(self.pipeline, self.family, latents)

    def default_trace_id(self, request: Generation, course: Course | None = None) -> str:
        """The id of a trace that was given none: the same for the same request, edited in the same way."""
        departs = {} if course is None or course.plain else {"course": course.facts}
        facts = json.dumps({**request_manifest(request, self.check(request)), **departs}, sort_keys=True)
        return f"seed{request.seed}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"

    def _decodes(self, wanted: bool | None) -> bool:
        if wanted and self.family.decode is None:
            raise BadRequest(
                f"latents of family {self.family.name} cannot be decoded here; got decode=True, allowed False; decode "
                f"them with the pipeline's own autoencoder"
            )
        return self.family.decode is not None if wanted is None else wanted

    def _default_ids(self, requests: Sequence[Generation], course: Course) -> list[str]:
        return [self.default_trace_id(request, course) for request in requests]

    @property
    def identity(self) -> dict[str, Any]:
        """The model's part of the manifest: name, revision, licence, and sha256 of the weights that it holds now."""
        return {
            "model": self.origin.model,
            "revision": self.origin.revision,
            "licence": self.origin.licence,
            **self._weights.identity(),
        }

    def __repr__(self) -> str:
        experts = ", ".join(self.family.denoisers(self.pipeline))
        return f"Lens({self.origin.model!r}, family {self.family.name!r}, experts {experts})"

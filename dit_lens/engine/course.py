"""How a run departs from the plain one: its edits, resets, start and end, checked together before the model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from dit_lens.adapters.family import Family
from dit_lens.edits.edit import Edit
from dit_lens.edits.planned import Planned, plan_edit
from dit_lens.edits.start import Start
from dit_lens.engine.errors import BadEdit
from dit_lens.engine.givers import Giver, giver_of
from dit_lens.engine.history import check_forgets, remembers
from dit_lens.engine.layout import Layout
from dit_lens.engine.starting import Beginning, load_start
from dit_lens.generation import Generation

__all__ = ["PLAIN", "Course", "Departures", "Further", "PlannedCourse", "plan_course", "read_course"]


class Further(TypedDict, total=False):
    """How a run may depart from the plain one beside its edits, as arguments of a call; see ``Lens.generate``."""

    resets: Iterable[int]
    start: Start | str | None
    stop_after: int | None


class Departures(Further, total=False):
    """All of it."""

    edits: Iterable[Edit | str]


@dataclass(frozen=True)
class Course:
    """How a run is to depart from the plain one.

    Attributes
    ----------
    edits : tuple of Edit
    resets : tuple of int
        Steps before which the solver forgets its history.
    start : Start or None
    stop_after : int or None
        The last step that runs.

    Examples
    --------
    >>> Course().plain, Course(resets=(3,)).plain
    (True, False)
    """

    edits: tuple[Edit, ...] = ()
    resets: tuple[int, ...] = ()
    start: Start | None = None
    stop_after: int | None = None

    @property
    def plain(self) -> bool:
        """Whether it does not depart at all."""
        return self == Course()

    @property
    def limits(self) -> Departures:
        """Where it starts and ends, as arguments of a call."""
        return {"start": self.start, "stop_after": self.stop_after}

    @property
    def facts(self) -> dict[str, Any]:
        """What it asks for, as plain JSON."""
        return {
            "edits": [edit.facts for edit in self.edits],
            "resets": list(self.resets),
            "start": None if self.start is None else self.start.facts,
            "stop_after": self.stop_after,
        }

    def limit(self, layout: Layout, pipeline: Any, family: Family, request: Generation) -> Layout:
        """The layout of a run that starts late or stops early.

        Raises
        ------
        BadEdit
        """
        first = 0 if self.start is None else self.start.step
        last = layout.steps - 1 if self.stop_after is None else self.stop_after
        if (first, last) == (0, layout.steps - 1) and self.start is None:
            return layout
        whole = family.knows_schedule and getattr(pipeline.scheduler, "order", 1) == 1
        if not whole or family.steps(pipeline, request) != request.steps:
            raise BadEdit(
                f"this run can only be made whole; got a start or an end of its own for {type(pipeline).__name__} with "
                f"{type(pipeline.scheduler).__name__}, allowed pipelines that run every timestep of their scheduler; "
                f"leave start and stop_after out"
            )
        if not 0 <= first <= last < layout.steps:
            raise BadEdit(
                f"the run has no such steps; got {first} to {last}, allowed a first and a last of 0 to "
                f"{layout.steps - 1}; choose within them"
            )
        return replace(layout, first=first, stop=last + 1)


def read_course(
    edits: Iterable[Edit | str] | Edit | str = (),
    resets: Iterable[int] = (),
    start: Start | str | None = None,
    stop_after: int | None = None,
) -> Course:
    """Read what a call was given.

    Raises
    ------
    BadEdit, BadSelection

    Examples
    --------
    >>> [edit.op for edit in read_course("block.out:zero[layer=1]").edits]
    ['zero']
    """
    listed = list(edits) if isinstance(edits, Iterable) and not isinstance(edits, str) else [edits]
    for edit in listed:
        if not isinstance(edit, (Edit, str)):
            raise BadEdit(
                f"edit cannot be read; got {edit!r}, allowed an Edit or its text; write it as in "
                f"'block.out:scale:0.5[layer=4]'"
            )
    read = tuple(Edit.parse(edit) if isinstance(edit, str) else edit for edit in listed)
    steps = tuple(sorted(set(resets)))
    for name, number in [("resets", step) for step in steps] + [("stop_after", stop_after)]:
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise BadEdit(f"the run has no such {name}; got {number!r}, allowed whole numbers; write a step")
    return Course(read, steps, Start.parse(start) if isinstance(start, str) else start, stop_after)


@dataclass(frozen=True, eq=False)
class PlannedCourse:
    """A course that was checked against a run.

    Attributes
    ----------
    course : Course
    edits : tuple of (Planned, tuple of Giver)
    beginning : Beginning or None
    resets : tuple of int
        Steps before which the solver forgets if every state edit changes something; the run tells which did.
    """

    course: Course
    edits: tuple[tuple[Planned, tuple[Giver, ...]], ...] = ()
    beginning: Beginning | None = None
    resets: tuple[int, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says of it, with the hashes of what it reads."""
        if self.course.plain:
            return {"edits": []}
        facts = self.course.facts
        for told, (_, givers) in zip(facts["edits"], self.edits, strict=True):
            told["source"] = [{**fact, **giver.facts} for fact, giver in zip(told["source"], givers, strict=True)]
        return facts

    def __str__(self) -> str:
        at = None if self.beginning is None else self.beginning.start
        start = [] if at is None else [f"start at step {at.step} of trace {at.trace}"]
        edits = [str(planned) for planned, _ in self.edits]
        resets = [f"the solver forgets its history before step {step}" for step in self.resets]
        stop = [] if self.course.stop_after is None else [f"stop after step {self.course.stop_after}"]
        return "\n".join([*start, *edits, *resets, *stop])

    def __repr__(self) -> str:
        words = str(self).splitlines() or ["nothing departs from the plain run"]
        return "\n".join([f"<dit-lens course: {len(self.edits)} edits>", *(f"  {line}" for line in words)])

    def _repr_html_(self) -> str:
        from dit_lens.notebook.requests import course_html

        return course_html(self)


PLAIN = PlannedCourse(Course())
"""The course of a run that departs in nothing."""


@dataclass(frozen=True)
class _Run:
    """What a course is checked against."""

    pipeline: Any
    family: Family
    request: Generation
    layout: Layout
    identity: Callable[[], Mapping[str, Any]]


def plan_course(
    course: Course,
    pipeline: Any,
    family: Family,
    request: Generation,
    layout: Layout,
    identity: Callable[[], Mapping[str, Any]],
) -> PlannedCourse:
    """Check a course against a run; everything that can be wrong is found here.

    Parameters
    ----------
    course : Course
    pipeline : diffusers.DiffusionPipeline
    family : Family
    request : Generation
    layout : Layout
        That of the run, with its first and last step (``Course.limit``).
    identity : callable
        Tells the model's identity, if it is needed.

    Raises
    ------
    BadEdit, BadSelection, StoreError
    """
    run = _Run(pipeline, family, request, layout, identity)
    planned = [plan_edit(edit, layout, number) for number, edit in enumerate(course.edits)]
    for one in planned:
        _check_state(one, run)
    _check_resets(course, run)
    edits = tuple(
        (one, tuple(giver_of(source, one, layout, identity) for source in one.edit.sources)) for one in planned
    )
    start = course.start
    beginning = None if start is None else load_start(start, pipeline, family, layout, identity())
    if beginning is not None:
        _check_prepares(run, f"start {start}")
    state = {step for one in planned if one.edit.level == "state" for step in one.steps}
    forgets = sorted({*course.resets, *(state if remembers(pipeline.scheduler) else ())})
    return PlannedCourse(course, edits, beginning, tuple(forgets))


def _check_resets(course: Course, run: _Run) -> None:
    outside = [step for step in course.resets if step not in run.layout.running]
    if outside:
        raise BadEdit(
            f"the solver cannot be reset before that step; got {outside[0]}, allowed {run.layout.running[0]} to "
            f"{run.layout.running[-1]}; choose a step that runs"
        )
    if course.resets:
        check_forgets(run.pipeline.scheduler, "a reset")


def _check_state(planned: Planned, run: _Run) -> None:
    """Whether a state edit would last: the solver must forget, and the pipeline must not put its own frames back."""
    if planned.edit.level != "state":
        return
    what = f"edit '{planned.edit}'"
    check_forgets(run.pipeline.scheduler, what)
    if run.layout.first in planned.steps:
        _check_prepares(run, what)
    pinned = run.family.pinned(run.pipeline, run.request)
    if pinned is None:
        raise BadEdit(
            f"{what} may be undone by the pipeline; got {type(run.pipeline).__name__} with an image, of which it is "
            f"not known which frames it puts back, allowed pipelines of Wan, or no image; edit view instead"
        )
    hit = [frame for frame in pinned if planned.region[planned.frames.index(frame)].any()]
    if hit:
        raise BadEdit(
            f"{what} would be undone by the pipeline, which puts the first frame back at every input of the denoiser; "
            f"got frame {hit[0]}, allowed the others; edit view, or leave the frame out as in [frame={hit[0] + 1}:]"
        )


def _check_prepares(run: _Run, what: str) -> None:
    if not hasattr(run.pipeline, "prepare_latents"):
        raise BadEdit(
            f"{what} needs the first latents of the run; got {type(run.pipeline).__name__} without prepare_latents, "
            f"allowed pipelines that have it; edit a later step"
        )

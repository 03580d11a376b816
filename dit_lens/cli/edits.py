"""The options by which a command departs from a plain run: edits, resets of the solver, another start and end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from dit_lens.edits import Edit
    from dit_lens.engine.course import Departures

__all__ = ["CourseOptions", "course_of", "name_of_course"]


class CourseOptions(BaseModel):
    """How a run departs from the plain one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edit: Annotated[
        tuple[str, ...],
        Parameter(
            show_default=False,
            help="Edit the run: a file of JSON, or SITE:OP:SOURCE[axis=...] as in block.out:scale:0.5[layer=4]; may be "
            "repeated.",
        ),
    ] = ()
    reset: Annotated[
        tuple[int, ...],
        Parameter(
            show_default=False,
            help="Step before which the solver forgets its past, as for the control of a state edit; may be repeated.",
        ),
    ] = ()
    start: Annotated[
        str | None, Parameter(help="Stored step to go on from, as STORE#TRACE@STEP; the steps before do not run.")
    ] = None
    stop_after: Annotated[int | None, Parameter(help="Last step that runs.")] = Field(default=None, ge=0)


def course_of(options: CourseOptions) -> Departures:
    """Read the options, as arguments of a call of a lens; nothing, of a plain run.

    Raises
    ------
    BadEdit, BadSelection

    Examples
    --------
    >>> course_of(CourseOptions())
    {}
    >>> [str(edit) for edit in course_of(CourseOptions(edit=("block.out:zero[layer=4]",)))["edits"]]
    ['block.out:zero[layer=4]']
    """
    from dit_lens.engine.course import Departures, read_course

    read = read_course(_edits(options.edit), options.reset, options.start, options.stop_after)
    if read.plain:
        return {}
    return Departures(edits=read.edits, resets=read.resets, start=read.start, stop_after=read.stop_after)


def name_of_course(course: Departures) -> str:
    """What the name of an edited trace ends with, so that it is not taken for the plain one; nothing of that.

    Examples
    --------
    >>> name_of_course({})
    ''
    >>> name_of_course({"stop_after": 3})
    '-edited-57c42736'
    """
    if not course:
        return ""
    import hashlib
    import json

    from dit_lens.engine.course import read_course

    told = json.dumps(read_course(**course).facts, sort_keys=True)
    return f"-edited-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _edits(words: Sequence[str]) -> list[Edit]:
    from dit_lens.edits import Edit, load_edits

    edits: list[Edit] = []
    for word in words:
        edits += load_edits(word) if Path(word).suffix == ".json" else [Edit.parse(word)]
    return edits

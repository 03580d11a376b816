"""What is asked of a run, as it shows itself: captures, edits, and the course that edits make of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dit_lens.edits.edit import OPS
from dit_lens.notebook.pictures import grid_picture
from dit_lens.sites import SITES
from dit_lens_stores.html import Html, card, element, facts, section, table

if TYPE_CHECKING:
    from dit_lens.captures import Capture
    from dit_lens.edits.edit import Edit
    from dit_lens.edits.planned import Planned
    from dit_lens.engine.course import PlannedCourse

__all__ = ["capture_html", "course_html", "edit_html"]


def capture_html(capture: Capture) -> Html:
    """A capture: what it records, and of what."""
    told = {
        "site": f"{capture.site}: {SITES[capture.site].meaning}",
        "reduction": " ".join(filter(None, [capture.reduction, capture.argument])),
        "selects": str(capture.select) or "all of it",
        "dtype": capture.dtype,
        "array": capture.array,
        "dimensions": ", ".join(capture.dims),
    }
    return card("capture", capture, facts(told), plain=repr(capture))


def edit_html(edit: Edit) -> Html:
    """An edit: where, what is done there, and with what."""
    told = {
        "level": edit.level,
        "site": edit.site,
        "does": f"{edit.op}: {OPS[edit.op]}",
        "where": str(edit.where) or "everywhere",
        "source": " + ".join(map(str, edit.sources)),
        "mask": None if edit.mask is None else grid_picture(edit.mask.array),
        "sha256": edit.sha256,
    }
    return card("edit", edit, facts(told), plain=repr(edit))


def course_html(course: PlannedCourse) -> Html:
    """A course: what will be done in which step, in words, and the places of each edit."""
    listed = [planned for planned, _ in course.edits]
    words = table(("", "what will be done"), enumerate(str(course).splitlines()))
    shown = [section(f"Edit {one.number}", _region(one), note=str(one.edit)) for one in listed]
    return card("course", f"{len(listed)} edits", words, *shown, plain=repr(course))


def _region(planned: Planned) -> Html:
    told = {
        "addresses": len(planned.addresses),
        "first": str(planned.addresses[0]),
        "last": str(planned.addresses[-1]),
        "frames": ", ".join(map(str, planned.frames)),
    }
    return element("div", facts(told), grid_picture(planned.region))

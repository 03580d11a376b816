"""When answers are first readable and when they are final: the share of each kind of puzzle, by step."""

from __future__ import annotations

from matplotlib.figure import Figure

from anatomy.figures.style import heat, new_figure
from anatomy.found import Found
from anatomy.groups import GROUPS
from anatomy.tables import reached_by

__all__ = ["draw"]

_PANELS = {"first": "% with the video's answer readable by then", "final": "% whose answer is final by then"}


def draw(found: Found) -> Figure:
    """A row a group; the same steps on both sides."""
    records, schedule = found["courses"]["records"], found["courses"]["schedule"]
    figure = new_figure(4.6)
    for axis, (when, title) in zip(figure.subplots(1, 2, sharey=True), _PANELS.items(), strict=True):
        courses = [reached_by(records, group, when) for group in GROUPS]
        names = [f"{group.title}, n = {course[2]}" for group, course in zip(GROUPS, courses, strict=True)]
        heat(axis, schedule, courses[0][0], names, [course[1] for course in courses])
        axis.set_title(title, pad=14)
    return figure

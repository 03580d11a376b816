"""The chain-of-steps gap: by size, by length of the route, and along the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anatomy.figures.style import heat, new_figure, plain
from anatomy.found import Found
from anatomy.groups import MAZES
from anatomy.shares import Estimate
from anatomy.tables import GapRow, group_rows, right_by_step, route_rows

__all__ = ["draw"]

_FIRST, _END = "#E69F00", "#0072B2"


def draw(found: Found) -> Figure:
    """Two tables as pictures above, and how the share of right answers grows over the steps below."""
    records, schedule = found["courses"]["records"], found["courses"]["schedule"]
    figure = new_figure(7.0)
    panels: Any = figure.subfigures(2, 1, height_ratios=[1.45, 1])
    above, below = panels
    left, right = above.subplots(1, 2)
    _dots(left, group_rows(records, MAZES), "by size")
    _dots(right, route_rows(records), "by cells of the route")
    handles, labels = left.get_legend_handles_labels()
    above.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8.5, frameon=False)
    courses = [right_by_step(records, group) for group in MAZES]
    names = [_short(group.title) for group in MAZES]
    axis = below.subplots()
    heat(axis, schedule, courses[0][0], names, [[share.value for share in shares] for _, shares in courses])
    axis.set_title("along the steps: % right in x0", pad=14)
    return figure


def _dots(axis: Axes, rows: Sequence[GapRow], title: str) -> None:
    """One line a row: right at x0 of step 0, right at the end, each with its interval."""
    names = [f"{_short(row.title)} (n = {row.end.n})" for row in rows]
    for place, row in enumerate(rows):
        axis.plot([row.first.value, row.end.value], [place, place], color="#bbbbbb", linewidth=2.5, zorder=1)
        _point(axis, row.first, place - 0.14, _FIRST, "D", "right in x0 of step 0" if place == 0 else "")
        _point(axis, row.end, place + 0.14, _END, "o", "right in the video" if place == 0 else "")
    trained = sum(row.in_domain for row in rows)
    if 0 < trained < len(rows):
        axis.axhline(trained - 0.5, color="#666666", linewidth=1, linestyle=(0, (3, 2)))
        axis.text(1.0, trained - 0.47, "out of domain ↓", fontsize=7.5, color="#666666", ha="right", va="top")
    axis.set_yticks(range(len(rows)), names)
    axis.set(xlim=(-0.03, 1.03), ylim=(len(rows) - 0.4, -0.6), xlabel="share right, 95 % interval", title=title)
    plain(axis)


def _point(axis: Axes, found: Estimate, place: float, colour: str, mark: str, label: str) -> None:
    spread = [[max(found.value - found.low, 0)], [max(found.high - found.value, 0)]]
    axis.errorbar(
        [found.value], [place], xerr=spread, fmt=mark, ms=5, color=colour, elinewidth=1.3, capsize=2, label=label
    )


def _short(title: str) -> str:
    return title.removesuffix(" (out of domain)").removeprefix("maze, ").removeprefix("maze ")

"""Scores with fewer denoising steps, and with fewer frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anatomy.figures.style import COLOURS, DASHES, new_figure, plain
from anatomy.found import Found
from anatomy.groups import BY_NAME
from anatomy.parts.sweeps import STEPS_GROUPS
from anatomy.tables import SweepRow, frame_rows, step_rows
from dit_lens.puzzles.canvas import FRAMES

__all__ = ["draw"]


def draw(found: Found) -> Figure:
    """Steps on the left, frames on the right; a hollow mark is the training clip cut at that frame."""
    courses, steps = found["courses"]["records"], found["steps"]["settings"]["steps"]
    figure = new_figure(3.8)
    left, right = figure.subplots(1, 2, sharey=True)
    _lines(left, step_rows(found["steps"]["records"], courses, steps))
    left.set(xlabel="denoising steps", ylabel="mean score", title="fewer steps")
    _lines(right, frame_rows(found["frames"]["records"], courses, FRAMES))
    right.set(xlabel="frames", title="fewer frames (hollow: the training clip, cut)")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=7.5, frameon=False)
    left.set_ylim(-0.03, 1.03)
    return figure


def _lines(axis: Axes, rows: Sequence[SweepRow]) -> None:
    settings = sorted({row.setting for row in rows})
    groups = list(dict.fromkeys(row.group for row in rows))
    for title in groups:
        own = [row for row in rows if row.group == title]
        group = next(group for group in BY_NAME.values() if group.title == title)
        number = STEPS_GROUPS.index(group.name)
        mark = "osD^v"[number]
        places = [settings.index(row.setting) + 0.05 * (number - 2) for row in own]
        spread = [[row.score.value - row.score.low for row in own], [row.score.high - row.score.value for row in own]]
        dashes = (0, (4, 1.5)) if group.task == "maze" and not group.in_domain else DASHES[group.task]
        look: Any = {"color": COLOURS[group.task], "linestyle": dashes, "marker": mark, "ms": 5}
        axis.errorbar(places, [row.score.value for row in own], yerr=spread, elinewidth=0.9, label=title, **look)
        cuts = [row.cut for row in own]
        axis.scatter(places, cuts, marker=mark, s=34, facecolors="white", edgecolors=COLOURS[group.task], zorder=4)
    axis.set_xticks(range(len(settings)), [str(setting) for setting in settings])
    plain(axis)

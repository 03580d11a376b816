"""x0 on the way: rows steps, columns moments of the clip, one panel a kind of puzzle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anatomy.figures.style import WIDTH, new_figure
from anatomy.found import Found
from anatomy.groups import BY_NAME
from anatomy.parts.films import unpacked
from dit_lens.puzzles.canvas import PICTURE_PIXELS

__all__ = ["draw"]

_COLUMNS = (1, 2, 4)  # of the latent frames, whose last video frames are 4, 8 and 16
_RIGHT, _WRONG = "#0072B2", "#8a8a8a"


def draw(found: Found) -> Figure:
    """All kinds side by side; below x0 the video, and below that the training clip's answer."""
    films, schedule = found["films"]["records"], found["films"]["schedule"]
    rows = len(films[0]["read"]) + 2
    cell = (WIDTH - 0.9) / (len(films) * (len(_COLUMNS) + 0.25))
    figure = new_figure(cell * rows * 1.06 + 0.8)
    figure.set_layout_engine("constrained", w_pad=0.015, h_pad=0.015, wspace=0.0, hspace=0.0)
    panels: Any = figure.subfigures(1, len(films), width_ratios=[1.28, *[1] * (len(films) - 1)])
    for number, (panel, film) in enumerate(zip(panels, films, strict=True)):
        panel.suptitle(BY_NAME[film["group"]].title, fontsize=9.5)
        axes = panel.subplots(rows, len(_COLUMNS), squeeze=False)
        _draw_film(axes, film, schedule, named=number == 0)
    return figure


def _draw_film(axes: Any, film: Mapping[str, Any], schedule: Sequence[Mapping[str, Any]], named: bool) -> None:
    sheet = unpacked(film["pictures"])
    verdicts = [bool(score["solved"]) for score in (*film["x0"], film["final"])]
    names = [f"step {step}\nσ {schedule[step]['sigma']:.3f}\nexpert {_expert(schedule[step])}" for step in film["read"]]
    for row, line in enumerate(axes):
        for axis, column in zip(line, _COLUMNS, strict=True):
            top, left = (place * PICTURE_PIXELS for place in (row, column))
            axis.imshow(sheet[top : top + PICTURE_PIXELS, left : left + PICTURE_PIXELS], interpolation="nearest")
            _bare(axis)
        if named:
            label = [*names, "video", "training\nclip"][row]
            line[0].set_ylabel(label, fontsize=7.5, rotation=0, ha="right", va="center", labelpad=6)
        if row < len(verdicts):
            _verdict(line[-1], verdicts[row])
    for axis, column in zip(axes[-1], _COLUMNS, strict=True):
        axis.set_xlabel(f"frame {4 * column}", fontsize=7.5, labelpad=2)


def _verdict(axis: Axes, right: bool) -> None:
    """A frame round the last picture: solid where the scorer finds the whole answer in the clip, dashed where not."""
    for spine in axis.spines.values():
        spine.set(edgecolor=_RIGHT if right else _WRONG, linewidth=2.2 if right else 1.0)
        spine.set_linestyle("-" if right else "--")


def _bare(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(edgecolor="#cccccc", linewidth=0.6)


def _expert(step: Mapping[str, Any]) -> int:
    return 2 if step["expert"].endswith("_2") else 1

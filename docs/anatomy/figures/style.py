"""How all figures look.

Sizes for the width of a page, colours that survive colour blindness and grey print, and a step axis that never shows an
index alone.

Kinds of puzzles have colours of Okabe and Ito; what has an order (sizes, noise levels) has colours of ``viridis``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["COLOURS", "DASHES", "LOOK", "WIDTH", "heat", "new_figure", "ordered", "plain", "save"]

WIDTH = 9.0
"""Inches: readable at the width of the page's text."""
COLOURS = {
    "maze": "#0072B2",
    "fork": "#D55E00",
    "fork-prompt": "#E69F00",
    "fork-cue": "#CC79A7",
    "grounding": "#009E73",
    "occlusion": "#000000",
}
"""By task, and by variant of the fork."""
DASHES: Mapping[str, Any] = {
    "maze": "-",
    "fork": "-",
    "fork-prompt": (0, (4, 1.5)),
    "fork-cue": (0, (1, 1)),
    "grounding": (0, (5, 1, 1, 1)),
    "occlusion": (0, (7, 2)),
}
_GREY = "#666666"
LOOK: Any = {"font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.labelsize": 9}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure."""
    return Figure(figsize=(width, height), layout="constrained")


def ordered(count: int) -> list[Any]:
    """Colours for things that have an order, dark first; the palest end is left out, white paper would swallow it."""
    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.88, count)))


def plain(axis: Axes) -> None:
    """Only what is needed to read the values."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(visible=True, color="#e4e4e4", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)


def heat(
    axis: Axes,
    schedule: Sequence[Mapping[str, Any]],
    steps: Sequence[int],
    names: Sequence[str],
    shares: Sequence[Sequence[float]],
) -> None:
    """Shares as a table in colour: a row a group, a column a step; lines that lie on each other would hide."""
    values = np.array(shares, dtype=float).reshape(len(names), len(steps))
    axis.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(values):
        words = "-" if np.isnan(value) else f"{100 * value:.0f}"
        dark = value < 0.55
        axis.text(column, row, words, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
    axis.set_yticks(range(len(names)), names)
    axis.spines[:].set_visible(False)
    axis.tick_params(labelsize=8, length=0)
    _label_steps(axis, schedule, steps)


def _label_steps(axis: Axes, schedule: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> None:
    """Step and sigma at every tick, and a line where the experts switch."""
    axis.set_xticks(range(len(steps)), [f"{step}\n{schedule[step]['sigma']:.2f}" for step in steps], fontsize=7.5)
    axis.set_xlabel("step, and the sigma that it starts from")
    second = [place for place, step in enumerate(steps) if schedule[step]["expert"] == "transformer_2"]
    if second and min(second) > 0:
        axis.axvline(min(second) - 0.5, color="white", linewidth=3.2)
        axis.axvline(min(second) - 0.5, color="black", linewidth=1.2, linestyle=(0, (3, 2)))
        words: Any = {"transform": axis.get_xaxis_transform(), "fontsize": 7.5, "color": _GREY, "va": "bottom"}
        axis.text(min(second) - 0.5, 1.01, "second expert →", ha="left", **words)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that is the same for the same data."""
    figure.savefig(path, dpi=150, metadata={"Software": None}, facecolor="white")

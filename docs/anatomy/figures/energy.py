"""The share of energy on what is in the picture, over the layers, at a few noise levels.

Drawn as a multiple of the share that an even map of the same puzzle would give, so that kinds of puzzles can be
compared.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anatomy.figures.style import new_figure, ordered, plain
from anatomy.found import Found
from anatomy.groups import ONE_OF_EACH
from anatomy.parts.energy import DRAWN
from anatomy.reading import steps_to_read
from anatomy.tables import shares_of

__all__ = ["draw"]

_ROWS = {"foreground": "everything but floor", "drawn": "what is drawn"}


def draw(found: Found) -> Figure:
    """A column a kind of puzzle; above everything that is not floor, below what the model has to draw."""
    figure = new_figure(5.4)
    axes = figure.subplots(len(_ROWS), len(ONE_OF_EACH), sharex=True, sharey="row")
    for line, what in zip(axes, _ROWS, strict=True):
        for axis, group in zip(line, ONE_OF_EACH, strict=True):
            _panel(axis, found, group, what)
        line[0].set_ylabel(f"{_ROWS[what]}\n(an even map is 1)")
    for axis in axes[-1]:
        axis.set_xlabel("layer")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    return figure


def _panel(axis: Axes, found: Found, group: str, what: str) -> None:
    """Thick lines are means over puzzles; thin ones are the single puzzles."""
    schedule = found["energy"]["schedule"]
    layers, shares_PSL, even_P = shares_of(found["energy"]["records"], group, what)
    ratios_PSL = shares_PSL / even_P[:, None, None]
    steps = steps_to_read(len(schedule), 4)
    for step, colour, mark in zip(steps, ordered(len(steps)), "osD^", strict=False):
        for single in ratios_PSL[:, step]:
            axis.plot(layers, single, color=colour, linewidth=0.6, alpha=0.35)
        at = schedule[step]
        expert = 2 if at["expert"].endswith("_2") else 1
        label = f"step {step}, σ {at['sigma']:.2f}, expert {expert}"
        axis.plot(layers, ratios_PSL[:, step].mean(0), color=colour, linewidth=1.9, marker=mark, ms=3.5, label=label)
    axis.axhline(1, color="#666666", linewidth=1.1, linestyle=(0, (3, 2)), label="an even map")
    task = group.split("-")[0]
    name = f"{task} (n = {len(shares_PSL)})" if what == "foreground" else f"{task}: {DRAWN[task]}"
    axis.set_title(f"{name}\n1 is {even_P.mean():.3f}")
    axis.set_xticks(layers[:: max(len(layers) // 5, 1)])
    plain(axis)

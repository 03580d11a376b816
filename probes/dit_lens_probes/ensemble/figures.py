"""Scores of the ensemble and of everything beside it, and its differences from each, puzzle by puzzle."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens_probes.edited import words_of_steps

__all__ = ["scores_and_differences"]

NAMES = {
    "ensemble": "ensemble",
    "single": "the seed that goes on, alone",
    "singles": "mean over the N singles",
    "best": "best of N by the scorer (ceiling)",
    "end_mean": "mean of N last latents",
    "latents": "mean of latents after the step",
    "latents_reset": "solver reset alone",
    "window_first": "first quarter of the layers",
    "window_all": "all layers",
    "strangers": "mean with other puzzles' runs",
    "more_steps": "same compute on more steps",
}
"""What a reader calls each condition."""
_OWN, _OTHER, _NOISE = "#0072b2", "0.25", "0.6"
TEXT, SMALL = 9.0, 8.0  # points


def scores_and_differences(result: xr.Dataset) -> Figure:
    """Two panels over the same rows: scores with intervals, and what the ensemble has more.

    Parameters
    ----------
    result : xarray.Dataset
        Of the ensemble probe.

    Returns
    -------
    matplotlib.figure.Figure
    """
    conditions = result["condition"].values.tolist()
    figure = Figure(figsize=(9.2, 0.3 * len(conditions) + 1.5), layout="constrained")
    scores, differences = figure.subplots(1, 2, sharey=True)
    _draw_scores(scores, result, conditions)
    _draw_differences(differences, result, conditions)
    cost = result["cost"].mean(("question", "seed"))
    labels = [f"{NAMES[name]} · {calls:.0f} calls" for name, calls in zip(conditions, cost.values, strict=True)]
    scores.set_yticks(np.arange(len(conditions)), labels, fontsize=SMALL)
    scores.invert_yaxis()
    figure.suptitle(_title(result), fontsize=TEXT, x=0.01, ha="left")
    ends = [f"{what}_{end}" for what in ("score", "difference") for end in ("mean", "low", "high")]
    return note_data(figure, result[[*ends, "within_noise"]].assign(cost=cost))


def _draw_scores(ax: Axes, result: xr.Dataset, conditions: list[str]) -> None:
    for row, name in enumerate(conditions):
        here = result.sel(condition=name)
        colour = _OWN if name == "ensemble" else _OTHER
        _draw_row(ax, row, [float(here[f"score_{part}"]) for part in ("mean", "low", "high")], colour)
    ax.set_xlim(-0.02, 1.02)
    _finish(ax, "score")


def _draw_differences(ax: Axes, result: xr.Dataset, conditions: list[str]) -> None:
    ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    for row, name in enumerate(conditions):
        if name == "ensemble":
            continue
        here = result.sel(baseline=name)
        within = bool(here["within_noise"])
        _draw_row(ax, row, [float(here[f"difference_{part}"]) for part in ("mean", "low", "high")],
                  _NOISE if within else _OWN)  # fmt: skip
    _finish(ax, "score of the ensemble less that of the row,\npuzzle by puzzle (grey: within noise)")


def _draw_row(ax: Axes, row: int, ends: list[float], colour: str) -> None:
    mean, low, high = ends
    ax.hlines(row, low, high, color=colour, linewidth=1.4)
    ax.plot([mean], [row], marker="o", color=colour, markersize=4.5)


def _finish(ax: Axes, quantity: str) -> None:
    ax.set_xlabel(quantity, fontsize=SMALL)
    ax.tick_params(labelsize=SMALL)
    ax.locator_params(axis="x", nbins=6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _title(result: xr.Dataset) -> str:
    params = json.loads(result.attrs["params"]) if "params" in result.attrs else {}
    layers = result.attrs["edited_layers"]
    size = f"{result.sizes['question']} puzzles × {result.sizes['seed']} seeds"
    return (
        f"Mean of {params.get('n', '')} seeds, {params.get('mode', '')}, layers {layers[0]} to {layers[-1]}\n"
        f"{words_of_steps(result)} · {size} · 95 % intervals over puzzles"
    )

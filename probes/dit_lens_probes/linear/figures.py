"""The figures of the linear probe: the map of scores with its control beside it, and scores along the steps.

Score and control share one colour scale that begins at chance or below, so a map that is all one colour is one that
found nothing. Where a real label and a permuted one score alike, selectivity is white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens.probing import BadParams
from dit_lens_probes.step_maps import draw_step_map, label_step_axis, mark_experts
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_figures"]

_PANELS = (("score", "score"), ("control", "control: labels permuted between videos"), ("selectivity", "selectivity"))
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # of Okabe and Ito
_LAYERS_AT_MOST = 4


def draw_figures(result: xr.Dataset, branch: str | None = None) -> dict[str, Figure]:
    """All figures of a result, by name.

    Parameters
    ----------
    result : xarray.Dataset
    branch : str, optional
        All by default.

    Raises
    ------
    BadParams
        If the result has no such branch.
    """
    held = result["branch"].values.tolist()
    if branch is not None and branch not in held:
        message = f"probe 'linear' finds no branch '{branch}'; got '{branch}', allowed {', '.join(held)}"
        raise BadParams(message + (close_match(branch, held) or "; choose one of them"))
    shown = result.sel(branch=[branch] if branch is not None else held)
    return {"map": _map(shown), "steps": _steps(shown)}


def _map(result: xr.Dataset) -> Figure:
    branches, steps, layers = (result.sizes[dim] for dim in ("branch", "step", "layer"))
    size = (3.2 + 3 * max(2.0, 0.16 * steps), 1.3 + branches * max(1.7, 0.17 * layers))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(branches, 3, squeeze=False, sharey=True)
    norms = _norms(result)
    images: dict[str, Any] = {}
    for row, branch in zip(axes, result["branch"].values.tolist(), strict=True):
        for axis, (name, title) in zip(row, _PANELS, strict=True):
            colours = "RdBu_r" if name == "selectivity" else "viridis"
            images[name] = draw_step_map(axis, result[name].sel(branch=branch), norms[name], colours)
            axis.set_title(title, fontsize=8.5)
        row[0].set_ylabel(f"layer (branch {branch})", fontsize=8)
    for name, place, words in (
        ("score", axes[:, :2], _quantity(result)),
        ("selectivity", axes[:, 2:], "score − control"),
    ):
        bar = figure.colorbar(images[name], ax=place, shrink=0.9, pad=0.01)
        bar.set_label(words, fontsize=8)
        bar.ax.tick_params(labelsize=7.5)
    figure.suptitle(_title(result), fontsize=9.5, x=0.01, ha="left")
    return note_data(figure, result[[name for name, _ in _PANELS]])


def _norms(result: xr.Dataset) -> dict[str, Normalize]:
    chance = float(result.attrs["chance"])
    values = np.concatenate([result[name].values.ravel() for name in ("score", "control")])
    finite = values[np.isfinite(values)]
    low = min(chance, float(finite.min())) if finite.size else chance
    shared = Normalize(max(low, -1.0), 1.0)
    spread = result["selectivity"].values
    most = float(np.nanmax(np.abs(spread))) if np.isfinite(spread).any() else 1.0
    far = Normalize(-max(most, 0.05), max(most, 0.05))
    return {"score": shared, "control": shared, "selectivity": far}


def _title(result: xr.Dataset) -> str:
    attrs = result.attrs
    classes = f"{len(attrs['classes'])} classes, chance {attrs['chance']:.2f}" if attrs["classes"] else "a number"
    highest = result["control_highest"].values
    bar = f"highest control anywhere {np.nanmax(highest):.2f}" if np.isfinite(highest).any() else "no cell was scored"
    rows = {"trace": "mean of a trace", "frame": "mean of a frame", "token": "token"}[attrs["row"]]
    return (
        f"'{attrs['label']}' by a linear map, {attrs['model']}: {attrs['videos']} videos, {attrs['folds']} folds of "
        f"videos, a row is a {rows}\n{classes} · {bar} of {result.sizes['permutation']} permutations"
    )


def _quantity(result: xr.Dataset) -> str:
    return f"{result.attrs['quantity']}, held-out videos"


def _steps(result: xr.Dataset) -> Figure:
    branches = result["branch"].values.tolist()
    figure = Figure(figsize=(max(6.8, 1.2 + 4.6 * len(branches)), 3.9), layout="constrained")
    axes = figure.subplots(1, len(branches), squeeze=False, sharey=True)[0]
    for axis, branch in zip(axes, branches, strict=True):
        _draw_steps(axis, result.sel(branch=branch))
        axis.set_title(f"branch {branch}", fontsize=8.5)
    axes[0].set_ylabel(_quantity(result), fontsize=8)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=7.5, frameon=False)
    figure.suptitle(_title(result), fontsize=8.5, x=0.01, ha="left")
    drawn = result.sel(layer=_picked(result))
    return note_data(figure, drawn[["score", "score_low", "score_high", "control"]])


def _picked(result: xr.Dataset) -> list[int]:
    """The layers that have a line."""
    layers = result["layer"].values
    at = np.unique(np.linspace(0, len(layers) - 1, min(_LAYERS_AT_MOST, len(layers))).round().astype(int))
    return [int(layer) for layer in layers[at]]


def _draw_steps(axis: Axes, result: xr.Dataset) -> None:
    at = np.arange(result.sizes["step"])
    for colour, layer in zip(_COLOURS, _picked(result), strict=False):
        here = result.sel(layer=layer)
        axis.fill_between(at, here["score_low"], here["score_high"], color=colour, alpha=0.12, linewidth=0)
        axis.plot(at, here["score"], color=colour, marker="o", markersize=3, label=f"layer {layer}, 95 % over videos")
        axis.plot(at, here["control"], color=colour, linewidth=0.9, linestyle=(0, (1, 1.5)))
    axis.plot([], [], color="0.4", linewidth=0.9, linestyle=(0, (1, 1.5)), label="control of the same layer")
    axis.axhline(float(result.attrs["chance"]), color="0.4", linewidth=1, label="chance")
    axis.spines[["top", "right"]].set_visible(False)
    label_step_axis(axis, result)
    mark_experts(axis, result)
    if float(np.nanmin(result["control"].values, initial=1.0)) >= 0:
        axis.set_ylim(0, 1.03)

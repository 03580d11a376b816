"""The figures of the noise probe: scores, effects and doses along a sweep, and what was reached from where.

A step is never named by its index alone: sigma stands below it, and a line marks where the experts switch. Scores are
drawn between what a video scores in which nothing happens and what the clean run does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens_probes.noise.matrices import draw_cells, draw_cka, draw_layers, draw_matrix
from dit_lens_probes.noise.steps import label_steps, mark_switch

__all__ = ["draw_figures"]

_COLOURS = {"paper": "#D55E00", "dose": "#0072B2"}  # of Okabe and Ito
_DASHES: dict[str, Any] = {"state": "-", "view": (0, (4, 1.5))}
_NAMES = {"paper": "unit noise instead", "dose": "noise exchanged at the step's sigma"}
_GREY = "#666666"


def draw_figures(result: xr.Dataset) -> dict[str, Figure]:
    """All figures of a result, by name.

    Parameters
    ----------
    result : xarray.Dataset

    Returns
    -------
    dict of str to matplotlib.figure.Figure
    """
    swept = [at for at in ("step", "frame") if f"score_at_{at}" in result]
    figures = {f"scores_at_{at}": _curves(result, at) for at in swept}
    if "x0_distance_at_step" in result:
        figures["injection_by_observation"] = draw_matrix(result)
    if "layer_distance_at_step" in result:
        figures["layers"] = draw_layers(result)
    if "layer_cka_at_step" in result:
        figures["cka"] = draw_cka(result)
    if "score_at_cell" in result:
        figures["scores_at_cell"] = draw_cells(result)
    return figures


def _curves(result: xr.Dataset, at: str) -> Figure:
    """Scores above, and below them the dose: how far the noise threw the latents where it was put in."""
    figure = Figure(figsize=(8.0, 5.4), layout="constrained")
    scores, doses = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    _draw_scores(scores, result, at)
    _draw_doses(doses, result, at)
    for axis in (scores, doses):
        axis.spines[["top", "right"]].set_visible(False)
        if at == "step":
            mark_switch(axis, result, named=axis is scores)
    if at == "step":
        label_steps(doses, result)
    else:
        doses.set_xticks(result["frame"].values)
        doses.set_xlabel("latent frame with noise in all steps")
    handles, labels = scores.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7.5, frameon=False)
    figure.suptitle(_title(result, at), fontsize=9.5, x=0.01, ha="left")
    return note_data(figure, _shown(result, at))


def _shown(result: xr.Dataset, at: str) -> xr.Dataset:
    """What the curves are drawn from: means over questions and seeds wherever there is no interval."""
    dose = result[f"dose_at_{at}"]
    means = {f"dose_at_{at}": dose.mean([dim for dim in dose.dims if dim not in (at, "kind", "level")])}
    if bool(result["clean_score"].isnull().all()):
        ends = result[[f"final_distance_at_{at}", f"control_final_distance_at_{at}"]]
        return ends.mean(["question", "seed", "noise_seed"]).assign(means)
    kept = [f"score_at_{at}_{end}" for end in ("mean", "low", "high")]
    kept += [f"control_score_at_{at}_mean", "clean_score_mean"]
    return result[kept].assign({**means, "floor": result["floor"].mean()})


def _title(result: xr.Dataset, at: str) -> str:
    where = {"step": "in one step, all frames", "frame": "in one frame, all steps"}[at]
    shams = "bit for bit" if bool(result["sham_identical"].all()) else "NOT bit for bit"
    counts = " × ".join(_count(result, dim) for dim in ("question", "seed", "noise_seed"))
    return f"Noise {where}: {counts}, 95 % over questions\nsham (its own latents put back): the clean run {shams}"


def _count(result: xr.Dataset, dim: str) -> str:
    """A number with its word."""
    return f"{result.sizes[dim]} {dim.replace('_', ' ')}" + ("s" if result.sizes[dim] != 1 else "")


def _draw_scores(axis: Axes, result: xr.Dataset, at: str) -> None:
    if bool(result["clean_score"].isnull().all()):
        _draw_final(axis, result, at)
        return
    for kind, level, curve in _curves_of(result, at):
        ends = [curve[f"score_at_{at}_{end}"].values for end in ("mean", "low", "high")]
        _draw_band(axis, result[at].values, ends, _COLOURS[kind], _DASHES[level], _label(result, kind, level))
    for level in result["level"].values:
        control = result[f"control_score_at_{at}_mean"].sel(level=level).values
        look: Any = {"color": "black", "linestyle": _DASHES[str(level)], "linewidth": 1}
        axis.plot(result[at].values, control, label=_levelled(result, "same resets, no noise", level), **look)
    axis.axhline(float(result["clean_score_mean"]), color=_GREY, linewidth=1, label="clean run")
    floor = float(result["floor"].mean())
    if not np.isnan(floor):
        axis.axhline(floor, color=_GREY, linewidth=1, linestyle=":", label="nothing happens (floor)")
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("mean score", fontsize=9)


def _draw_final(axis: Axes, result: xr.Dataset, at: str) -> None:
    """Without rules to score by: how far the end is from that of the clean run."""
    for kind, level, curve in _curves_of(result, at):
        values = curve[f"final_distance_at_{at}"].mean(["question", "seed", "noise_seed"]).values
        axis.plot(
            result[at].values, values, color=_COLOURS[kind], linestyle=_DASHES[level], label=_label(result, kind, level)
        )
    for level in result["level"].values:
        control = result[f"control_final_distance_at_{at}"].sel(level=level).mean(["question", "seed"]).values
        label = _levelled(result, "same resets, no noise", level)
        axis.plot(result[at].values, control, color="black", linewidth=1, label=label)
    axis.set_ylabel("last latents: relative L2\nfrom the clean run", fontsize=9)


def _draw_doses(axis: Axes, result: xr.Dataset, at: str) -> None:
    for kind, level, curve in _curves_of(result, at):
        dose = curve[f"dose_at_{at}"]
        over = [dim for dim in dose.dims if dim != at]
        axis.plot(result[at].values, dose.mean(over).values, color=_COLOURS[kind], linestyle=_DASHES[level])
    axis.set_ylim(bottom=0)
    axis.set_ylabel("dose: relative L2" if at == "step" else "dose: relative L2,\nmean of steps", fontsize=9)


def _curves_of(result: xr.Dataset, at: str) -> list[tuple[str, str, xr.Dataset]]:
    names = [name for name in result.data_vars if f"_at_{at}" in str(name) and "kind" in result[name].dims]
    kept = result[names]
    return [
        (str(kind), str(level), kept.sel(kind=kind, level=level))
        for kind in result["kind"].values
        for level in result["level"].values
    ]


def _draw_band(axis: Axes, places: Any, ends: list[Any], colour: str, dashes: Any, label: str) -> None:
    mean, low, high = ends
    axis.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.plot(places, mean, color=colour, linestyle=dashes, marker="o", markersize=3, label=label)


def _label(result: xr.Dataset, kind: str, level: str) -> str:
    return _levelled(result, _NAMES[kind], level)


def _levelled(result: xr.Dataset, words: str, level: object) -> str:
    """The level is named where there are two."""
    return f"{words} ({level})" if result.sizes["level"] > 1 else words

"""The figures of the trajectory probe: the film strip, and curves of what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens_probes.trajectory.params import TrajectoryParams
from dit_lens_probes.trajectory.roc import draw_areas, draw_roc, has_area
from dit_lens_probes.trajectory.strip import draw_strip
from dit_lens_probes.trajectory.together import draw_together, has_several
from dit_lens_probes.trajectory.view import COLOURS, GREY, choose, label_steps, mark_switch, plain

__all__ = ["draw_figures"]

_CLEAR = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""Behind words that may lie on a line."""


def draw_figures(result: xr.Dataset, params: TrajectoryParams) -> dict[str, Figure]:
    """All figures of a result, by name.

    Parameters
    ----------
    result : xarray.Dataset
        Of the trajectory probe.
    params : TrajectoryParams
        Which trace and branch are drawn.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        ``distance`` always; ``filmstrip`` if x0 was decoded, ``readings`` if the trace has a scorer, ``commitment``
        if several have one, ``foretold`` and ``roc`` if there are failed and solved questions.
    """
    chosen = choose(result, params)
    figures = {"distance": _distance(chosen)}
    if "film" in result:
        figures["filmstrip"] = draw_strip(chosen, params)
    if "score" in chosen and chosen["score"].notnull().any():
        figures["readings"] = _readings(chosen)
    if has_several(result):
        figures["commitment"] = draw_together(result, str(chosen["branch"].item()))
    if has_area(chosen):
        figures["foretold"] = draw_areas(chosen)
        figures["roc"] = draw_roc(chosen, params.roc_step)
    return figures


def _title(chosen: xr.Dataset) -> str:
    return f"{chosen['trace'].item()} · x0 {chosen['branch'].item()}"


def _distance(chosen: xr.Dataset) -> Figure:
    """How far each frame is from its last x0, and how many frames share in the change of a step."""
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    heat, change = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    held = chosen.isel(frame=chosen["distance"].notnull().any("step").values)
    image = heat.imshow(held["distance"].transpose("frame", "step").values, aspect="auto", vmin=0, cmap="viridis")
    bar = figure.colorbar(image, ax=heat)
    bar.set_label("distance to the last x0\n(its RMS = 1)", fontsize=8)
    places = np.searchsorted(chosen["step"].values, held["settled_step"].values)
    heat.plot(places, range(held.sizes["frame"]), "o", color="white", markeredgecolor="black", clip_on=False)
    heat.set_yticks(range(held.sizes["frame"]), [str(frame) for frame in held["frame"].values], fontsize=8)
    heat.set_ylabel("latent frame", fontsize=9)
    change.plot(range(chosen.sizes["step"]), chosen["change_spread"].values, ".-", color=COLOURS[0])
    change.axhline(1 / held.sizes["frame"], color=GREY, linewidth=0.8, linestyle=":")
    change.set_ylim(0, 1.03)
    change.set_ylabel("share of frames\nthat change", fontsize=9)
    label_steps(change, chosen)
    mark_switch(heat, chosen, colour="white")
    mark_switch(change, chosen, named=False)
    plain(change)
    order = float(chosen["frame_order"])
    told = "all frames settle at one step" if np.isnan(order) else f"order of frames τ = {order:+.2f}"
    figure.suptitle(
        f"{_title(chosen)}\ncircles: settled; {told}; dotted: one frame alone", fontsize=9.5, x=0.01, ha="left"
    )
    return note_data(figure, held[["distance", "settled_step", "change_spread", "frame_order"]])


def _readings(chosen: xr.Dataset) -> Figure:
    """Score and candidates, the step of commitment, and what was dropped."""
    figure = Figure(figsize=(8.0, 3.8), layout="constrained")
    axis = figure.subplots()
    steps = range(chosen.sizes["step"])
    axis.plot(steps, chosen["score"].values, ".-", color="black", label="score")
    for number, candidate in enumerate(_candidates(chosen)):
        colour = COLOURS[number % len(COLOURS)]
        shown = chosen["visible"].sel(candidate=candidate).values
        axis.plot(steps, shown, ".--", color=colour, label=f"{candidate} is seen")
    if chosen["share"].notnull().any():
        name = f"share of {chosen['end_a'].item()} in the latent"
        axis.plot(steps, chosen["share"].values, "-", color=GREY, linewidth=1, label=name)
    _mark_events(axis, chosen)
    axis.set_ylim(-0.05, 1.25)  # room above 1 for what was dropped
    axis.set_yticks(np.linspace(0, 1, 6))
    label_steps(axis, chosen)
    mark_switch(axis, chosen)
    plain(axis)
    figure.legend(loc="outside lower center", ncols=4, fontsize=7.5, frameon=False)
    end = chosen["final_answer"].item() or "no answer"
    figure.suptitle(f"{_title(chosen)} · final answer: {end}", fontsize=9.5, x=0.01, ha="left")
    return note_data(figure, chosen[["score", "visible", "share", "commitment_step", "dropped_answer", "final_answer"]])


def _candidates(chosen: xr.Dataset) -> list[str]:
    held = chosen["visible"].notnull().any("step").values
    return [str(name) for name in chosen["candidate"].values[held]]


def _mark_events(axis: Axes, chosen: xr.Dataset) -> None:
    steps = chosen["step"].values
    if np.isfinite(commitment := float(chosen["commitment_step"])):
        place = int(np.searchsorted(steps, commitment))
        axis.axvline(place, color=COLOURS[2], linewidth=1.6, alpha=0.7, label=f"committed at step {commitment:.0f}")
    words: Any = {"fontsize": 7.5, "ha": "center", "va": "bottom", "color": COLOURS[1], "bbox": _CLEAR}
    for place, answer in enumerate(chosen["dropped_answer"].values):
        if answer:
            axis.plot(place, 1.08, "x", color=COLOURS[1])
            axis.text(place, 1.13, f"{answer} dropped", **words)

"""The two energy figures: the layers of one step, and the steps of one layer, both frame by frame.

The first is the figure of the paper (rows layers, columns frames), with one colour scale instead of one for every
panel, so that panels can be compared. A step is never named by its index alone: sigma and expert stand beside it, and
the place where the experts switch is marked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens_probes.energy.panels import Panels, Row, draw_panels
from dit_lens_probes.energy.view import View, spread, spread_around
from dit_lens_probes.step_axis import switches

__all__ = ["ROBUST_LIMIT", "layer_over_steps", "layers_by_frames"]

ROBUST_LIMIT = 3.0
"""Standard deviations at which the colours of a robust map end; a pointed end of the bar says values lie beyond."""


def layers_by_frames(result: xr.Dataset, view: View) -> Figure:
    """Rows layers, columns latent frames, at one step.

    Parameters
    ----------
    result : xarray.Dataset
        Of the energy probe.
    view : View

    Returns
    -------
    matplotlib.figure.Figure
    """
    maps = _held(result, view).sel(step=view.step).dropna("layer", how="all")
    layers, frames = spread(_numbers(maps, "layer"), view.max_rows), spread(_numbers(maps, "frame"), view.max_columns)
    marks = _sinks(result, view, view.step, frames)
    rows = [Row(f"layer {layer}", _values(maps.sel(layer=layer), frames), marks=marks) for layer in layers]
    where = f"{_step_text(maps, ', ')} · branch {view.branch}"
    shown = _shown("layers", layers, maps["layer"].size) + _shown("frames", frames, maps["frame"].size)
    figure = draw_panels(_panels(result, view, "after every layer", where + shown, rows, frames))
    return note_data(figure, _drawn(result, view, maps.sel(layer=layers, frame=frames)))


def layer_over_steps(result: xr.Dataset, view: View) -> Figure:
    """Rows denoising steps, columns latent frames, at one layer; a line marks where the experts switch.

    Parameters
    ----------
    result : xarray.Dataset
        Of the energy probe.
    view : View

    Returns
    -------
    matplotlib.figure.Figure
    """
    maps = _held(result, view).sel(layer=view.layer).dropna("step", how="all")
    every, experts = _numbers(maps, "step"), _experts(maps)
    changes = switches(experts)
    steps, frames = spread_around(every, view.max_rows, changes), spread(_numbers(maps, "frame"), view.max_columns)
    begins = {every[at]: f"experts switch: {experts[at - 1]} → {experts[at]}" for at in changes}
    rows = [
        Row(
            _step_text(here := maps.sel(step=step), "\n"),
            _values(here, frames),
            begins.get(step, ""),
            _sinks(result, view, step, frames),
        )
        for step in steps
    ]
    where = f"layer {view.layer} · branch {view.branch}"
    shown = _shown("steps", steps, len(every)) + _shown("frames", frames, maps["frame"].size)
    figure = draw_panels(_panels(result, view, "over the denoising steps", where + shown, rows, frames))
    return note_data(figure, _drawn(result, view, maps.sel(step=steps, frame=frames)))


def _drawn(result: xr.Dataset, view: View, maps: xr.DataArray) -> xr.Dataset:
    """The maps that are drawn, with the sinks and pictures that lie on them."""
    data = maps.to_dataset(name=maps.name)
    if "dominance" in result:
        places = {dim: maps[dim] for dim in ("trace", "branch", "step", "frame", "y", "x")}
        data["sink"] = result["dominance"].sel(places) > 0.5
    if view.overlay:
        data["video"] = result["video"].sel(trace=view.trace, frame=maps["frame"])
    return data


def _held(result: xr.Dataset, view: View) -> xr.DataArray:
    """The maps of one trace and branch, without what the trace does not hold."""
    name = {"raw": "energy", "robust": "robust"}[view.scale]
    maps = result[name].sel(trace=view.trace, branch=view.branch)
    if "dominance" in result and result["dominance"].attrs.get("masked"):
        maps = maps.where(~(result["dominance"].sel(trace=view.trace, branch=view.branch) > 0.5))
    for dim in ("frame", "y", "x"):
        maps = maps.dropna(dim, how="all")
    return maps


def _sinks(result: xr.Dataset, view: View, step: int, frames: Sequence[int]) -> npt.NDArray[np.bool_] | None:
    """Which tokens of the shown frames are sinks in a step, if they were looked for."""
    if "dominance" not in result:
        return None
    share = result["dominance"].sel(trace=view.trace, branch=view.branch, step=step, frame=list(frames))
    for dim in ("y", "x"):
        share = share.dropna(dim, how="all")
    return np.asarray(share.transpose("frame", "y", "x").values > 0.5)


def _panels(
    result: xr.Dataset, view: View, over: str, where: str, rows: Sequence[Row], frames: Sequence[int]
) -> Panels:
    robust = result["robust"].attrs
    percentiles = f"{robust['clip_low']:g}–{robust['clip_high']:g} %"
    kind, quantity = {
        "raw": ("Raw energy", "energy ‖token‖₂ over channels"),
        "robust": (f"Robust energy ({percentiles} clip, z-score per layer)", "robust energy, standard deviations"),
    }[view.scale]
    pictures = None
    if view.overlay:
        pictures = result["video"].sel(trace=view.trace, frame=list(frames)).values
    if "dominance" in result:
        where += " · ring: sink, left out" if result["dominance"].attrs["masked"] else " · ring: sink"
    columns = [f"frame {frame}" for frame in frames]
    limit = ROBUST_LIMIT if view.scale == "robust" else None
    return Panels(f"{kind} {over}\ntrace {view.trace} · {where}", rows, columns, quantity, limit, pictures)


def _step_text(maps: xr.DataArray, separator: str) -> str:
    """Step, sigma and expert of a selection that holds one step."""
    sigma = f", σ {float(maps['sigma']):.3f}" if "sigma" in maps.coords else ""
    expert = f"{separator}{maps['expert'].item()}" if "expert" in maps.coords else ""
    return f"step {int(maps['step'])}{sigma}{expert}"


def _experts(maps: xr.DataArray) -> list[str]:
    return maps["expert"].values.tolist() if "expert" in maps.coords else [""] * maps["step"].size


def _values(maps: xr.DataArray, frames: Sequence[int]) -> npt.NDArray[np.floating]:
    return np.asarray(maps.sel(frame=list(frames)).transpose("frame", "y", "x").values)


def _numbers(maps: xr.DataArray, dim: str) -> list[int]:
    return [int(label) for label in maps[dim].values]


def _shown(what: str, shown: Sequence[int], held: int) -> str:
    return f" · {len(shown)} of {held} {what}" if len(shown) < held else ""

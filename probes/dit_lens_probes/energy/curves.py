"""Curves by layer and by step, over all traces: mean energy, its peak over the median, and the share on a mask.

A line is the mean over traces, a band the 95 % interval of that mean, by resampling traces. Traces of one puzzle with
several seeds are not told apart here: where that matters, average them first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens_probes.energy.view import spread
from dit_lens_probes.step_maps import label_step_axis, mark_experts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curves", "mean_over_traces"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # of Okabe and Ito
_NAMES = {"mean": "mean energy of a token", "peak": "largest energy over the median", "mask_share": "share on the mask"}
_RESAMPLES = 1000


def mean_over_traces(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Mean over the first axis, and the ends of its interval: float64 (3, ...); ends are NaN of a single trace.

    Examples
    --------
    >>> mean_over_traces(np.array([[1.0], [3.0]]))[0].tolist()
    [2.0]
    """
    exact = values.astype(np.float64)
    mean = exact.mean(0)
    if len(exact) < 2:
        return np.stack([mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)])
    weights_RT = np.random.default_rng(0).dirichlet(np.ones(len(exact)), _RESAMPLES)
    means = np.tensordot(weights_RT, exact, axes=1)
    return np.stack([mean, *np.quantile(means, (0.025, 0.975), axis=0)])


def draw_curves(result: xr.Dataset, branch: str) -> Figure:
    """Left by layer, a line for some steps; right by step, a line for some layers.

    Parameters
    ----------
    result : xarray.Dataset
        Of the energy probe with ``curves`` or ``mask``.
    branch : str
    """
    shown = [name for name in _NAMES if name in result]
    figure = Figure(figsize=(8.4, 0.9 + 2.3 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False, sharey="row")
    data = xr.Dataset({"mask_even": result["mask_even"].sel(branch=branch).mean()} if "mask_share" in shown else {})
    for (left, right), name in zip(axes, shown, strict=True):
        values = result[name].sel(branch=branch).transpose("trace", "step", "layer")
        values = values.dropna("trace", how="any") if values.sizes["trace"] > 1 else values
        data = data.assign(_draw(left, values, "layer", "step")).assign(_draw(right, values, "step", "layer"))
        left.set_ylabel(_NAMES[name] if name != "mask_share" else result[name].attrs["long_name"], fontsize=8)
        if name == "mask_share" and len(shown) > 1:
            _draw_even(result, branch, (left, right))
    for axis in axes[0]:  # lines mean the same in all rows of a column
        axis.legend(fontsize=7, frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    words = f"Energy by layer and step · {_counted(result)} · branch {branch}"
    if shown == ["mask_share"]:
        _draw_even(result, branch, (axes[0][0], axes[0][1]), told=False)
        words += " · dotted: all tokens alike"
    figure.suptitle(words, fontsize=9.5, x=0.01, ha="left")
    return note_data(figure, data)


def _draw(axis: Axes, values: xr.DataArray, along: str, lines: str) -> dict[str, xr.DataArray]:
    """Lines along one dimension for some labels of the other; returns them as ``NAME_by_ALONG_mean`` and so on."""
    places = np.arange(values.sizes[along])
    labels = spread(values[lines].values.tolist(), len(_COLOURS))
    some = values.sel({lines: labels}).rename({lines: f"{lines}_of_line"})
    curves = mean_over_traces(some.transpose("trace", f"{lines}_of_line", along).values)
    table = some.isel(trace=0, drop=True).transpose(f"{lines}_of_line", along)
    for at, (colour, label) in enumerate(zip(_COLOURS, labels, strict=False)):
        mean, low, high = curves[:, at]
        axis.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(places, mean, color=colour, marker="o", markersize=2.5, linewidth=1.2, label=f"{lines} {label}")
    if along == "step":
        label_step_axis(axis, values)
        mark_experts(axis, values)
    else:
        held = values["layer"].values.tolist()
        shown = range(0, len(held), -(-len(held) // 10))
        axis.set_xticks(list(shown), [str(held[at]) for at in shown], fontsize=7.5)
        axis.set_xlabel("layer", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=7.5)
    ends = zip(("mean", "low", "high"), curves, strict=True)
    return {f"{values.name}_by_{along}_{end}": table.copy(data=curve) for end, curve in ends}


def _draw_even(result: xr.Dataset, branch: str, axes: tuple[Axes, Axes], told: bool = True) -> None:
    even: Any = result["mask_even"].sel(branch=branch).mean()
    for axis in axes:
        line = axis.axhline(float(even), color="0.4", linewidth=1, linestyle=":")
        if told:
            axis.legend([line], ["all tokens alike"], fontsize=7, frameon=False)


def _counted(result: xr.Dataset) -> str:
    count = result.sizes["trace"]
    return f"mean over {count} traces, 95 %" if count > 1 else "one trace"

"""One panel of layers by steps: the index with sigma below it, a line where the experts switch, grey for what is NaN.

Panels are drawn on axes that the caller made, so that several of them can share a colour scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from dit_lens_probes.step_axis import switches, tick_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.image import AxesImage

__all__ = ["draw_step_map", "label_step_axis", "mark_experts"]

_TICKS_AT_MOST = 9
_GREY = "0.82"


def draw_step_map(axis: Axes, values: xr.DataArray, norm: Normalize, colours: str = "viridis") -> AxesImage:
    """Draw values by (layer, step); rows of layers begin at the bottom, as a signal goes up through them.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    values : xarray.DataArray
        Dimensions ``step`` and ``layer``, in any order.
    norm : matplotlib.colors.Normalize
    colours : str

    Returns
    -------
    matplotlib.image.AxesImage

    Examples
    --------
    >>> from matplotlib.colors import Normalize
    >>> from matplotlib.figure import Figure
    >>> values = xr.DataArray([[0.0, 1.0]], dims=("step", "layer"), coords={"step": [0], "layer": [3, 7]})
    >>> axis = Figure().subplots()
    >>> _ = draw_step_map(axis, values, Normalize(0, 1))
    >>> [tick.get_text() for tick in axis.get_yticklabels()]
    ['3', '7']
    """
    axis.set_facecolor(_GREY)
    table = values.transpose("layer", "step")
    image = axis.imshow(table.values, norm=norm, cmap=colours, origin="lower", aspect="auto", interpolation="nearest")
    layers = values["layer"].values.tolist()
    shown = range(0, len(layers), -(-len(layers) // 12))
    axis.set_yticks(list(shown), [str(layers[at]) for at in shown], fontsize=7.5)
    label_step_axis(axis, values)
    mark_experts(axis, values)
    return image


def label_step_axis(axis: Axes, result: xr.DataArray | xr.Dataset) -> None:
    """Name the places 0, 1, ... of an axis by their steps, with sigma where it is one for all traces."""
    known = "sigma" in result.coords and result["sigma"].dims == ("step",)
    sigmas = result["sigma"].values if known else None
    axis.set_xticks(*tick_texts(result["step"].values, sigmas, _TICKS_AT_MOST), fontsize=7.5)
    axis.set_xlabel("step" if sigmas is None else "step, and its sigma", fontsize=8)


def mark_experts(axis: Axes, result: xr.DataArray | xr.Dataset, colour: Any = "0.35") -> None:
    """A line between two steps of different experts."""
    if "expert" not in result.coords or result["expert"].dims != ("step",):
        return
    for at in switches(result["expert"].values):
        axis.axvline(at - 0.5, color="white", linewidth=2.2)
        axis.axvline(at - 0.5, color=colour, linewidth=1, linestyle=(0, (3, 2)))

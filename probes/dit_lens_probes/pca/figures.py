"""The figures of principal components: what they explain by layer and step, and tokens in their colours.

Red, green and blue are the first, second and third component, each from its 1st to its 99th percentile over all frames
of one panel's row; so colours may be compared within a row, and between rows only where all share one basis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens.probing import BadParams
from dit_lens_probes.energy.view import spread
from dit_lens_probes.step_maps import draw_step_map
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens_probes.pca.params import PcaParams

__all__ = ["colours_of", "draw_figures"]

_PERCENTILES = (1.0, 99.0)
_NOTHING = 0.82  # grey


def draw_figures(result: xr.Dataset, params: PcaParams) -> dict[str, Figure]:
    """All figures of a result, by name.

    Parameters
    ----------
    result : xarray.Dataset
    params : PcaParams

    Raises
    ------
    BadParams
        If a parameter names a label that the result does not hold.
    """
    branch = _label(result, "branch", params.branch, "cond")
    step = _label(result, "step", params.step)
    layer = _label(result, "layer", params.layer)
    figures = {"explained": _explained(result.sel(branch=branch), str(branch))}
    if "map" not in result:
        return figures
    scores = result["map"].sel(branch=branch)
    layers = spread(result["layer"].values.tolist(), params.max_rows)
    steps = spread(result["step"].values.tolist(), params.max_rows)
    names = [f"layer {one}" for one in layers]
    figures["layers_in_colour"] = _grid(
        scores.sel(step=step, layer=layers), "layer", names, params, f"{_step_text(result, step)} · branch {branch}"
    )
    names = [_step_text(result, one).replace(", ", "\n") for one in steps]
    figures["steps_in_colour"] = _grid(
        scores.sel(step=steps, layer=layer), "step", names, params, f"layer {layer} · branch {branch}"
    )
    return figures


def colours_of(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Scores on three components as colours from 0 to 1; grey where there is no token.

    Parameters
    ----------
    scores : numpy.ndarray, shape (frames, y, x, 3)

    Examples
    --------
    >>> colours_of(np.linspace(0, 1, 12).reshape(1, 1, 4, 3)).shape
    (1, 1, 4, 3)
    """
    known = np.isfinite(scores)
    flat = scores.reshape(-1, scores.shape[-1])
    colours = np.full(scores.shape, _NOTHING)
    for at in range(scores.shape[-1]):
        column = flat[np.isfinite(flat[:, at]), at]
        if column.size:
            low, high = np.percentile(column, _PERCENTILES)
            colours[..., at] = np.clip((scores[..., at] - low) / (high - low if high > low else 1.0), 0, 1)
        else:
            colours[..., at] = 0.5  # fewer than three components
    missing = ~known.any(-1)
    return np.where(missing[..., None], _NOTHING, np.nan_to_num(colours, nan=0.5))


def _explained(result: xr.Dataset, branch: str) -> Figure:
    steps, layers = result.sizes["step"], result.sizes["layer"]
    figure = Figure(figsize=(2.4 + 3 * max(2.1, 0.17 * steps), 1.4 + max(1.7, 0.19 * layers)), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    first, some = (
        result["explained"].isel(component=0),
        result["explained"].isel(component=slice(0, 3)).sum("component", skipna=False),
    )
    shares = Normalize(0, 1)
    for axis, values, title in zip(axes[:2], (first, some), ("first component", "first three"), strict=True):
        image = draw_step_map(axis, values, shares)
        axis.set_title(f"variance explained by the {title}", fontsize=8)
    figure.colorbar(image, ax=axes[:2], shrink=0.9, pad=0.01).set_label("share of the variance", fontsize=8)
    wide = draw_step_map(axes[2], result["dimensions"], _scale(result["dimensions"].values), "cividis")
    axes[2].set_title("dimensions in use", fontsize=8)
    figure.colorbar(wide, ax=axes[2], shrink=0.9, pad=0.02).set_label("participation ratio", fontsize=8)
    axes[0].set_ylabel("layer", fontsize=8)
    counts = f"{result.attrs['traces_read']} traces, {int(result['tokens'].max())} tokens a cell"
    figure.suptitle(
        f"Principal components, {_basis(result)}\n{counts} · branch {branch}", fontsize=9.5, x=0.01, ha="left"
    )
    data = {"first": first, "first_three": some, "dimensions": result["dimensions"]}
    return note_data(figure, xr.Dataset(data).drop_vars("component", errors="ignore"))


def _scale(values: npt.NDArray[np.floating]) -> Normalize:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (1.0, 2.0)
    return LogNorm(low, high) if high > 5 * low else Normalize(low, max(high, low + 0.1))


def _grid(scores: xr.DataArray, rows: str, names: list[str], params: PcaParams, where: str) -> Figure:
    frames = spread(scores["frame"].values.tolist(), params.max_columns)
    drawn = scores.sel(frame=frames).transpose(rows, "frame", "y", "x", "colour")
    table = drawn.values
    height, width = table.shape[2:4]
    panel = 0.85
    size = (1.3 + panel * len(frames) * max(width / height, 0.6), 0.9 + panel * len(names) * max(height / width, 0.6))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(names), len(frames), squeeze=False)
    for line, name, values in zip(axes, names, table, strict=True):
        for axis, picture in zip(line, colours_of(values), strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=7.5, rotation=0, ha="right", va="center")
    for axis, frame in zip(axes[0], frames, strict=True):
        axis.set_title(f"frame {frame}", fontsize=7.5)
    title = f"First three components as red, green, blue\n{scores.attrs['trace']}\n{where}"
    figure.suptitle(title, fontsize=8.5, x=0.01, ha="left")
    return note_data(figure, drawn.to_dataset())


def _basis(result: xr.Dataset) -> str:
    kind = {"cell": "of every step and layer for itself", "layer": "of a layer, shared by steps and branches"}
    return kind[result.attrs["basis"]] + (", channels standardised" if result.attrs["standardised"] else "")


def _step_text(result: xr.Dataset, step: Any) -> str:
    here = result.sel(step=step)
    sigma = f", σ {float(here['sigma']):.3f}" if "sigma" in here.coords else ""
    expert = f", {here['expert'].item()}" if "expert" in here.coords else ""
    return f"step {step}{sigma}{expert}"


def _label(result: xr.Dataset, dim: str, wanted: int | str | None, usual: str = "") -> int | str:
    held: list[int | str] = result[dim].values.tolist()
    if wanted is None:
        return usual if usual in held else held[len(held) // 2]
    if isinstance(wanted, int) and -len(held) <= wanted < 0:
        return held[wanted]
    if wanted in held:
        return wanted
    message = f"probe 'pca' finds no {dim} {wanted}; got {wanted}, allowed {', '.join(map(str, held))}"
    raise BadParams(message + (close_match(str(wanted), [str(one) for one in held]) or f"; choose a {dim} of those"))

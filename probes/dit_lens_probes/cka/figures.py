"""The figures of the CKA probe. A step is never named by its index alone, and every caution stands below.

All of them show the pooled result. What cannot be said is grey.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens_probes.step_axis import switches, tick_texts

__all__ = ["draw_figures"]

_MAP = "viridis"
_LINE: Any = {"color": "white", "linewidth": 1.2, "linestyle": (0, (3, 2))}
_THIN: Any = {"color": "white", "linewidth": 0.3}
_SMALL = 7.5
_CHARACTERS = 12.5
"""Of the title, to an inch."""


def draw_figures(result: xr.Dataset) -> dict[str, Figure]:
    """All figures of a result, by name.

    Parameters
    ----------
    result : xarray.Dataset

    Returns
    -------
    dict of str to matplotlib.figure.Figure
    """
    if result.attrs["pairs"] == "within":
        return {"all_pairs": _all_pairs(result), "changes": _changes(result)}
    return {"steps_by_layers": _steps_by_layers(result)}


def _all_pairs(result: xr.Dataset) -> Figure:
    """Steps of layers against steps of layers, a panel for each branch."""
    pooled, layers, steps = result["similarity_pooled"], result.sizes["layer"], result.sizes["step"]
    branches = [str(branch) for branch in result["branch"].values]
    figure = Figure(figsize=(1.6 + 5.2 * len(branches), 6.6), layout="constrained")
    axes = figure.subplots(1, len(branches), squeeze=False)[0]
    for axis, branch in zip(axes, branches, strict=True):
        values = pooled.sel(branch=branch).transpose("step", "layer", "step_b", "layer_b").values
        image = _show(axis, values.reshape(steps * layers, steps * layers), min(0.0, _lowest(pooled)), 1.0)
        axis.set_title(f"branch {branch}", fontsize=8.5, loc="left")
        _blocks(axis, result, layers)
    _bar(figure, image, axes, str(pooled.attrs["long_name"]), shrink=0.8)
    note_data(figure, pooled.to_dataset())
    return _finished(figure, result, f"Every step and layer with every other: {layers} layers inside each step")


def _blocks(axis: Axes, result: xr.Dataset, layers: int) -> None:
    """Labels in the middle of each step's layers, thin lines between steps, dashed ones between experts."""
    shown, texts = _step_texts(result)
    middles = [layers * at + (layers - 1) / 2 for at in shown]
    axis.set_xticks(middles, texts, fontsize=_SMALL)
    axis.set_yticks(middles, [text.replace("\n", "  ") for text in texts], fontsize=_SMALL)
    axis.set_xlabel("step, and its sigma", fontsize=8)
    axis.set_ylabel("step, and its sigma", fontsize=8)
    changed = _switches(result)
    for at in range(1, result.sizes["step"]):
        for draw in (axis.axvline, axis.axhline):
            draw(layers * at - 0.5, **(_LINE if at in changed else _THIN))


def _changes(result: xr.Dataset) -> Figure:
    """How much changes from a layer to the next, and from a step to the next."""
    far, branches = result["dissimilarity_pooled"], [str(branch) for branch in result["branch"].values]
    kinds = [name for name, size in (("layer", result.sizes["layer"]), ("step", result.sizes["step"])) if size > 1]
    figure = Figure(figsize=(1.4 + 3.9 * len(branches), 0.9 + 2.9 * max(len(kinds), 1)), layout="constrained")
    axes = figure.subplots(max(len(kinds), 1), len(branches), squeeze=False)
    data: dict[str, xr.DataArray] = {}
    for row, kind in zip(axes, kinds, strict=False):
        tables = [_next(far.sel(branch=branch), kind) for branch in branches]
        data[f"to_next_{kind}"] = _labelled(far, kind, tables)
        top = max([_highest(table) for table in tables] + [1e-6])
        for axis, branch, table in zip(row, branches, tables, strict=True):
            image = _show(axis, table.T, 0, top, aspect="auto", origin="lower")
            axis.set_title(f"to the next {kind} · branch {branch}", fontsize=8.5, loc="left")
            _grid(axis, result, steps=result.sizes["step"] - (kind == "step"))
        _bar(figure, image, row, str(result["dissimilarity"].attrs["long_name"]))
    note_data(figure, xr.Dataset(data))
    return _finished(figure, result, "What each layer and each step changes")


def _next(far: xr.DataArray, kind: str) -> npt.NDArray[np.float64]:
    """Steps by layers: the distance to the next along one of both."""
    values = far.transpose("step", "layer", "step_b", "layer_b").values
    steps, layers = np.arange(values.shape[0]), np.arange(values.shape[1])
    if kind == "layer":
        return np.asarray(values[steps[:, None], layers[:-1], steps[:, None], layers[1:]])
    return np.asarray(values[steps[:-1, None], layers, steps[1:, None], layers])


def _labelled(far: xr.DataArray, kind: str, tables: Sequence[npt.NDArray[np.float64]]) -> xr.DataArray:
    """The distances of all branches, at the step and layer from which they lead to the next; NaN at the last."""
    labels = far.isel(step_b=0, layer_b=0, drop=True).transpose("branch", "step", "layer")
    last = [(0, int(dim == kind)) for dim in labels.dims]
    return labels.copy(data=np.pad(np.stack(tables), last, constant_values=np.nan))


def _steps_by_layers(result: xr.Dataset) -> Figure:
    """One map for each branch, or pair of them."""
    far = result["dissimilarity_pooled"]
    (over,) = (dim for dim in far.dims if dim not in ("step", "layer"))
    names = [str(name) for name in result[over].values]
    figure = Figure(figsize=(1.4 + 3.9 * len(names), 3.9), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    top = max(_highest(far), 1e-6)
    for axis, name in zip(axes, names, strict=True):
        values = far.sel({over: name}).transpose("layer", "step").values
        image = _show(axis, values, 0, top, aspect="auto", origin="lower")
        axis.set_title(f"{str(over).removesuffix('_pair')} {name}", fontsize=8.5, loc="left")
        _grid(axis, result, result.sizes["step"])
    _bar(figure, image, axes, str(result["dissimilarity"].attrs["long_name"]))
    note_data(figure, far.to_dataset())
    what = {"across": "The same address in two traces", "branches": "The same address in two branches"}
    return _finished(figure, result, what[result.attrs["pairs"]])


def _grid(axis: Axes, result: xr.Dataset, steps: int) -> None:
    shown, texts = _step_texts(result)
    kept = [(at, text) for at, text in zip(shown, texts, strict=True) if at < steps]
    axis.set_xticks([at for at, _ in kept], [text for _, text in kept], fontsize=_SMALL)
    axis.set_xlabel("step, and its sigma", fontsize=8)
    axis.set_yticks(*tick_texts(result["layer"].values, None), fontsize=_SMALL)
    axis.set_ylabel("layer", fontsize=8)
    for at in _switches(result):
        axis.axvline(at - 0.5, **_LINE)


def _show(axis: Axes, values: npt.NDArray[np.float64], low: float, top: float, **more: Any) -> Any:
    colours = matplotlib.colormaps[_MAP].with_extremes(bad="0.75")
    return axis.imshow(values, cmap=colours, vmin=low, vmax=top, interpolation="nearest", **more)


def _bar(figure: Figure, image: Any, axes: Sequence[Axes], label: str, **more: Any) -> None:
    bar = figure.colorbar(image, ax=list(axes), **more)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=_SMALL)


def _step_texts(result: xr.Dataset) -> tuple[Sequence[int], Sequence[str]]:
    return tick_texts(result["step"].values, result["sigma"].values if "sigma" in result.coords else None)


def _switches(result: xr.Dataset) -> list[int]:
    return switches(result["expert"].values) if "expert" in result.coords else []


def _finished(figure: Figure, result: xr.Dataset, words: str) -> Figure:
    wide = int(_CHARACTERS * figure.get_figwidth())
    title = [words, *textwrap.wrap(_what(result), wide)]
    figure.suptitle("\n".join(title), fontsize=9, x=0.01, ha="left")
    small = int(wide * 9 / 6.5)
    if lines := [line for caution in result.attrs["warnings"] for line in textwrap.wrap(f"⚠ {caution}", small)]:
        figure.supxlabel("\n".join(lines), fontsize=6.5, x=0.01, ha="left", color="#8a3b00")
    return figure


def _what(result: xr.Dataset) -> str:
    attrs = result.attrs
    estimator = "" if attrs["estimator"] == "none" else f"{attrs['estimator']} "
    batch = f", minibatches of {attrs['minibatch']}" if attrs["minibatch"] else ""
    channels = f" x {attrs['channels']} channels" if attrs["channels"] else ""
    made = "" if attrs["normalise"] == "none" else f", {attrs['normalise']}"
    name = str(result["similarity"].attrs["long_name"])
    dashed = "; the experts switch at the dashed line" if _switches(result) else ""
    return (
        f"{estimator}{name} of {attrs['tokens']} tokens{channels}{batch}{made}, "
        f"{attrs['units']}: {attrs['unit_count']}{dashed}"
    )


def _highest(values: xr.DataArray | npt.NDArray[np.float64]) -> float:
    array = np.asarray(values)
    return float(np.nanmax(array)) if np.isfinite(array).any() else 1.0


def _lowest(values: xr.DataArray) -> float:
    array = np.asarray(values)
    return float(np.nanmin(array)) if np.isfinite(array).any() else 0.0

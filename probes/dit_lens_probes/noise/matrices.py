"""What was reached from where: distances from the clean run by step of the noise and by step of the look."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens_probes.step_axis import switches, tick_texts

__all__ = ["draw_cells", "draw_cka", "draw_layers", "draw_matrix"]

_MAP = "viridis"
_SMALL_EFFECT = 0.1  # what is smaller is not drawn in full colour
_UNIT_DIMS = ["question", "seed", "noise_seed"]
_QUANTITIES = {"x0_distance": "expected clean latent (x0)", "latent_distance": "latents"}


def draw_matrix(result: xr.Dataset) -> Figure:
    """Injection by observation: a column of matrices for each kind and level, x0 above and latents below."""
    columns = _columns(result)
    figure = Figure(figsize=(1.0 + 3.4 * len(columns), 6.2), layout="constrained")
    axes = figure.subplots(2, len(columns), squeeze=False)
    means = {name: result[f"{name}_at_step"].mean(_UNIT_DIMS) for name in _QUANTITIES}
    for row, (name, words) in zip(axes, _QUANTITIES.items(), strict=True):
        tables = [means[name].sel(kind=k, level=lv) for k, lv in columns]
        top = max(float(table.max()) for table in tables) or 1.0
        for axis, table, (kind, level) in zip(row, tables, columns, strict=True):
            image = axis.imshow(
                table.transpose("step", "observed").values, cmap=_MAP, vmin=0, vmax=top, aspect="auto", origin="upper"
            )
            axis.set_title(f"{words}: {kind}, {level}", fontsize=8.5, loc="left")
            _label(axis, result)
        figure.colorbar(image, ax=list(row), label="relative L2 from the clean run")
    figure.suptitle("From the step with noise (down) to the step that is looked at (across)", fontsize=9.5)
    return note_data(figure, xr.Dataset(means))


def draw_layers(result: xr.Dataset) -> Figure:
    """Layers by step of the noise: distance of the activations in the last step, the branches together."""
    columns = _columns(result)
    figure = Figure(figsize=(1.0 + 3.4 * len(columns), 3.4), layout="constrained")
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    last = result["layer_distance_at_step"].isel(observed=-1).mean([*_UNIT_DIMS, "branch"])
    top = float(last.max()) or 1.0
    for axis, (kind, level) in zip(axes, columns, strict=True):
        values = last.sel(kind=kind, level=level).transpose("layer", "step").values
        image = axis.imshow(values, cmap=_MAP, vmin=0, vmax=top, aspect="auto", origin="lower")
        axis.set_title(f"{kind}, {level}", fontsize=8.5, loc="left")
        _tick_steps(axis, result, "x")
        axis.set_yticks(*_spread(result["layer"].values), fontsize=7)
        axis.set_ylabel("layer", fontsize=8)
    figure.colorbar(image, ax=list(axes), label="relative L2 in the last step")
    figure.suptitle("Activations in the last step, by the step with noise", fontsize=9.5)
    return note_data(figure, last.to_dataset(name="layer_distance"))


def draw_cka(result: xr.Dataset) -> Figure:
    """Injection by observation: 1 - CKA of the activations, a row for an early, a middle and a late layer."""
    columns, layers = _columns(result), result["layer"].values
    shown = [int(layers[at]) for at in dict.fromkeys((0, len(layers) // 2, len(layers) - 1))]
    mean = result["layer_cka_at_step"].mean([*_UNIT_DIMS, "branch"], skipna=False)
    top = float(mean.sel(layer=shown).max()) or 1.0
    figure = Figure(figsize=(1.0 + 3.4 * len(columns), 0.6 + 2.8 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), len(columns), squeeze=False)
    for row, layer in zip(axes, shown, strict=True):
        for axis, (kind, level) in zip(row, columns, strict=True):
            values = mean.sel(kind=kind, level=level, layer=layer).transpose("step", "observed").values
            image = axis.imshow(values, cmap=_MAP, vmin=0, vmax=top, aspect="auto", origin="upper")
            axis.set_title(f"layer {layer}: {kind}, {level}", fontsize=8.5, loc="left")
            _label(axis, result)
    figure.colorbar(image, ax=list(axes.ravel()), label="1 - CKA to the clean run (debiased), branches together")
    figure.suptitle("Activations: from the step with noise (down) to the step that is looked at (across)", fontsize=9.5)
    return note_data(figure, mean.sel(layer=shown).to_dataset(name="layer_cka_distance"))


def draw_cells(result: xr.Dataset) -> Figure:
    """Effect on the score of noise in one frame of one step; without rules, distance of the end."""
    columns, scored = _columns(result), bool(result["clean_score"].notnull().any())
    effect = result["effect_at_cell_mean"] if scored else result["final_distance_at_cell"].mean(_UNIT_DIMS)
    figure = Figure(figsize=(1.0 + 3.4 * len(columns), 3.0), layout="constrained")
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    top = max(float(np.abs(effect).max()), _SMALL_EFFECT)
    for axis, (kind, level) in zip(axes, columns, strict=True):
        values = effect.sel(kind=kind, level=level).transpose("frame", "step").values
        limits = {"cmap": "RdBu", "vmin": -top, "vmax": top} if scored else {"cmap": _MAP, "vmin": 0, "vmax": top}
        image = axis.imshow(values, aspect="auto", origin="lower", **limits)
        axis.set_title(f"{kind}, {level}", fontsize=8.5, loc="left")
        _tick_steps(axis, result, "x")
        axis.set_yticks(*_spread(result["frame"].values), fontsize=7)
        axis.set_ylabel("latent frame with noise", fontsize=8)
    label = "score less that of the control" if scored else "last latents: relative L2"
    figure.colorbar(image, ax=list(axes), label=label)
    figure.suptitle("Noise in one frame of one step", fontsize=9.5)
    return note_data(figure, effect.to_dataset(name="effect_at_cell" if scored else "final_distance_at_cell"))


def _columns(result: xr.Dataset) -> list[tuple[str, str]]:
    return [(str(kind), str(level)) for kind in result["kind"].values for level in result["level"].values]


def _label(axis: Axes, result: xr.Dataset) -> None:
    """Steps along both sides, and where the experts switch, as they are observed and as they get noise."""
    sigmas = result["observed_sigma"].values if "observed_sigma" in result.coords else None
    axis.set_xticks(*tick_texts(result["observed"].values, sigmas), fontsize=7)
    axis.set_xlabel("step that is looked at, and its sigma", fontsize=8)
    _tick_steps(axis, result, "y")
    for at in switches(result["observed_expert"].values):
        axis.axvline(at - 0.5, color="white", linewidth=1, linestyle=(0, (3, 2)))


def _tick_steps(axis: Axes, result: xr.Dataset, along: str) -> None:
    """Steps with noise along one side, and a line before the first of another expert."""
    shown, texts = tick_texts(result["step"].values, result["sigma"].values if "sigma" in result.coords else None)
    if along == "x":
        axis.set_xticks(shown, texts, fontsize=7)
        axis.set_xlabel("step with noise, and its sigma", fontsize=8)
    else:
        axis.set_yticks(shown, [text.replace("\n", "  ") for text in texts], fontsize=7)
        axis.set_ylabel("step with noise, and its sigma", fontsize=8)
    for at in switches(result["expert"].values):
        draw = axis.axvline if along == "x" else axis.axhline
        draw(at - 0.5, color="white", linewidth=1, linestyle=(0, (3, 2)))


def _spread(labels: npt.NDArray[np.int64]) -> tuple[list[int], list[str]]:
    return tick_texts(labels, None)

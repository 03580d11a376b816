"""Effect by layer, with its controls and intervals, and flipped answers by layer."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens_probes.edited import words_of_steps

__all__ = ["by_layer"]

_LOOKS = {
    "donor": ("#0072b2", "o", "donor"),
    "random": ("#d55e00", "s", "stranger"),
    "noise": ("0.45", "^", "noise of the same norm"),
}
"""Colour, marker and name of each source."""
_TITLES = {"forward": "donor's into the question's run", "backward": "question's into the donor's run"}
TEXT, SMALL = 9.0, 8.0  # points


def by_layer(result: xr.Dataset, name: str, quantity: str) -> Figure:
    """One measure over layers: a panel for each direction, a line for each source.

    Parameters
    ----------
    result : xarray.Dataset
        Of the swap probe.
    name : str
        ``effect``, ``flipped`` and so on.
    quantity : str
        Written beside the axis.

    Returns
    -------
    matplotlib.figure.Figure
    """
    directions = result["direction"].values.tolist()
    figure = Figure(figsize=(3.7 * len(directions) + 0.4, 3.8), layout="constrained")
    panels = figure.subplots(1, len(directions), sharey=True, squeeze=False)[0]
    for ax, direction in zip(panels, directions, strict=True):
        _draw_panel(ax, result.sel(direction=direction), name)
        ax.set_title(_TITLES[direction], fontsize=SMALL)
    panels[0].set_ylabel(quantity, fontsize=SMALL)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)
    figure.suptitle(_title(result), fontsize=TEXT, x=0.01, ha="left")
    return note_data(figure, result[[f"{name}_{part}" for part in ("mean", "low", "high")]])


def _draw_panel(ax: Axes, panel: xr.Dataset, name: str) -> None:
    at = np.arange(panel.sizes["layer"])
    for level in (0.0, 1.0):
        ax.axhline(level, color="0.8", linewidth=0.8, zorder=0)
    for number, source in enumerate(panel["source"].values.tolist()):
        line = panel.sel(source=source)
        mean, low, high = (line[f"{name}_{part}"].values for part in ("mean", "low", "high"))
        place = at + 0.12 * (number - 1)  # side by side, so that no interval hides another
        colour, marker, label = _LOOKS[source]
        ax.plot(place, mean, color=colour, marker=marker, label=label, linewidth=1.0, markersize=3.5)
        ax.vlines(place, low, high, color=colour, linewidth=1.0, alpha=0.6)
    ax.set_xticks(at, _names(panel), fontsize=SMALL, rotation=0 if len(at) <= 12 else 90)
    ax.set_xlabel("layer" if _narrow(panel) else "layers", fontsize=SMALL)
    ax.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _narrow(panel: xr.Dataset) -> bool:
    return bool((panel["layer"] == panel["layer_to"]).all())


def _names(panel: xr.Dataset) -> list[str]:
    pairs = zip(panel["layer"].values.tolist(), panel["layer_to"].values.tolist(), strict=True)
    return [str(first) if first == last else f"{first}–{last}" for first, last in pairs]


def _alike(params: dict[str, str]) -> bool:
    """Whether nothing that enters behind the swap differs between the two runs."""
    narrowed = params.get("region", "all") != "all" or params.get("tokens") or params.get("branches")
    return params.get("donor") in ("places", "seed") and not narrowed


def _title(result: xr.Dataset) -> str:
    params = json.loads(result.attrs["params"]) if "params" in result.attrs else {}
    region = params.get("region", "all")
    where = "all video tokens" if region == "all" else f"tokens of {region}"
    alike = "\none prompt and all tokens: every layer is alike, by construction" if _alike(params) else ""
    size = f"{result.sizes['question']} puzzles × {result.sizes['seed']} seeds"
    return (
        f"Block outputs swapped at {words_of_steps(result)}\n"
        f"donor: {params.get('donor', '')} · {where} · {size} · 95 % intervals over puzzles, each layer alone{alike}"
    )

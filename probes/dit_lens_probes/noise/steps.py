"""An axis of steps: the index with sigma below it, and a line where the experts switch."""

from __future__ import annotations

from typing import Any

import xarray as xr
from matplotlib.axes import Axes

from dit_lens_probes.step_axis import switches, tick_texts

__all__ = ["label_steps", "mark_switch"]


def label_steps(axis: Axes, result: xr.Dataset) -> None:
    """Steps and sigmas along x, of an axis on which a step lies at its own number."""
    steps = result["step"].values
    shown, texts = tick_texts(steps, result["sigma"].values if "sigma" in result.coords else None)
    axis.set_xticks([steps[at] for at in shown], texts, fontsize=8)
    axis.set_xlabel("step with noise, and the sigma that it starts from", fontsize=9)


def mark_switch(axis: Axes, result: xr.Dataset, named: bool = True) -> None:
    """A line half a step before the other expert, wherever it runs, if its step has noise in it or not."""
    experts = result["observed_expert"].values
    for at in switches(experts):
        axis.axvline(at - 0.5, color="0.35", linewidth=1, linestyle=(0, (3, 2)))
        if not named:
            continue
        words: Any = {"transform": axis.get_xaxis_transform(), "fontsize": 7, "color": "0.35", "va": "top"}
        axis.text(at - 0.45, 0.99, f"{experts[at]} →", ha="left", **words)

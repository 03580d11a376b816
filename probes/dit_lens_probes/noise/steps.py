"""An axis of steps: the index with sigma below it, and a line where the experts switch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes

__all__ = ["label_steps", "mark_switch", "switches", "tick_texts"]

_TICKS_AT_MOST = 12


def tick_texts(steps: npt.NDArray[np.int64], sigmas: npt.NDArray[np.float64] | None) -> tuple[list[int], list[str]]:
    r"""Places among the steps, and what is written there.

    Examples
    --------
    >>> tick_texts(np.array([0, 4]), np.array([1.0, 0.25]))
    ([0, 1], ['0\n1.00', '4\n0.25'])
    """
    stride = -(-len(steps) // _TICKS_AT_MOST)
    shown = list(range(0, len(steps), stride))
    return shown, [f"{steps[at]}" + ("" if sigmas is None else f"\n{sigmas[at]:.2f}") for at in shown]


def switches(experts: npt.NDArray[np.object_]) -> list[int]:
    """The places before which another expert runs than at the place before.

    Examples
    --------
    >>> switches(np.array(["a", "a", "b"], dtype=object))
    [2]
    """
    return [at for at in range(1, len(experts)) if experts[at] != experts[at - 1]]


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

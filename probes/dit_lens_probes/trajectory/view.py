"""Which trace and branch are drawn, how steps are named (never by index alone), and what all curves look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from dit_lens.probing import BadParams
from dit_lens_probes.step_axis import switches, tick_texts
from dit_lens_probes.trajectory.params import TrajectoryParams

__all__ = ["COLOURS", "GREY", "choose", "label_steps", "mark_switch", "name_step", "plain", "spread"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Of Okabe and Ito."""
GREY = "#666666"


def choose(result: xr.Dataset, params: TrajectoryParams) -> xr.Dataset:
    """One trace and one branch of a result, with the steps that it holds.

    Raises
    ------
    BadParams
        If the result holds no such trace or branch.
    """
    chosen = result
    for dim, wanted in (("trace", params.trace), ("branch", params.branch)):
        held = [str(label) for label in result[dim].values]
        if wanted is not None and wanted not in held:
            raise BadParams(
                f"probe 'trajectory' finds no such {dim} to draw; got {wanted!r}, allowed {', '.join(held)}; choose one"
            )
        chosen = chosen.sel({dim: held[0] if wanted is None else wanted})
    return chosen.isel(step=chosen["distance_whole"].notnull().values)


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places, the first and the last among them.

    Examples
    --------
    >>> spread(20, 4), spread(3, 4)
    ([0, 6, 13, 19], [0, 1, 2])
    """
    return [int(place) for place in np.unique(np.linspace(0, count - 1, min(count, most)).round())]


def name_step(chosen: xr.Dataset, place: int) -> str:
    r"""A step with its sigma and expert, as far as they are known.

    Examples
    --------
    >>> steps = xr.Dataset(coords={"step": [3], "sigma": ("step", [0.25])})
    >>> name_step(steps, 0)
    'step 3\nσ 0.250'
    """
    words = [f"step {int(chosen['step'].values[place])}"]
    if "sigma" in chosen.coords:
        words.append(f"σ {float(chosen['sigma'].values[place]):.3f}")
    if "expert" in chosen.coords and chosen["expert"].values[place]:
        words.append(str(chosen["expert"].values[place]))
    return "\n".join(words)


def label_steps(axis: Axes, chosen: xr.Dataset) -> None:
    """Steps and sigmas along x, of an axis on which a step lies at its place among those that are held."""
    steps = chosen["step"].values
    shown, texts = tick_texts(steps, chosen["sigma"].values if "sigma" in chosen.coords else None)
    axis.set_xticks(shown, texts, fontsize=8)
    axis.set_xlim(-0.5, len(steps) - 0.5)
    axis.set_xlabel("step, and the sigma that it starts from" if "sigma" in chosen.coords else "step", fontsize=9)


def mark_switch(axis: Axes, chosen: xr.Dataset, named: bool = True, colour: str = "0.35") -> None:
    """A line where another expert takes over."""
    if "expert" not in chosen.coords:
        return
    experts = chosen["expert"].values
    for at in switches(experts):
        axis.axvline(at - 0.5, color=colour, linewidth=1, linestyle=(0, (3, 2)))
        if named:
            words: Any = {"transform": axis.get_xaxis_transform(), "fontsize": 7, "color": "0.35", "va": "bottom"}
            axis.text(at - 0.5, 1.01, f"{experts[at]} →", ha="left", **words)


def plain(axis: Axes) -> None:
    """Only what is needed to read the values."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(visible=True, color="#e4e4e4", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)

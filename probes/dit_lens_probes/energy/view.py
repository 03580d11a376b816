"""Which part of a result a figure shows: the labels that the parameters name, or sensible ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from dit_lens.probing import BadParams
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens_probes.energy.params import EnergyParams

__all__ = ["View", "choose_view", "find_label", "spread", "spread_around"]

Label = int | str


@dataclass(frozen=True)
class View:
    """One trace and branch, and the labels that a figure holds fixed or shows.

    Attributes
    ----------
    trace, branch : str
    step, layer : int
        What is held fixed in one figure each.
    scale : {"robust", "raw"}
    overlay : bool
    max_rows, max_columns : int
    """

    trace: str
    branch: str
    step: int
    layer: int
    scale: Literal["robust", "raw"]
    overlay: bool
    max_rows: int
    max_columns: int


def choose_view(result: xr.Dataset, params: EnergyParams) -> View:
    """Fill in what the parameters leave open: the first trace, ``cond``, the middle step and layer.

    Raises
    ------
    BadParams
        If a parameter names a label that the result does not hold, or an overlay without video.
    """
    if params.overlay and "video" not in result:
        message = "probe 'energy' cannot draw its overlay; got a result without 'video', allowed one made with overlay"
        raise BadParams(f"{message}; analyze again with overlay=true")
    trace = str(find_label("trace", params.trace, _labels(result, "trace"), _labels(result, "trace")[0]))
    branches, steps, layers = _held_labels(result, trace)
    return View(
        trace=trace,
        branch=str(find_label("branch", params.branch, branches, "cond" if "cond" in branches else branches[0])),
        step=int(find_label("step", params.step, steps, steps[len(steps) // 2])),
        layer=int(find_label("layer", params.layer, layers, layers[len(layers) // 2])),
        scale=params.scale,
        overlay=params.overlay,
        max_rows=params.max_rows,
        max_columns=params.max_columns,
    )


def find_label(dim: str, wanted: Label | None, labels: Sequence[Label], otherwise: Label) -> Label:
    """The label that a parameter names; a negative number counts from the end.

    Examples
    --------
    >>> find_label("step", -1, (0, 1, 2), 0), find_label("step", None, (0, 1, 2), 1)
    (2, 1)
    >>> find_label("branch", "cnod", ("cond", "uncond"), "cond")
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.BadParams: probe 'energy' finds no branch 'cnod'; ...; did you mean 'cond'?
    """
    if wanted is None:
        return otherwise
    if isinstance(wanted, int) and -len(labels) <= wanted < 0:
        return labels[wanted]
    if wanted in labels:
        return wanted
    shown = f"'{wanted}'" if isinstance(wanted, str) else str(wanted)
    message = f"probe 'energy' finds no {dim} {shown}; got {shown}, allowed {_span(labels)}"
    names = [label for label in labels if isinstance(label, str)]
    raise BadParams(message + (close_match(str(wanted), names) or f"; choose a {dim} of those"))


def spread(labels: Sequence[int], most: int) -> list[int]:
    """At most so many labels, evenly spread, the first and the last among them.

    Examples
    --------
    >>> spread(range(40), 5)
    [0, 10, 20, 29, 39]
    """
    if len(labels) <= most:
        return list(labels)
    picked = np.linspace(0, len(labels) - 1, most).round().astype(int)
    return [labels[index] for index in dict.fromkeys(picked.tolist())]


def spread_around(labels: Sequence[int], most: int, switches: Sequence[int]) -> list[int]:
    """As `spread`, but the last label before and the first after every switch are kept.

    Parameters
    ----------
    labels : sequence of int
    most : int
    switches : sequence of int
        Positions in ``labels`` at which something new begins.

    Examples
    --------
    >>> spread_around(range(20), 5, switches=[4])
    [0, 3, 4, 10, 19]
    """
    kept = {labels[at] for switch in switches for at in (switch - 1, switch)}
    for count in range(most, 0, -1):
        picked = kept | set(spread(labels, count))
        if len(picked) <= most:
            return sorted(picked)
    return sorted(kept or {labels[0]})


def _held_labels(result: xr.Dataset, trace: str) -> list[list[Label]]:
    """The branches, steps and layers that one trace holds; a result carries the union over all traces."""
    held = result[["energy"]].sel(trace=trace)
    for dim in ("branch", "step", "layer"):
        held = held.dropna(dim, how="all")
    return [_labels(held, dim) for dim in ("branch", "step", "layer")]


def _labels(result: xr.Dataset, dim: str) -> list[Label]:
    return list(result[dim].values.tolist())


def _span(labels: Sequence[Label]) -> str:
    numbers = [label for label in labels if isinstance(label, int)]
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, labels))

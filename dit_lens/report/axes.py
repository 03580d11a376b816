"""The axes of a result: which dimensions are places of a run, what stands along them, and what a click on them sets.

A probe may call its dimensions as it likes. Those that the stage knows are ``trace``, ``branch``, ``step``, ``layer``,
``frame``, ``y`` and ``x``; ``observed`` is a step that is looked at, and ``step_b`` or ``layer_b`` is the second of a
pair. Repeats of a puzzle are averaged; every other dimension is something to choose from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["MAP_DIMS", "PLACES", "REPEATS", "STEPS", "axis_of", "label_texts", "labels_of", "sets_of", "step_facts"]

MAP_DIMS = ("branch", "step", "layer", "frame", "y", "x")
REPEATS = ("question", "seed", "noise_seed")
"""Dimensions over which a page shows the mean."""
STEPS = ("step", "step_b", "observed")
PLACES = ("step", "layer", "frame", "observed", "step_b", "layer_b", "frame_b")
"""Dimensions that become rows, columns and the axis of a curve before any other does."""
_SETS = {"step": "step", "layer": "layer", "frame": "frame", "branch": "branch", "observed": "step"}


def labels_of(values: xr.DataArray, dim: str) -> list[Any]:
    """The labels of a dimension as plain Python, or its places if it has none.

    Examples
    --------
    >>> labels_of(xr.DataArray([1.0, 2.0], dims="layer", coords={"layer": [3, 5]}), "layer")
    [3, 5]
    """
    return [_plain(label) for label in values[dim].values.tolist()]


def label_texts(values: xr.DataArray, dim: str) -> list[str]:
    """Labels as they are named in a sentence, steps with their sigma and expert as far as they are known.

    Examples
    --------
    >>> steps = {"step": [3], "sigma": ("step", [0.25]), "expert": ("step", ["transformer"])}
    >>> label_texts(xr.DataArray([1.0], dims="step", coords=steps), "step")
    ['step 3 (σ 0.250, transformer)']
    """
    labels, facts = labels_of(values, dim), step_facts(values, dim)
    texts = [label if isinstance(label, str) else f"{dim} {label}" for label in labels]
    sigmas = [None if sigma is None else f"σ {sigma:.3f}" for sigma in facts.get("sigmas", [None] * len(labels))]
    experts = facts.get("experts", [""] * len(labels))
    known = [", ".join(filter(None, pair)) for pair in zip(sigmas, experts, strict=True)]
    return [f"{text} ({words})" if words else text for text, words in zip(texts, known, strict=True)]


def step_facts(values: xr.DataArray, dim: str) -> dict[str, list[Any]]:
    """``sigmas`` and ``experts`` along a dimension of steps, as far as the coordinates of a variable say.

    Examples
    --------
    >>> steps = {"step": [3], "sigma": ("step", [0.25])}
    >>> step_facts(xr.DataArray([1.0], dims="step", coords=steps), "step")
    {'sigmas': [0.25]}
    """
    found: dict[str, list[Any]] = {}
    if dim not in STEPS:
        return found
    for name, entry in (("sigma", "sigmas"), ("expert", "experts")):
        along = [coord for key, coord in values.coords.items() if name in str(key) and coord.dims == (dim,)]
        if along:
            found[entry] = [_plain(value) for value in along[0].values.tolist()]
    if "experts" in found:
        found["experts"] = [expert or "" for expert in found["experts"]]
    return found


def axis_of(values: xr.DataArray, dim: str) -> dict[str, Any]:
    """A dimension as rows, columns or the axis of a curve.

    Examples
    --------
    >>> axis_of(xr.DataArray([1.0], dims="layer", coords={"layer": [3]}), "layer")
    {'dim': 'layer', 'values': [3], 'labels': None}
    """
    return {"dim": dim, "values": labels_of(values, dim), "labels": None, **step_facts(values, dim)}


def sets_of(values: xr.DataArray, dims: Iterable[str]) -> dict[str, list[Any]]:
    """What a click sets on the stage, one entry for each combination of labels.

    Examples
    --------
    >>> sets_of(xr.DataArray([1.0, 2.0], dims="observed", coords={"observed": [0, 1]}), ["observed"])
    {'step': [0, 1]}
    """
    known = list(dims)
    sizes = [values.sizes[dim] for dim in known]
    places = np.indices(sizes).reshape(len(sizes), -1) if sizes else np.zeros((0, 1), dtype=int)
    labels = {dim: labels_of(values, dim) for dim in known}
    return {
        _SETS[dim]: [labels[dim][place] for place in row.tolist()]
        for dim, row in zip(known, places, strict=True)
        if dim in _SETS
    }


def _plain(value: Any) -> Any:
    """What JSON can hold: a number, a text, or None for what is no number."""
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return str(value)

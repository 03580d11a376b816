"""From the rows of all traces to a map: a score, its interval and its control for every branch, step and layer.

A cell that cannot be scored (values that are not finite, a representation that is the same everywhere) is NaN, and its
reason stands in ``reason``. What makes every cell impossible is an error, before the first fit.

Shapes: N rows of all traces, D features, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens.probing import BadParams
from dit_lens_probes.linear.folds import Task, make_task, permuted
from dit_lens_probes.linear.nested import predict_held_out
from dit_lens_probes.linear.rows import Cells, Gathered
from dit_lens_probes.linear.score import Scored, score

if TYPE_CHECKING:
    from dit_lens_probes.linear.params import LinearParams

__all__ = ["solve"]

Floats = npt.NDArray[np.float64]
MAP = ("branch", "step", "layer")


@dataclass(frozen=True)
class _Cell:
    """What is found in one cell; NaN with a reason where nothing could be."""

    scored: Scored
    controls: tuple[float, ...]
    alpha: float
    reason: str


def solve(gathered: Gathered, params: LinearParams, level: str) -> xr.Dataset:
    """Fit every cell.

    Parameters
    ----------
    gathered : Gathered
    params : LinearParams
    level : {"trace", "frame", "token"}
        What one row is.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    BadParams
        If no cell could be fitted, see ``make_task``; or if traces hold different steps.
    """
    videos = gathered.videos
    labels = _map_labels(gathered)
    task = make_task(videos, params.kind, params.folds, params.seed)
    nulls = [permuted(task, videos, params.kind, params.folds, params.seed, at) for at in range(params.controls)]
    shape = tuple(len(labels[dim]) for dim in MAP)
    found = np.empty(shape, dtype=object)
    for at in np.ndindex(*shape):
        found[at] = _fit(_stack(gathered, labels["step"][at[1]], at[0], at[2]), task, nulls, params)
    return _dataset(found, labels, task, gathered, params, level)


def _fit(x_ND: Floats, task: Task, nulls: Sequence[Task], params: LinearParams) -> _Cell:
    reason = _reason(x_ND)
    if reason:
        nothing = Scored.nothing(len(task.groups))
        return _Cell(nothing, (float("nan"),) * len(nulls), float("nan"), reason)
    real = predict_held_out(x_ND, task, params.alphas, params.model)
    controls = [score(null, predict_held_out(x_ND, null, params.alphas, params.model), ends=False) for null in nulls]
    alpha = float(np.exp(np.mean(np.log(real.alphas))))
    return _Cell(score(task, real), tuple(control.value for control in controls), alpha, "")


def _reason(x_ND: Floats) -> str:
    if not np.isfinite(x_ND).all():
        return "values are not finite"
    spread, size = np.ptp(x_ND, axis=0), np.abs(x_ND).max(0)
    return "the representation is the same in all rows" if (spread <= 1e-6 * size).all() else ""


def _stack(gathered: Gathered, step: int, branch: int, layer: int) -> Floats:
    """The rows of one cell, float64 (N, D)."""
    parts = [gathered.cells[trace, step].values[branch, layer] for trace in sorted(gathered.videos)]
    return np.concatenate(parts).astype(np.float64)


def _map_labels(gathered: Gathered) -> dict[str, list[Any]]:
    first = next(iter(gathered.cells.values()))
    steps: dict[str, list[int]] = {}
    for trace, step in sorted(gathered.cells):
        steps.setdefault(trace, []).append(step)
    every = sorted({step for held in steps.values() for step in held})
    for trace, held in steps.items():
        if held != every:
            message = f"probe 'linear' needs traces that hold the same steps; got {len(held)} of {len(every)}"
            raise BadParams(f"{message} in '{trace}', allowed all of them; choose steps in linear.capture")
    return {"branch": list(first.branches), "step": every, "layer": list(first.layers)}


def _dataset(
    found: npt.NDArray[np.object_],
    labels: dict[str, list[Any]],
    task: Task,
    gathered: Gathered,
    params: LinearParams,
    level: str,
) -> xr.Dataset:
    cells: list[_Cell] = list(found.ravel())

    def each(read: Callable[[_Cell], Any], dtype: Any = np.float64) -> npt.NDArray[Any]:
        values = np.array([read(cell) for cell in cells], dtype=dtype)
        return values.reshape(*found.shape, *values.shape[1:])

    nulls_bslc = each(lambda cell: cell.controls)
    values = each(lambda cell: cell.scored.value)
    data = {
        "score": (MAP, values, {"long_name": "score on videos that were held out"}),
        "score_low": (MAP, each(lambda cell: cell.scored.low)),
        "score_high": (MAP, each(lambda cell: cell.scored.high)),
        "control": (MAP, nulls_bslc.mean(-1), {"long_name": "score with labels permuted between videos, mean"}),
        "selectivity": (MAP, values - nulls_bslc.mean(-1), {"long_name": "score less control"}),
        "controls": ((*MAP, "permutation"), nulls_bslc),
        "control_highest": (("permutation",), _highest(nulls_bslc)),
        "by_video": (("video", *MAP), np.moveaxis(each(lambda cell: cell.scored.by_group), -1, 0)),
        "alpha": (MAP, each(lambda cell: cell.alpha), {"long_name": "chosen penalty, geometric mean over folds"}),
        "reason": (MAP, each(lambda cell: cell.reason, object)),
    }
    data["by_video"] += ({"long_name": "score of one video" if task.classes else "squared error of one video"},)
    coords: dict[str, Any] = {**labels, **_step_coords(gathered, labels["step"])}
    coords |= {"permutation": np.arange(params.controls), "video": np.array(task.groups, dtype=object)}
    return xr.Dataset(data, coords=coords, attrs=_facts(task, gathered, params, level))


def _highest(nulls_bslc: Floats) -> Floats:
    """By permutation, the highest score anywhere on the map: what the highest real one has to beat."""
    flat = nulls_bslc.reshape(-1, nulls_bslc.shape[-1])
    known = ~np.isnan(flat).all(0)
    return np.where(known, np.nanmax(np.where(np.isnan(flat), -np.inf, flat), axis=0), np.nan)


def _step_coords(gathered: Gathered, steps: Sequence[int]) -> dict[str, Any]:
    first = next(iter(sorted(gathered.videos)))
    facts = [gathered.cells[first, step].step for step in steps]
    made = {name: [fact[name] for fact in facts] for name in facts[0]}
    return {
        name: ("step", np.array(values, dtype=object if isinstance(values[0], str) else None))
        for name, values in made.items()
    }


def _facts(task: Task, gathered: Gathered, params: LinearParams, level: str) -> dict[str, Any]:
    known = ~np.isnan(task.code_N)
    held = {trace: len(video.at) for trace, video in gathered.videos.items()}
    counts = {name: int((task.code_N == at).sum()) for at, name in enumerate(task.classes)}
    return {
        "label": params.label,
        "kind": params.kind,
        "quantity": "balanced accuracy" if task.classes else "share of variance explained (R²)",
        "chance": 1 / len(task.classes) if task.classes else 0.0,
        "classes": list(task.classes),
        "rows_of_class": [counts[name] for name in task.classes],
        "row": level,
        "videos": len(np.unique(task.group_N[known])),
        "traces_with_rows": sum(count > 0 for count in held.values()),
        "traces_without_label": [trace for trace, count in sorted(held.items()) if not count],
        "rows": int(known.sum()),
        "features": int(_example(gathered).values.shape[-1]),
        "model": params.model,
        "split": "whole videos, nested",
        "folds": params.folds,
        "seed": params.seed,
        "controls_are": "labels permuted between whole videos",
        "intervals": "95 %, over videos; fits and folds are taken as they are",
        "state_bytes": sum(cells.values.nbytes for cells in gathered.cells.values()),
    }


def _example(gathered: Gathered) -> Cells:
    return next(iter(gathered.cells.values()))

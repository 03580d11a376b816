"""What all traces of a result show together: when their answers are there and final, how many gave another one up.

Of each kind of puzzle a share by step, with an interval over puzzles: the seeds of one are averaged first, for they are
not so many puzzles. Answers are those that the videos give in the end, right or wrong; a video without one is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_lens.bench.intervals import two_level_interval
from dit_lens.figures import note_data
from dit_lens_probes.trajectory.view import COLOURS, label_steps, mark_switch, plain

__all__ = ["draw_together", "has_several", "shares_by_step"]

_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "readable": "the final answer was read",
        "final": "the answer is final",
        "revised": "another answer was given up",
        "several": "several candidates are seen at once",
    }
)
_ENDS = ("mean", "low", "high")
_MARKS = "os^D"


def has_several(result: xr.Dataset) -> bool:
    """Whether more than one trace was read by a scorer."""
    return "task" in result and int((result["task"] != "").sum()) > 1


def shares_by_step(result: xr.Dataset, branch: str) -> xr.Dataset:
    """Shares of the puzzles of each task, by step.

    Parameters
    ----------
    result : xarray.Dataset
        Of the trajectory probe, with readings of a scorer.
    branch : str

    Returns
    -------
    xarray.Dataset
        ``readable``, ``final``, ``revised`` and, where candidates are known, ``several``, each with ``_mean``, ``_low``
        and ``_high`` over (task, step), and ``puzzles`` over task.
    """
    scored = result.sel(branch=branch, trace=(result["task"] != "").values)
    scored = scored.isel(step=scored["score"].notnull().any("trace").values)
    tasks, asked = scored["task"].values, scored["asked"].values
    names, held = list(dict.fromkeys(tasks.tolist())), _by_trace(scored)
    coords = {name: scored[name] for name in ("step", "sigma", "expert") if _along_step(scored, name)}
    found = xr.Dataset(coords={"task": np.array(names, dtype=object), **coords})
    for name, values_TS in held.items():
        tables = [_by_puzzle(values_TS[tasks == task], asked[tasks == task]) for task in names]
        ends = np.array([[_interval(column) for column in table_PS.T] for table_PS in tables])
        found = found.assign({f"{name}_{end}": (("task", "step"), ends[..., at]) for at, end in enumerate(_ENDS)})
    return found.assign(puzzles=("task", [len(set(asked[tasks == task])) for task in names]))


def draw_together(result: xr.Dataset, branch: str) -> Figure:
    """A panel for each kind of share, a line for each task.

    Parameters
    ----------
    result : xarray.Dataset
        See ``shares_by_step``.
    branch : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    shares = shares_by_step(result, branch)
    figure = Figure(figsize=(8.0, 5.4), layout="constrained")
    axes = figure.subplots(2, 2, sharey=True)
    names = [name for name in _TITLES if f"{name}_mean" in shares]
    for axis, name in zip(axes.flat, names, strict=False):
        _draw(axis, shares, name)
    for axis in axes.flat[len(names) :]:
        axis.remove()
    for axis in axes[:, 0]:
        axis.set_ylabel("share", fontsize=9)
    lines = axes.flat[0].get_lines()[: shares.sizes["task"]]
    called = [f"{task} ({count})" for task, count in zip(shares["task"].values, shares["puzzles"].values, strict=True)]
    figure.legend(lines, called, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    traces = int((result["task"] != "").sum())
    words = f"When the answer is there · x0 {branch} · {traces} videos · in brackets: puzzles · 95 % over puzzles"
    figure.suptitle(words, fontsize=9.5, x=0.01, ha="left")
    return note_data(figure, shares)


def _by_trace(scored: xr.Dataset) -> dict[str, npt.NDArray[np.float64]]:
    """By trace and step whether it holds, as 0 or 1; NaN where there is nothing to say."""
    read_TS = scored["score"].notnull().transpose("trace", "step").values
    answered_TS = read_TS & (scored["final_answer"] != "").values[:, None]
    steps = scored["step"].values
    reached = {
        "readable": scored["first_step"].values[:, None] <= steps,
        "final": scored["commitment_step"].values[:, None] <= steps,
        "revised": (scored["dropped_answer"] != "").transpose("trace", "step").values.cumsum(1) > 0,
    }
    found = {name: np.where(answered_TS, values_TS, np.nan) for name, values_TS in reached.items()}
    seen_TS = scored["candidates_visible"].transpose("trace", "step").values
    several_TS = np.where(np.isfinite(seen_TS), seen_TS >= 2, np.nan)
    return {**found, "several": several_TS} if np.isfinite(seen_TS).any() else found


def _by_puzzle(values_TS: npt.NDArray[np.float64], asked: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """The mean over the seeds of each puzzle: a row a puzzle, NaN where no seed says anything."""
    groups = [values_TS[asked == name] for name in dict.fromkeys(asked.tolist())]
    counts = [np.isfinite(group).sum(0) for group in groups]
    return np.array(
        [
            np.where(count > 0, np.nansum(group, 0) / np.maximum(count, 1), np.nan)
            for group, count in zip(groups, counts, strict=True)
        ]
    )


def _interval(column_P: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    known = column_P[np.isfinite(column_P)]
    if not len(known):
        return (np.nan, np.nan, np.nan)
    found = two_level_interval(known[:, None])
    return (found.mean, found.low, found.high)


def _along_step(scored: xr.Dataset, name: str) -> bool:
    return name in scored.coords and scored[name].dims == ("step",)


def _draw(axis: Axes, shares: xr.Dataset, name: str) -> None:
    steps = np.arange(shares.sizes["step"])
    for number, task in enumerate(shares["task"].values):
        mean, low, high = (shares[f"{name}_{end}"].sel(task=task).values for end in _ENDS)
        colour, mark = COLOURS[number % len(COLOURS)], _MARKS[number % len(_MARKS)]
        axis.plot(steps, mean, marker=mark, markersize=3.5, linewidth=1.4, color=colour, label=str(task))
        axis.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.set_ylim(-0.03, 1.03)
    axis.set_title(_TITLES[name], fontsize=9, loc="left", pad=14)
    label_steps(axis, shares)
    mark_switch(axis, shares)
    plain(axis)

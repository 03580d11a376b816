"""From units to scores with intervals, and to differences puzzle by puzzle, with a word on whether they are any."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dit_lens.causal.intervals import over_puzzles

__all__ = ["say", "summarize"]


def summarize(units: xr.Dataset) -> xr.Dataset:
    """Add intervals of the scores, and of the ensemble's differences from every baseline.

    Parameters
    ----------
    units : xarray.Dataset
        With ``score`` and ``solved`` over (question, seed, condition).

    Returns
    -------
    xarray.Dataset
        With ``score_mean``, ``score_low``, ``score_high`` over condition, ``difference`` with the same three over
        baseline, ``within_noise``, and ``says``, a sentence for each baseline.
    """
    result = units.copy()
    result["cost"].attrs = {"long_name": "forward passes", "units": "calls of the denoisers"}
    for name in ("score", "solved"):
        result = result.assign({f"{name}_{part}": ends for part, ends in over_puzzles(units[name]).items()})
    others = [name for name in units["condition"].values.tolist() if name != "ensemble"]
    ensemble = units["score"].sel(condition="ensemble", drop=True)
    against = units["score"].sel(condition=others).rename(condition="baseline")
    difference = ensemble - against
    result["difference"] = difference.assign_attrs(long_name="score of the ensemble less that of the baseline")
    ends = over_puzzles(difference, None)
    result = result.assign({f"difference_{part}": values for part, values in ends.items()})
    within = ~((ends["low"] > 0) | (ends["high"] < 0))  # also where nothing can be told
    rows = zip(others, *(ends[part].values.tolist() for part in ("mean", "low", "high")), strict=True)
    says = np.array([say(*row) for row in rows], dtype=object)
    return result.assign(within_noise=within, says=("baseline", says))


def say(baseline: str, mean: float, low: float, high: float) -> str:
    """One difference in words.

    Examples
    --------
    >>> say("single", 0.03, -0.01, 0.07)
    'ensemble - single: +0.030 [-0.010, +0.070], within noise'
    >>> say("single", 0.03, float("nan"), float("nan"))
    'ensemble - single: +0.030, too few puzzles to tell'
    """
    if np.isnan(low) or np.isnan(high):
        return f"ensemble - {baseline}: {mean:+.3f}, too few puzzles to tell"
    verdict = "better" if low > 0 else "worse" if high < 0 else "within noise"
    return f"ensemble - {baseline}: {mean:+.3f} [{low:+.3f}, {high:+.3f}], {verdict}"

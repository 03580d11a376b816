"""From units to effects with intervals, over puzzles."""

from __future__ import annotations

import xarray as xr

from dit_lens.causal.intervals import SCORES, over_puzzles

__all__ = ["summarize"]

_LONG = {
    "effect": "projection of the change of x0 on the way to the other run's, after the last swap",
    "moved": "length of the change of x0 after the last swap, in units of that way",
    "effect_end": "projection of the change of the last latents on the way to the other run's",
    "flipped": "whether the answer became the other run's; NaN where both runs gave the same, or none",
    "score": "score of the edited run by the rules of its own puzzle",
    "solved": "whether the edited run solved its own puzzle",
}


def summarize(units: xr.Dataset) -> xr.Dataset:
    """Add ``effect_mean``, ``effect_low``, ``effect_high`` and so on over (direction, source, layer).

    An effect has no limits, so its interval is Student's over puzzles; those of what is true or false, and of scores,
    allow for a puzzle that nobody saw.
    """
    result = units.copy()
    for name, text in _LONG.items():
        values = units[name]
        result[name].attrs["long_name"] = text
        limits = None if name in ("effect", "moved", "effect_end") else SCORES
        for part, ends in over_puzzles(values, limits).items():
            result[f"{name}_{part}"] = ends.assign_attrs(long_name=f"{text} ({part} of the interval over puzzles)")
    return result

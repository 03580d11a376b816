"""Shares, means and their intervals.

Wilson for one share, Newcombe for the difference of two that were read from the same puzzles, and the benchmark's
two-level bootstrap over puzzles and seeds for means of scores.

Wilson's interval does not collapse where all or none of a few puzzles are solved, and Newcombe's is built from it, so
sixteen solved of sixteen is never reported as certainty. Puzzles are what is resampled, never steps, seeds or tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from dit_lens.bench.intervals import two_level_interval

__all__ = ["Estimate", "gain", "mean", "share"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and how many puzzles it is from."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self:.2f}"

    def __format__(self, spec: str) -> str:
        """The number and its interval; ``-`` if there was nothing to count."""
        if not self.n:
            return "-"
        spec = spec or ".2f"
        if np.isnan(self.low):  # of a single puzzle nothing can be told
            return f"{self.value:{spec}}"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


_NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0)


def share(hits: Sequence[bool]) -> Estimate:
    """The share of puzzles for which something holds, with Wilson's interval.

    Examples
    --------
    >>> f"{share([True] * 16)}"
    '1.00 [0.81, 1.00]'
    """
    if not len(hits):
        return _NOTHING
    test = binomtest(int(sum(hits)), len(hits))
    found = test.proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(float(test.statistic), float(found.low), float(found.high), len(hits))


def gain(before: Sequence[bool], after: Sequence[bool]) -> Estimate:
    """By how much the second share is larger than the first, of the same puzzles: Newcombe's tenth method.

    Examples
    --------
    >>> f"{gain([False] * 16, [True] * 16)}"
    '1.00 [0.73, 1.00]'
    """
    if not len(before):
        return _NOTHING
    first, second = share(before), share(after)
    r = _correlation(np.asarray(before, dtype=bool), np.asarray(after, dtype=bool))
    difference = second.value - first.value
    low = _distance(second.value - second.low, first.high - first.value, r)
    high = _distance(second.high - second.value, first.value - first.low, r)
    return Estimate(difference, max(difference - low, -1.0), min(difference + high, 1.0), len(before))


def mean(values: Sequence[float] | Sequence[Sequence[float]]) -> Estimate:
    """The mean of one number from 0 to 1 a puzzle, or of several seeds a puzzle, with the two-level bootstrap.

    Examples
    --------
    >>> mean([0.5, 0.5]).value
    0.5
    """
    if not len(values):
        return _NOTHING
    found = two_level_interval(np.asarray(values, dtype=float).reshape(len(values), -1))
    return Estimate(found.mean, found.low, found.high, len(values))


def _distance(one: float, other: float, r: float) -> float:
    return float(np.sqrt(max(one**2 - 2 * r * one * other + other**2, 0.0)))


def _correlation(before: np.ndarray, after: np.ndarray) -> float:
    """Of two verdicts on the same puzzles, corrected for continuity where it is positive."""
    both, neither = int((before & after).sum()), int((~before & ~after).sum())
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    if not margins:
        return 0.0
    product = both * neither - lost * won
    return float((max(product - len(before) / 2, 0) if product > 0 else product) / np.sqrt(margins))

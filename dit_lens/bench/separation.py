"""How well a number tells failed questions from solved ones: the area under its ROC curve, with an interval.

The area is the share of pairs, one question that failed and one that was solved, in which the failed one has the larger
number; ties count half. What varies is questions, so questions are resampled, never pairs or seeds: each gets a random
weight, failed and solved ones apart, since how many there are of each says nothing about the number. Weights are given
out by the order of the numbers, so the order of the questions says nothing either.

As in ``intervals``, one question more that nobody saw is shared out between the two kinds, the rarer one getting more
of it: for the lower end it is where it does most harm, for the upper where it does most good. A plain bootstrap of a
number that separates all that it saw would promise certainty, be it of two questions or of a hundred.

Shapes: F failed questions, S solved ones, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dit_lens.bench.intervals import LEVEL, RESAMPLES, SEED, Interval, evenness

__all__ = ["Separation", "separation"]

Numbers = npt.NDArray[np.float64]
_FEWEST = 2


class Separation(NamedTuple):
    """How well a number tells failed questions from solved ones.

    Attributes
    ----------
    area : Interval
        Its mean is the area; NaN if there is none, and NaN at the ends if nothing can be told of them.
    false_rates, true_rates : tuple of float
        The curve; empty without one.
    failed, solved : int
        How many questions of each kind it is from.
    no_area, no_interval : str
        Why not; empty if there is one.
    """

    area: Interval
    false_rates: tuple[float, ...]
    true_rates: tuple[float, ...]
    failed: int
    solved: int
    no_area: str
    no_interval: str


def separation(
    numbers: Sequence[float],
    failed: Sequence[bool],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Separation:
    """Area under the ROC curve of a number that should be large where a question fails.

    Parameters
    ----------
    numbers : sequence of float
        One for each question; those that are NaN are left out.
    failed : sequence of bool
    level : float
        Of the interval.
    resamples : int
    seed : int
        Of the weights.

    Returns
    -------
    Separation

    Examples
    --------
    >>> found = separation([0.1, 0.2, 0.3, 0.9, 0.8, 0.7], [False] * 3 + [True] * 3)
    >>> str(found.area)
    '1.000 [0.124, 1.000]'
    >>> separation([0.1, 0.2], [True, True]).no_area
    'all 2 questions failed'
    >>> separation([0.1, 0.2, 0.3], [True, False, False]).no_interval
    'only 1 of 3 questions failed'
    """
    known = [(float(number), bool(bad)) for number, bad in zip(numbers, failed, strict=True) if np.isfinite(number)]
    values_F, values_S = (np.sort([value for value, bad in known if bad is kind]) for kind in (True, False))
    counts = (len(values_F), len(values_S))
    nothing = float("nan")
    if reason := _no_area(*counts):
        return Separation(Interval(nothing, nothing, nothing), (), (), *counts, reason, reason)
    from sklearn.metrics import roc_auc_score, roc_curve

    labels, scores = [bad for _, bad in known], [value for value, _ in known]
    area = float(roc_auc_score(labels, scores))
    false_rates, true_rates, _ = roc_curve(labels, scores)
    few = _no_interval(*counts)
    ends = (nothing, nothing) if few else _ends(values_F, values_S, (1 - level) / 2, resamples, seed)
    curve = (tuple(map(float, false_rates)), tuple(map(float, true_rates)))
    return Separation(Interval(area, min(ends[0], area), max(ends[1], area)), *curve, *counts, "", few)


def _no_area(failed: int, solved: int) -> str:
    if not failed + solved:
        return "no question has a predictor and a verdict"
    if not failed or not solved:
        return f"all {failed + solved} questions {'failed' if failed else 'were solved'}"
    return ""


def _no_interval(failed: int, solved: int) -> str:
    """Of a single question nobody knows how much such questions vary."""
    if failed < _FEWEST:
        return f"only {failed} of {failed + solved} questions failed"
    return f"only {solved} of {failed + solved} questions was solved" if solved < _FEWEST else ""


def _ends(values_F: Numbers, values_S: Numbers, tail: float, resamples: int, seed: int) -> tuple[float, float]:
    above_FS = np.sign(values_F[:, None] - values_S[None, :]) / 2 + 0.5
    weights_RF, unseen_RF = _weights(len(values_F), len(values_S), resamples, (seed, 0))
    weights_RS, unseen_RS = _weights(len(values_S), len(values_F), resamples, (seed, 1))
    seen_R = ((weights_RF @ above_FS) * weights_RS).sum(1)
    low, high = np.quantile(seen_R, tail), np.quantile(seen_R + 1 - (1 - unseen_RF) * (1 - unseen_RS), 1 - tail)
    return float(low), min(float(high), 1.0)


@lru_cache(maxsize=8)
def _weights(count: int, others: int, resamples: int, seed: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """Weights of the questions of one kind, (R, count), and that of its part of the unseen one, (R,); they sum to 1.

    They are drawn once for many numbers of the same questions: which one is better does not hang on chance.
    """
    rng, share = np.random.default_rng(seed), others / (count + others)
    weights = rng.standard_gamma(evenness(count, share), size=(resamples, count))
    unseen = rng.standard_gamma(share, size=resamples)
    total = weights.sum(1) + unseen
    return weights / total[:, None], unseen / total

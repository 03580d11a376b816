"""Intervals for a mean score, over puzzles and over seeds, that hold near the ends of the scale as well.

What varies is puzzles, and a puzzle brings its seeds with it: runs of one puzzle are alike, so taking them for
independent would promise too much. With ``a`` the variance between puzzles and ``e`` that between seeds of a puzzle,
the mean varies by ``a/P + e/(P S)``, and means of puzzles vary by ``a + e/S``: they tell it without a look at seeds.

Puzzles get random weights that sum to one, as in the Bayesian bootstrap (Rubin 1981), and with them one puzzle more
that nobody saw: the worst possible one for the lower end, the best for the upper. An end is a percentile of the
weighted means (Gaffke 2005). Of scores that are 0 or 1 it is the exact Clopper-Pearson one; of scores in between it is
narrower. A plain bootstrap is too narrow where nearly all is solved: it draws no failure that it has not seen.

Several tasks weigh the same in their mean, however many puzzles each has. Tasks do not vary: they *are* the benchmark.
The unseen puzzle is shared out among them, each task getting as much of it as one of its puzzles counts in the mean.
Where every score is the same limit of the scale, the exact bound is computed, for as many puzzles as the mean is worth:
``K^2 / sum(1 / P)``. Of a single puzzle whose score is within the scale nothing can be told, and the ends are NaN.

Differences of two conditions, and effects, have no such limits, or limits that nothing comes near: there an unseen
puzzle of the worst kind would be most of the interval. Of these it is Student's, over puzzles, each task with its own
spread and Welch's degrees of freedom.

Shapes: P puzzles, S seeds, R resamples, K tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "SEED",
    "Interval",
    "evenness",
    "mean_interval",
    "student_interval",
    "two_level_interval",
]

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its interval.

    Attributes
    ----------
    mean, low, high : float
        The ends are NaN where nothing can be told.

    Examples
    --------
    >>> str(Interval(0.5, 0.25, 0.75)), str(Interval(0.5, float("nan"), float("nan")))
    ('0.500 [0.250, 0.750]', '0.500')
    """

    mean: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there are ends at all."""
        return not (np.isnan(self.low) or np.isnan(self.high))

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]" if self.known else f"{self.mean:.3f}"


def two_level_interval(
    scores_PS: npt.ArrayLike,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Mean of the puzzles of one task, with an interval over puzzles and seeds.

    Parameters
    ----------
    scores_PS : array_like, shape (P, S)
        A row a puzzle, a column a seed; NaN where there is no score. Puzzles weigh the same.
    level : float
        Between 0 and 1.
    resamples : int
        How many weighted means.
    seed : int
        Of the weights.
    limits : tuple of float
        Lowest and highest possible score.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there is no score, or the array is not a table.

    Examples
    --------
    >>> str(two_level_interval([[1, 1], [1, 0], [0, 0], [1, 1]]))
    '0.625 [0.136, 0.949]'
    >>> str(two_level_interval(np.ones((16, 2))))
    '1.000 [0.794, 1.000]'
    """
    return mean_interval([scores_PS], level=level, resamples=resamples, seed=seed, limits=limits)


def mean_interval(
    tasks: Sequence[npt.ArrayLike],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Mean of the means of several tasks, each a table as in ``two_level_interval``; tasks weigh the same.

    Examples
    --------
    >>> mean_interval([np.ones((9, 1)), np.zeros((3, 1))]).mean
    0.5
    """
    tables = [_table(task) for task in tasks]
    if not tables:
        raise ValueError("an interval needs scores; got no task, allowed one or more; leave the interval out")
    means_KP = [np.nanmean(table, axis=1) for table in tables]
    mean = float(np.mean([means_P.mean() for means_P in means_KP]))
    width, tail = limits[1] - limits[0], (1 - level) / 2
    worth = len(tables) ** 2 / sum(1 / len(means_P) for means_P in means_KP)
    far = width * (1 - tail ** (1 / worth))  # of so many puzzles without an exception
    if mean in limits:
        return Interval(mean, max(mean - far, limits[0]), min(mean + far, limits[1]))
    if sum(map(len, tables)) < 2:
        return Interval(mean, float("nan"), float("nan"))
    low_R, high_R = _resampled(means_KP, resamples, seed, limits)
    low, high = float(np.quantile(low_R, tail)), float(np.quantile(high_R, 1 - tail))
    return Interval(mean, min(low, limits[1] - far), max(high, limits[0] + far))


def student_interval(tasks: Sequence[npt.ArrayLike], *, level: float = LEVEL) -> Interval:
    """Mean of the means of several tasks, with Student's interval over puzzles; for values without limits.

    Parameters
    ----------
    tasks : sequence of array_like
        Each a table as in ``two_level_interval``; tasks weigh the same.
    level : float
        Between 0 and 1.

    Returns
    -------
    Interval
        Where the puzzles of each task are all alike, both ends are the mean. NaN at the ends if a task has one puzzle.

    Examples
    --------
    >>> str(student_interval([[[0.1], [0.3], [-0.1], [0.1]]]))
    '0.100 [-0.160, 0.360]'
    """
    means_KP = [np.nanmean(_table(task), axis=1) for task in tasks]
    mean = float(np.mean([means_P.mean() for means_P in means_KP]))
    if min(map(len, means_KP)) < 2:
        return Interval(mean, float("nan"), float("nan"))
    parts_K = np.array([means_P.var(ddof=1) / len(means_P) for means_P in means_KP]) / len(means_KP) ** 2
    if not parts_K.any():
        return Interval(mean, mean, mean)
    freedom = parts_K.sum() ** 2 / (parts_K**2 / [len(means_P) - 1 for means_P in means_KP]).sum()
    reach = float(stdtrit(freedom, (1 + level) / 2) * np.sqrt(parts_K.sum()))
    return Interval(mean, mean - reach, mean + reach)


def _table(scores_PS: npt.ArrayLike) -> Scores:
    """Puzzles that have a score."""
    table = np.asarray(scores_PS, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(
            f"an interval needs a table of scores; got {table.ndim} dimensions, allowed 2, puzzles and seeds; with one "
            f"seed give it one column"
        )
    table = table[~np.isnan(table).all(axis=1)]
    if not len(table):
        raise ValueError("an interval needs scores; got none, allowed one or more; leave the interval out")
    return table


def _resampled(
    means_KP: Sequence[Scores], resamples: int, seed: int, limits: tuple[float, float]
) -> tuple[Scores, Scores]:
    """Weighted means with the worst and with the best unseen puzzle, shape (R,) each.

    The same weights are drawn for any scores, so of two tables the one that is better everywhere has the higher ends.
    """
    worth = sum(1 / len(means_P) for means_P in means_KP)
    low_R, high_R = np.zeros(resamples), np.zeros(resamples)
    for number, means_P in enumerate(means_KP):
        rng = np.random.default_rng((seed, number))
        share = 1 / len(means_P) / worth
        unseen_R = rng.standard_gamma(share, size=resamples)
        sum_R, total_R = np.zeros(resamples), unseen_R.copy()
        for mean in np.sort(means_P):  # sorted: the order of puzzles says nothing
            weight_R = rng.standard_gamma(evenness(len(means_P), share), size=resamples)
            sum_R += weight_R * mean
            total_R += weight_R
        low_R += (sum_R + unseen_R * limits[0]) / total_R / len(means_KP)
        high_R += (sum_R + unseen_R * limits[1]) / total_R / len(means_KP)
    return low_R, high_R


def evenness(puzzles: int, share: float) -> float:
    """Shape of the weights, 1 where the unseen puzzle is whole.

    Where it is shared out, it no longer makes up for the spread of few puzzles being smaller than the true one by
    (P - 1) / P, and less even weights must: they vary the mean by spread / (P shape + share + 1).

    Examples
    --------
    >>> evenness(8, 1.0), evenness(8, 0.5)
    (1.0, 0.875)
    """
    return max((puzzles - 2 + 2 * share) / puzzles, 0.25)

"""Intervals for a mean score, over puzzles and over seeds, by a two-level bootstrap.

Puzzles are drawn with replacement, and of every drawn puzzle its seeds with replacement; the interval is between
percentiles of the means. Runs of one puzzle are alike, so resampling runs as if they were independent would promise too
much. Drawing at both levels errs on the other side: with ``a`` the variance between puzzles and ``e`` that between
seeds of a puzzle, the mean varies by ``a/P + e/(P S)`` and the resampled mean by ``a/P + e/(P S) (2 - 1/S)``. With one
seed the second level does nothing, and this is the bootstrap over puzzles.

Several tasks weigh the same in their mean, however many puzzles each has. Tasks are not resampled: they *are* the
benchmark. Where every score is the same limit of the scale, all 0 or all 1, no resampling could tell anything; there
the exact (Clopper-Pearson) bound for as many independent puzzles takes its place. Of a single puzzle nothing can be
told, and the ends are NaN.

Shapes: P puzzles, S seeds, R resamples, K tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LEVEL", "RESAMPLES", "SEED", "Interval", "mean_interval", "two_level_interval"]

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0
_DRAWS_AT_ONCE = 2**22

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
    seed : int
        Of the resampling.
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
    '0.625 [0.125, 1.000]'
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
    mean = float(np.mean([np.nanmean(table, axis=1).mean() for table in tables]))
    values = np.unique(np.concatenate([table[~np.isnan(table)] for table in tables]))
    if len(values) == 1 and values[0] in limits:
        return _all_alike(mean, sum(map(len, tables)), level, limits)
    if min(map(len, tables)) < 2:
        return Interval(mean, float("nan"), float("nan"))
    means_R = np.mean([_resampled(table, resamples, (seed, number)) for number, table in enumerate(tables)], axis=0)
    low, high = np.quantile(means_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


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


def _all_alike(mean: float, puzzles: int, level: float, limits: tuple[float, float]) -> Interval:
    """Of so many puzzles without an exception, the share of exceptions that would still be likely."""
    far = (1 - ((1 - level) / 2) ** (1 / puzzles)) * (limits[1] - limits[0])
    return Interval(mean, mean, mean + far) if mean == limits[0] else Interval(mean, mean - far, mean)


def _resampled(table_PS: Scores, resamples: int, seed: tuple[int, int]) -> Scores:
    """Means of the resampled tables, shape (R,)."""
    rng = np.random.default_rng(seed)
    puzzles, seeds = table_PS.shape
    counts_P = (~np.isnan(table_PS)).sum(axis=1)
    ordered_PS = np.take_along_axis(table_PS, np.argsort(np.isnan(table_PS), axis=1, kind="stable"), axis=1)
    means = []
    for part in _parts(resamples, puzzles * seeds):
        chosen_RP = rng.integers(puzzles, size=(part, puzzles))
        counts_RP1 = counts_P[chosen_RP][..., None]
        draws_RPS = (rng.random((part, puzzles, seeds)) * counts_RP1).astype(np.intp)
        drawn_RPS = ordered_PS[chosen_RP[..., None], draws_RPS]
        used_RPS = np.arange(seeds) < counts_RP1
        means.append((np.where(used_RPS, drawn_RPS, 0).sum(axis=-1) / counts_RP1[..., 0]).mean(axis=-1))
    return np.concatenate(means)


def _parts(resamples: int, draws: int) -> Iterator[int]:
    """So many resamples at once that memory stays small."""
    most = max(1, _DRAWS_AT_ONCE // draws)
    for start in range(0, resamples, most):
        yield min(most, resamples - start)

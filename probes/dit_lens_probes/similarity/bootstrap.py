"""Several videos as one, and how far that would be from another draw of videos.

Products and squared lengths are summed over the videos and then divided; ratios are never averaged. Intervals resample
videos, because the tokens of one are no independent draws: resampling them would give intervals that are too narrow.

Shapes: U units (videos, or pairs of them), Q pairs of representations, T resamples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["draw_counts", "pair_draws", "pooled", "resampled"]

Numbers = npt.NDArray[np.float64]
_BLOCK = 2**22


def pooled(cosines_UQ: Numbers, left_UQ: Numbers, right_UQ: Numbers, weights_TU: Numbers | None = None) -> Numbers:
    """One similarity from those of several units.

    Parameters
    ----------
    cosines_UQ : numpy.ndarray
        Similarities of every unit; NaN stays NaN.
    left_UQ, right_UQ : numpy.ndarray
        The lengths of the two that are compared.
    weights_TU : numpy.ndarray, optional
        How often each unit counts, in several resamples; once by default.

    Returns
    -------
    numpy.ndarray
        (Q,), or (T, Q) with weights; NaN where no unit counts.

    Examples
    --------
    >>> pooled(np.array([[1.0], [0.0]]), np.array([[3.0], [1.0]]), np.array([[3.0], [1.0]]))
    array([0.9])
    """
    weights = np.ones((1, len(cosines_UQ))) if weights_TU is None else weights_TU
    largest_Q = np.maximum(np.maximum(left_UQ, right_UQ).max(0), np.finfo(float).tiny)
    left_UQ, right_UQ = left_UQ / largest_Q, right_UQ / largest_Q
    over = weights @ (cosines_UQ * left_UQ * right_UQ)
    under = np.sqrt((weights @ left_UQ**2) * (weights @ right_UQ**2))
    found = np.divide(over, under, out=np.full_like(over, np.nan), where=under > 0)
    return found[0] if weights_TU is None else found


def resampled(
    cosines_UQ: Numbers, left_UQ: Numbers, right_UQ: Numbers, weights_TU: Numbers, coverage: float = 0.95
) -> tuple[Numbers, Numbers]:
    """The ends of the percentile interval of ``pooled``, over resamples of the units.

    Examples
    --------
    >>> ones = np.ones((3, 1))
    >>> resampled(0.5 * ones, ones, ones, draw_counts(3, resamples=10, seed=0))
    (array([0.5]), array([0.5]))
    """
    lows, highs = [], []
    step = max(1, _BLOCK // len(weights_TU))
    sides = [100 * (1 - coverage) / 2, 100 * (1 + coverage) / 2]
    for start in range(0, cosines_UQ.shape[1], step):
        some = slice(start, start + step)
        found_TQ = pooled(cosines_UQ[:, some], left_UQ[:, some], right_UQ[:, some], weights_TU)
        undefined = ~np.isfinite(cosines_UQ[:, some]).all(0)
        found_TQ[:, undefined] = 0
        low, high = np.nanpercentile(found_TQ, sides, axis=0)
        lows.append(np.where(undefined, np.nan, low))
        highs.append(np.where(undefined, np.nan, high))
    return np.concatenate(lows), np.concatenate(highs)


def draw_counts(units: int, resamples: int, seed: int) -> Numbers:
    """How often each of so many units is drawn, in every resample.

    Examples
    --------
    >>> draw_counts(3, resamples=2, seed=0).sum(1)
    array([3., 3.])
    """
    drawn = np.random.default_rng(seed).multinomial(units, [1 / units] * units, size=resamples)
    return np.asarray(drawn, dtype=np.float64)


def pair_draws(counts_TV: Numbers, pairs: list[tuple[int, int]]) -> Numbers:
    """How often each pair of videos counts, if the videos are drawn so often; resamples without a pair are left out.

    Examples
    --------
    >>> pair_draws(np.array([[2.0, 1.0, 0.0], [3.0, 0.0, 0.0]]), [(0, 1), (0, 2), (1, 2)])
    array([[2., 0., 0.]])
    """
    counts_TU = np.stack([counts_TV[:, one] * counts_TV[:, other] for one, other in pairs], axis=1)
    return np.asarray(counts_TU[counts_TU.sum(1) > 0])

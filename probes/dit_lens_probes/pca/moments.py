"""Count, mean and scatter of rows, merged without losing digits to a large mean.

Residual streams lie far from the origin, so sums of products of raw values lose everything in float32 and half of it in
float64. Here every part is centred by its own mean, and parts are merged by what lies between their means (Chan, Golub
and LeVeque 1979), in float64. Merges in another order differ by rounding only.

Shapes: N rows, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Moments", "merge_moments", "moments_of"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """What is known of some rows.

    Attributes
    ----------
    count : int
    mean_D : numpy.ndarray of float64
    scatter_DD : numpy.ndarray of float64
        Sum of products of what differs from the mean.
    """

    count: int
    mean_D: Floats
    scatter_DD: Floats

    @property
    def covariance(self) -> Floats:
        """Population covariance."""
        return self.scatter_DD / self.count


def moments_of(x_ND: npt.NDArray[np.floating]) -> Moments:
    """Moments of rows.

    Examples
    --------
    >>> moments_of(np.array([[0.0], [2.0]])).scatter_DD.item()
    2.0
    """
    exact_ND = x_ND.astype(np.float64)
    mean_D = exact_ND.mean(0)
    centred_ND = exact_ND - mean_D
    return Moments(len(x_ND), mean_D, centred_ND.T @ centred_ND)


def merge_moments(parts: Sequence[Moments]) -> Moments:
    """Moments of all rows together.

    Examples
    --------
    >>> merge_moments([moments_of(np.array([[0.0]])), moments_of(np.array([[2.0]]))]).scatter_DD.item()
    2.0
    """
    count = sum(part.count for part in parts)
    mean_D = np.sum([part.count * part.mean_D for part in parts], axis=0) / count
    scatter_DD = np.zeros_like(parts[0].scatter_DD)
    for part in parts:
        away_D = part.mean_D - mean_D
        scatter_DD += part.scatter_DD + part.count * np.outer(away_D, away_D)
    return Moments(count, mean_D, scatter_DD)

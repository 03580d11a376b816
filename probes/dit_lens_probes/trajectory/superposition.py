"""Whether a clean latent holds two end states at once, and how: blended everywhere, or each in its own places.

The *share* of a latent is where its projection lies on the line from end state b (0) to end state a (1). A share of a
half can come about in two ways: every place is half of each, which is a superposition, or half of the places are
decided for a and half for b, which is a patchwork. The shares of the single places tell them apart; each weighs as much
as the end states differ there, and the weighted mean of the local shares is exactly the share of the whole. Where the
end states hardly differ a local share is noise over nearly nothing, so only places where they clearly do are asked.

Shapes: C latent channels, F latent frames, H, W latent height and width, P places.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Superposition", "local_shares", "superposition"]

Latent = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Numbers = npt.NDArray[np.float64]
_CLEARLY = 0.1
"""Of the largest squared distance between the end states: from there on a place is asked for its own share."""
_FLAT = 1e-12
"""Variance of local shares below which they are all the same."""


class Superposition(NamedTuple):
    """Of one latent between two end states.

    Attributes
    ----------
    share : float
        1 at end state a, 0 at b. NaN if they do not differ.
    blend : float
        1 if every place has the same share, 0 if every place is decided for one of the two; NaN where the share is
        not between 0 and 1. Below 0 if places lie beyond the end states; that is not cut off.
    bimodality : float
        Sarle's coefficient of the local shares, (skewness squared + 1) / kurtosis: 1 for two values alone, 5/9 for a
        uniform and 1/3 for a normal distribution. NaN if all are the same.
    """

    share: float
    blend: float
    bimodality: float


def local_shares(x_CFHW: Latent, a_CFHW: Latent, b_CFHW: Latent, clearly: float = 0.0) -> tuple[Numbers, Numbers]:
    """The share of every place where the end states differ, and its weight; weights sum to 1.

    Parameters
    ----------
    x_CFHW, a_CFHW, b_CFHW : numpy.ndarray
    clearly : float
        Leave out places where their squared distance is below this share of the largest.

    Returns
    -------
    tuple of numpy.ndarray

    Examples
    --------
    >>> a, b = np.array([1.0, 2.0]).reshape(1, 1, 1, 2), np.zeros((1, 1, 1, 2))
    >>> local_shares(a / 2, a, b)
    (array([0.5, 0.5]), array([0.2, 0.8]))
    """
    x, a, b = (np.asarray(value, dtype=np.float64).reshape(len(value), -1) for value in (x_CFHW, a_CFHW, b_CFHW))
    way = a - b
    length_P = np.square(way).sum(0)
    apart = (length_P > 0) & (length_P >= clearly * length_P.max())
    if not apart.any():
        return np.zeros(0), np.zeros(0)
    share_P = ((x - b) * way).sum(0)[apart] / length_P[apart]
    return share_P, length_P[apart] / length_P[apart].sum()


def superposition(x_CFHW: Latent, a_CFHW: Latent, b_CFHW: Latent) -> Superposition:
    """Where a latent lies between two end states, and how its places are.

    Parameters
    ----------
    x_CFHW : numpy.ndarray
    a_CFHW, b_CFHW : numpy.ndarray
        The end states, such as the latents of the clips of two answers.

    Returns
    -------
    Superposition

    Examples
    --------
    >>> a, b = np.ones((1, 1, 1, 2)), np.zeros((1, 1, 1, 2))
    >>> superposition(a / 2, a, b)
    Superposition(share=0.5, blend=1.0, bimodality=nan)
    >>> superposition(np.array([0.0, 1.0]).reshape(1, 1, 1, 2), a, b)
    Superposition(share=0.5, blend=0.0, bimodality=1.0)
    """
    share_P, weight_P = local_shares(x_CFHW, a_CFHW, b_CFHW)
    if not len(share_P):
        return Superposition(float("nan"), float("nan"), float("nan"))
    share = float(weight_P @ share_P)
    share_P, weight_P = local_shares(x_CFHW, a_CFHW, b_CFHW, _CLEARLY)
    middle = float(weight_P @ share_P)
    off_P = share_P - middle
    variance = float(weight_P @ off_P**2)
    blend = 1 - variance / (middle * (1 - middle)) if 0 < middle < 1 else float("nan")
    return Superposition(share, blend, _sarle(off_P, weight_P, variance))


def _sarle(off_P: Numbers, weight_P: Numbers, variance: float) -> float:
    if variance < _FLAT:
        return float("nan")
    skewness = float(weight_P @ off_P**3) / variance**1.5
    kurtosis = float(weight_P @ off_P**4) / variance**2
    return float((skewness**2 + 1) / kurtosis)

"""Which frames change together: whether a correction is global, or runs from one frame to the next.

Two views. Within a step, the squared change of every frame: how many frames share in it, and which is its middle. Over
the steps, when each frame has settled: whether the first frames settle before the last.

Shapes: S steps, F latent frames.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["centre", "frame_order", "settled", "spread"]

Numbers = npt.NDArray[np.float64]


def spread(change_SF: Numbers) -> Numbers:
    """The share of the frames that take part in a step's change: 1 if all change alike, 1/F if one alone does.

    That is the participation ratio of the squared changes, divided by the number of frames.

    Parameters
    ----------
    change_SF : numpy.ndarray of float64
        See ``distances.changes``.

    Returns
    -------
    numpy.ndarray of float64, shape (S,)
        NaN where nothing changed.

    Examples
    --------
    >>> spread(np.array([[2.0, 2.0], [0.0, 5.0], [0.0, 0.0]]))
    array([1. , 0.5, nan])
    """
    part_SF = _parts(change_SF)
    return np.asarray(1 / (np.square(part_SF).sum(1) * change_SF.shape[1]))


def centre(change_SF: Numbers) -> Numbers:
    """The middle of a step's change, in latent frames, each frame weighed by its squared change.

    Examples
    --------
    >>> centre(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 3.0]]))
    array([1., 2.])
    """
    return np.asarray(_parts(change_SF) @ np.arange(change_SF.shape[1]))


def settled(distance_SF: Numbers, share: float = 0.1) -> npt.NDArray[np.int64]:
    """For each frame the index of the first step from which on it stays near the last one.

    Parameters
    ----------
    distance_SF : numpy.ndarray of float64
        Distances to the last step; see ``distances.to_last``.
    share : float
        Near is at most this share of the frame's distance at the first step.

    Returns
    -------
    numpy.ndarray of int, shape (F,)

    Examples
    --------
    >>> settled(np.array([[1.0, 4.0], [0.05, 4.0], [0.05, 1.0], [0.0, 0.0]]))
    array([1, 3])
    """
    far_SF = ~(distance_SF <= share * distance_SF[:1])
    far_SF[-1] = False  # a distance that is not known does not make the last step differ from itself
    steps = np.arange(1, len(distance_SF) + 1)[:, None]
    return np.asarray((steps * far_SF).max(0))


def frame_order(settled_F: npt.NDArray[np.int64]) -> float:
    """Rank correlation (Kendall's tau-b) of a frame's number and the step at which it settled.

    1 if every frame settles after the one before it, -1 if before it. NaN if all settle at the same step: then a
    correction is global, and has no order.

    Parameters
    ----------
    settled_F : numpy.ndarray of int

    Returns
    -------
    float

    Examples
    --------
    >>> frame_order(np.array([0, 2, 5])), frame_order(np.array([3, 3, 3]))
    (1.0, nan)
    """
    from scipy.stats import kendalltau

    if len(np.unique(settled_F)) < 2:
        return float("nan")
    return float(kendalltau(np.arange(len(settled_F)), settled_F).statistic)


def _parts(change_SF: Numbers) -> Numbers:
    """Each frame's part in the squared change of its step."""
    square_SF = np.square(change_SF)
    total_S = square_SF.sum(1, keepdims=True)
    return np.asarray(square_SF / np.where(total_S > 0, total_S, np.nan))

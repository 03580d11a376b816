"""How far the clean latent of each step is from the last one, and how far it moved: by step and by latent frame.

All distances are root mean squares over channels and places, and count in the root mean square of the whole last
latent: one scale for all frames and steps, so that frames can be compared. Arithmetic is float64.

Shapes: S steps, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["changes", "over_frames", "scale_of", "to_last"]

Latents = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Numbers = npt.NDArray[np.float64]


def scale_of(x_SCFHW: Latents) -> float:
    """Root mean square of the last latent; NaN if that is zero everywhere.

    Examples
    --------
    >>> scale_of(np.full((2, 1, 1, 1, 1), -3.0))
    3.0
    """
    size = float(np.sqrt(np.mean(np.square(x_SCFHW[-1].astype(np.float64)))))
    return size if size > 0 else float("nan")


def to_last(x_SCFHW: Latents) -> Numbers:
    """Distance to the last step, by step and frame.

    Parameters
    ----------
    x_SCFHW : numpy.ndarray
        The clean latents of one trace, in the order of its steps.

    Returns
    -------
    numpy.ndarray of float64, shape (S, F)
        Counted in the root mean square of the last latent.

    Examples
    --------
    >>> x = np.array([3.0, 1.0, 2.0]).reshape(3, 1, 1, 1, 1)
    >>> to_last(x).ravel()
    array([0.5, 0.5, 0. ])
    """
    last_CFHW = x_SCFHW[-1].astype(np.float64)
    moved = [_root_mean_square(x_CFHW.astype(np.float64) - last_CFHW) for x_CFHW in x_SCFHW]
    return np.asarray(np.stack(moved) / scale_of(x_SCFHW))


def changes(x_SCFHW: Latents) -> Numbers:
    """How far each frame moved since the step before; NaN in the first row.

    Parameters
    ----------
    x_SCFHW : numpy.ndarray

    Returns
    -------
    numpy.ndarray of float64, shape (S, F)
        Counted in the root mean square of the last latent.

    Examples
    --------
    >>> x = np.array([3.0, 1.0, 2.0]).reshape(3, 1, 1, 1, 1)
    >>> changes(x).ravel()
    array([nan, 1. , 0.5])
    """
    moved = np.full((len(x_SCFHW), x_SCFHW.shape[2]), np.nan)
    for step in range(1, len(x_SCFHW)):
        moved[step] = _root_mean_square(x_SCFHW[step].astype(np.float64) - x_SCFHW[step - 1].astype(np.float64))
    return np.asarray(moved / scale_of(x_SCFHW))


def over_frames(distance_SF: Numbers) -> Numbers:
    """The distance of all frames together, from that of each.

    Examples
    --------
    >>> over_frames(np.array([[3.0, 4.0]])).round(3)
    array([3.536])
    """
    return np.asarray(np.sqrt(np.mean(np.square(distance_SF), axis=1)))


def _root_mean_square(x_CFHW: Numbers) -> Numbers:
    return np.asarray(np.sqrt(np.mean(np.square(x_CFHW), axis=(0, 2, 3))))

"""A seeded Gaussian projection, for statistics whose size grows with the number of channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["projection"]


def projection(size: int, to: int, seed: int) -> npt.NDArray[np.float64]:
    """A Gaussian matrix that keeps lengths on average, float64 (size, to); the same for the same arguments.

    Examples
    --------
    >>> projection(8, 2, 0).shape
    (8, 2)
    """
    return np.asarray(np.random.default_rng([seed, size, to]).standard_normal((size, to)) / np.sqrt(to))

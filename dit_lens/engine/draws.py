"""Seeded draws that can be made again from what an array's attributes say, whatever the version of numpy.

numpy promises that a bit generator gives the same bits for ever, and promises nothing of what its ``Generator`` makes
of them. So the permutation and the Gaussian numbers are made here from the raw bits, by rules of one line each.

Shapes: N tokens, C channels, K components.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["PERMUTATION", "PROJECTION", "SEED", "permutation", "projection"]

SEED = 0
"""Of every draw: representations can be compared only if all of them saw the same permutation and the same matrix."""

PERMUTATION = "stable argsort of the first `tokens` raw 64-bit draws r of numpy.random.PCG64(seed)"
"""How a permutation is made."""

PROJECTION = (
    "u = (r >> 11) / 2**53 of the first 2 * features * components raw 64-bit draws r of numpy.random.PCG64(seed); "
    "first half u1, second half u2; sqrt(-2 log(1 - u1)) * cos(2 pi u2) / sqrt(components), in float64, as a matrix of "
    "features x components, then rounded to float32"
)
"""How a projection is made."""


def permutation(seed: int, tokens: int) -> npt.NDArray[np.int64]:
    """Permute the numbers of so many tokens.

    Examples
    --------
    >>> permutation(0, 6)
    array([3, 2, 1, 0, 4, 5])
    """
    order: npt.NDArray[np.int64] = np.argsort(np.random.PCG64(seed).random_raw(tokens), kind="stable")
    return order


def projection(seed: int, features: int, components: int) -> npt.NDArray[np.float32]:
    """Draw a Gaussian matrix that keeps squared lengths on average.

    Examples
    --------
    >>> matrix_CK = projection(0, 1000, 8)
    >>> matrix_CK.shape, bool(abs((matrix_CK**2).sum() / 1000 - 1) < 0.05)
    ((1000, 8), True)
    """
    raw = np.random.PCG64(seed).random_raw(2 * features * components)
    first, second = ((raw >> np.uint64(11)) / 2.0**53).reshape(2, features, components)
    normal_CK = np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * math.pi * second)
    return np.asarray(normal_CK / math.sqrt(components), dtype=np.float32)

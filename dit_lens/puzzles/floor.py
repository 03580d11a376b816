"""Whether the floor is still white: a nearest colour calls pink and a light grey white too.

Single pixels say little, for noise and soft edges make any of them grey. So floor is judged in patches of 4 x 4 pixels,
all of which read as floor, by their mean colour.

Shapes: ... any leading axes, H height, W width, 3 colours.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from dit_lens.puzzles.canvas import Frame, Mask

__all__ = ["FEW_PIXELS", "tinted"]

FEW_PIXELS = 8
"""Pixels of floor that may change before something is there."""

_PATCH = 4
_SHADE = 64  # how far from white the mean of a patch may be: a quarter, which is more than noise or blur make of it
_WHITE = 255


def tinted(pixels: Frame, floor: Mask) -> Mask:
    """Middles of the patches of floor that are not white, bool (..., H, W).

    Parameters
    ----------
    pixels : numpy.ndarray of uint8, shape (..., H, W, 3)
    floor : numpy.ndarray of bool, shape (..., H, W)
        Pixels that read as floor.

    Examples
    --------
    >>> frame = np.full((8, 8, 3), 255, dtype=np.uint8)
    >>> frame[:, :4] = 255, 140, 140
    >>> tinted(frame, np.ones((8, 8), dtype=bool)).any(0).tolist()
    [True, True, True, True, False, False, False, False]
    """
    window = (1,) * (floor.ndim - 2) + (_PATCH, _PATCH)
    mean_HW3 = ndimage.uniform_filter(pixels.astype(np.float32), (*window, 1), mode="nearest")
    whole_HW = ndimage.minimum_filter(floor, window, mode="nearest")
    return np.asarray(whole_HW & (mean_HW3.min(-1) < _WHITE - _SHADE))

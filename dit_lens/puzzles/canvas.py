"""The canvas that all puzzles share: 17 frames of 64 x 64 pixels, laid out in cells of 8 x 8, in seven pure colours.

A cell is exactly one latent token of a video autoencoder that shrinks space by 8. Every colour is a corner of the RGB
cube: an autoencoder that overshoots is clipped to the right value, and a scorer reads each pixel as its nearest corner.

Shapes: F frames, H height, W width, 3 colours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "CANVAS_CELLS",
    "CELL_PIXELS",
    "COLOURS",
    "FRAMES",
    "LAST_GROWING_FRAME",
    "PICTURE_PIXELS",
    "Classes",
    "Frame",
    "Mask",
    "blank",
    "classify",
    "colour_index",
]

CANVAS_CELLS = 8
"""Cells along each side of the picture."""
CELL_PIXELS = 8
PICTURE_PIXELS = CANVAS_CELLS * CELL_PIXELS
FRAMES = 17
LAST_GROWING_FRAME = 12
"""The frame in which a drawn answer is whole; the last latent frame holds it still."""
COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "purple": (255, 0, 255),
}

Frame = npt.NDArray[np.uint8]
Classes = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_NAMES = list(COLOURS)
_CORNERS = np.array(list(COLOURS.values()), dtype=np.int32)


def blank() -> Frame:
    """A white frame, uint8 of shape (64, 64, 3).

    Examples
    --------
    >>> blank().shape, int(blank().min())
    ((64, 64, 3), 255)
    """
    return np.full((PICTURE_PIXELS, PICTURE_PIXELS, 3), COLOURS["white"], dtype=np.uint8)


def classify(pixels: Frame) -> Classes:
    """Index of the nearest colour of every pixel: uint8 (..., H, W, 3) to int (..., H, W).

    Examples
    --------
    >>> classify(np.array([[[250, 10, 0]]], dtype=np.uint8)).item() == colour_index("red")
    True
    """
    distance = ((pixels[..., None, :].astype(np.int32) - _CORNERS) ** 2).sum(-1)
    return np.asarray(distance.argmin(-1))


def colour_index(name: str) -> int:
    """The class of a colour.

    Examples
    --------
    >>> colour_index("white")
    0
    """
    return _NAMES.index(name)

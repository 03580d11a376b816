"""Draw a scene, and the mark that grows round one of its places.

An object fills the middle 10 x 10 pixels of its place of 16 x 16. The mark is a black outline, 2 pixels wide, along the
border of the place, with a gap of one pixel to the object. It is drawn clockwise from the upper left corner, is not
there in frame 0 and is whole in frame 12.

Shapes: F frames, H height, W width, 3 colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dit_lens.puzzles.canvas import COLOURS, FRAMES, LAST_GROWING_FRAME, PICTURE_PIXELS, Classes, Frame, Mask, blank
from dit_lens.puzzles.grounding.scene import PLACE_PIXELS, Shape, Thing

__all__ = ["MARK_COLOUR", "MARK_WIDTH", "OUTLINE", "draw_clip", "draw_frame", "mark_masks", "place_mask", "thing_mask"]

MARK_COLOUR = "black"
MARK_WIDTH = 2
_SIDE = PLACE_PIXELS - MARK_WIDTH  # pixels from one corner of the mark to the next
_STEPS = 4 * _SIDE
_INSET = 3  # from the border of a place to its object
_OBJECT_PIXELS = PLACE_PIXELS - 2 * _INSET


def _order() -> Classes:
    """When each pixel of a place is marked, 0 for the first; ``_STEPS`` for pixels that never are."""
    order = np.full((PLACE_PIXELS, PLACE_PIXELS), _STEPS, dtype=np.intp)
    for side in range(4):  # the top side, then the picture is turned so that the next side is on top
        order[:MARK_WIDTH, :_SIDE] = side * _SIDE + np.arange(_SIDE)
        order = np.rot90(order)
    return order


_ORDER = _order()
OUTLINE: Mask = _ORDER < _STEPS
"""Pixels of a place that a whole mark covers."""


def _stencils() -> dict[Shape, Mask]:
    y, x = np.mgrid[:_OBJECT_PIXELS, :_OBJECT_PIXELS] - (_OBJECT_PIXELS - 1) / 2
    width = (np.arange(_OBJECT_PIXELS) // 2 + 1)[:, None]  # a triangle on its base: 2, 2, 4, 4, ... 10 pixels
    return {
        "circle": y**2 + x**2 < (_OBJECT_PIXELS / 2) ** 2,
        "square": np.ones_like(y, dtype=np.bool_),
        "triangle": abs(x) < width + np.zeros_like(x),
        "cross": np.minimum(abs(y), abs(x)) < 1,
    }


_STENCILS = _stencils()


def draw_frame(things: Sequence[Thing], marks: Sequence[tuple[int, int]] = ()) -> Frame:
    """Draw a scene, with whole marks round the places that are given.

    Returns
    -------
    numpy.ndarray of uint8, shape (64, 64, 3)

    Examples
    --------
    >>> draw_frame([Thing("red", "square", (0, 0))])[3, 3].tolist()
    [255, 0, 0]
    """
    frame_HW3 = blank()
    for thing in things:
        frame_HW3[thing_mask(thing)] = COLOURS[thing.colour]
    for place in marks:
        frame_HW3[mark_masks(place)[-1]] = COLOURS[MARK_COLOUR]
    return frame_HW3


def draw_clip(things: Sequence[Thing], place: tuple[int, int]) -> Frame:
    """Draw a whole answer: the mark grows round ``place``.

    Returns
    -------
    numpy.ndarray of uint8, shape (17, 64, 64, 3)

    Examples
    --------
    >>> clip = draw_clip([Thing("red", "square", (0, 0))], (0, 0))
    >>> int((clip[0] == 0).all(-1).sum()), int((clip[-1] == 0).all(-1).sum())
    (0, 112)
    """
    clip_FHW3 = np.repeat(draw_frame(things)[None], FRAMES, axis=0)
    clip_FHW3[mark_masks(place)] = COLOURS[MARK_COLOUR]
    return clip_FHW3


def thing_mask(thing: Thing) -> Mask:
    """The pixels of one object, bool (64, 64).

    Examples
    --------
    >>> {shape: int(thing_mask(Thing("red", shape, (0, 0))).sum()) for shape in _STENCILS}
    {'circle': 80, 'square': 100, 'triangle': 60, 'cross': 36}
    """
    mask_HW = np.zeros((PICTURE_PIXELS, PICTURE_PIXELS), dtype=np.bool_)
    (top, left), size = (i + _INSET for i in thing.place), _OBJECT_PIXELS
    mask_HW[top : top + size, left : left + size] = _STENCILS[thing.shape]
    return mask_HW


def place_mask(place: tuple[int, int]) -> Mask:
    """The pixels of one place, bool (64, 64).

    Examples
    --------
    >>> int(place_mask((0, 8)).sum())
    256
    """
    mask_HW = np.zeros((PICTURE_PIXELS, PICTURE_PIXELS), dtype=np.bool_)
    mask_HW[place[0] : place[0] + PLACE_PIXELS, place[1] : place[1] + PLACE_PIXELS] = True
    return mask_HW


def mark_masks(place: tuple[int, int]) -> Mask:
    """The pixels of the mark round a place in every frame of the clip, bool (17, 64, 64).

    Examples
    --------
    >>> mark_masks((0, 0)).sum((1, 2)).tolist()[:4], int(mark_masks((0, 0))[12].sum())
    ([0, 8, 18, 28], 112)
    """
    shown_F = _STEPS * np.minimum(np.arange(FRAMES), LAST_GROWING_FRAME) // LAST_GROWING_FRAME
    masks_FHW = np.zeros((FRAMES, PICTURE_PIXELS, PICTURE_PIXELS), dtype=np.bool_)
    inside = masks_FHW[:, place[0] : place[0] + PLACE_PIXELS, place[1] : place[1] + PLACE_PIXELS]
    inside[:] = shown_F[:, None, None] > _ORDER
    return masks_FHW

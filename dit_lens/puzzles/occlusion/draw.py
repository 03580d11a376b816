"""Draw a ball that passes behind a screen, and turn pictures into the direction of the motion and back.

The ball is a disc without smoothing and the screen a black bar across the whole picture that is painted over it. All is
drawn for motion to the right; a direction is a flip and a transposition of rows and columns, and so can be undone.

Shapes: F frames, H height, W width, 3 colours.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from dit_lens.puzzles.canvas import COLOURS, FRAMES, PICTURE_PIXELS, Frame, Mask
from dit_lens.puzzles.occlusion.generate import RADIUS, Motion

__all__ = ["ball_area", "draw_clip", "draw_masks", "rightward", "turned"]

_Pixels = TypeVar("_Pixels", Frame, Mask)


def draw_clip(motion: Motion) -> Frame:
    """The whole motion, uint8 (17, 64, 64, 3).

    Examples
    --------
    >>> from dit_lens.puzzles.occlusion.generate import draw_motion
    >>> draw_clip(draw_motion(0, "plain")).shape
    (17, 64, 64, 3)
    """
    masks = draw_masks(motion)
    clip_FHW3 = np.full((FRAMES, PICTURE_PIXELS, PICTURE_PIXELS, 3), COLOURS["white"], dtype=np.uint8)
    clip_FHW3[masks["ball"]] = COLOURS[motion.colour]
    clip_FHW3[masks["screen"]] = COLOURS["black"]
    return clip_FHW3


def draw_masks(motion: Motion) -> dict[str, Mask]:
    """Where things are, bool (17, 64, 64) each: ``foreground``, ``ball``, ``ball_hidden`` and ``screen``."""
    disc_FHW = _discs(motion)
    screen_FHW = np.zeros_like(disc_FHW)
    screen_FHW[:, :, motion.screen[0] : motion.screen[1]] = True
    masks = {
        "foreground": disc_FHW | screen_FHW,
        "ball": disc_FHW & ~screen_FHW,
        "ball_hidden": disc_FHW & screen_FHW,
        "screen": screen_FHW,
    }
    return {name: turned(mask, motion.direction) for name, mask in masks.items()}


def turned(pixels: _Pixels, direction: str) -> _Pixels:
    """Turn frames (F, H, W, ...) that are drawn for motion to the right into ``direction``."""
    if direction in ("left", "up"):
        pixels = pixels[:, :, ::-1]
    if direction in ("down", "up"):
        pixels = pixels.swapaxes(1, 2)
    return np.ascontiguousarray(pixels)


def rightward(pixels: _Pixels, direction: str) -> _Pixels:
    """Turn frames (F, H, W, ...) of motion in ``direction`` so that it goes to the right; undoes ``turned``."""
    if direction in ("down", "up"):
        pixels = pixels.swapaxes(1, 2)
    if direction in ("left", "up"):
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels)


def ball_area() -> int:
    """Pixels of a ball that is wholly visible.

    Examples
    --------
    >>> ball_area()
    52
    """
    offset = np.arange(-RADIUS, RADIUS) + 0.5
    return int((offset[:, None] ** 2 + offset**2 <= RADIUS**2).sum())


def _discs(motion: Motion) -> Mask:
    """The whole ball in every frame, screen or not, for motion to the right."""
    pixel = np.arange(PICTURE_PIXELS) + 0.5
    centre_F = motion.start + motion.speed * np.arange(FRAMES)
    along_FW = pixel - centre_F[:, None]
    across_H = pixel - motion.lane
    return np.asarray(along_FW[:, None, :] ** 2 + across_H[:, None] ** 2 <= RADIUS**2)

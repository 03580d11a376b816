"""Follow the ball through a video: what is coloured is a thing, and the ball is the thing that goes on.

Pixels are read without regard to which colour a thing has, so that a ball that changes its colour is still followed.
Before the screen the ball is followed forward from where it starts; beyond the screen it is followed backward from
where it is last seen, so that wherever it comes out, and when, it is this ball and no other thing that is read. Where
the screen may cut the ball, its place is told from the edge that is in sight.

Shapes: F frames, H height, W width, 3 colours; T things.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dit_lens.puzzles.canvas import COLOURS, FRAMES, PICTURE_PIXELS, Frame, Mask
from dit_lens.puzzles.floor import tinted
from dit_lens.puzzles.occlusion.draw import rightward
from dit_lens.puzzles.occlusion.generate import RADIUS, Motion

__all__ = ["SPECK", "Reading", "Thing", "read"]

SPECK = 3
"""Coloured patches of fewer pixels are noise; the narrowest part of a ball that comes out has four."""

_HALF = 127  # a coloured pixel has channels farther apart; edges of black or of a colour against white are no colour
_REACH = 12  # pixels: a thing farther than this from where the ball was is not the ball
_IN_FRAME = np.zeros((3, 3, 3), dtype=bool)  # pixels that touch make one thing, but frames do not touch
_IN_FRAME[1] = True


@dataclass(frozen=True)
class Thing:
    """One coloured patch of one frame.

    Attributes
    ----------
    frame : int
    along, across : float
        Centre, in the axes of the motion.
    area : int
        Pixels.
    share : float
        Part of it that has the ball's colour.
    cut : bool
        It touches the screen, which may hide a part of it.
    """

    frame: int
    along: float
    across: float
    area: int
    share: float
    cut: bool


@dataclass(frozen=True)
class Reading:
    """What one video shows, turned so that the motion goes to the right.

    Attributes
    ----------
    things : list of Thing
        All of them.
    near, far : dict of int to Thing
        The ball before and beyond the screen, by frame.
    coloured, black, tinted : ndarray of bool, shape (17, 64, 64)
        Pixels; ``tinted`` are those of the floor that are no longer white.
    """

    things: list[Thing]
    near: dict[int, Thing]
    far: dict[int, Thing]
    coloured: Mask
    black: Mask
    tinted: Mask


def read(motion: Motion, video: Frame) -> Reading:
    """Read a video, uint8 (17, 64, 64, 3).

    Examples
    --------
    >>> from dit_lens.puzzles.occlusion import OCCLUSION
    >>> puzzle = OCCLUSION.make(0, "plain", None)
    >>> reading = read(puzzle.motion, puzzle.clip())
    >>> min(reading.near), max(reading.near), min(reading.far), max(reading.far)
    (0, 7, 9, 16)
    """
    video_FHW3 = rightward(video, motion.direction)
    brightest_FHW, darkest_FHW = video_FHW3.max(-1), video_FHW3.min(-1)
    coloured_FHW = brightest_FHW - darkest_FHW > _HALF
    black_FHW = ~coloured_FHW & (brightest_FHW <= _HALF)
    own_FHW = ((video_FHW3 > _HALF) == (np.array(COLOURS[motion.colour]) > _HALF)).all(-1)
    first, end = motion.screen
    near = _things(coloured_FHW, own_FHW, slice(0, first), motion)
    far = _things(coloured_FHW, own_FHW, slice(end, PICTURE_PIXELS), motion)
    near_track = _follow(near, range(FRAMES), (motion.start, motion.lane))
    backward = range(FRAMES - 1, -1, -1)
    far_track = _follow(far, backward, (motion.centre(FRAMES - 1), motion.lane), anywhere=True)
    tinted_FHW = tinted(video_FHW3, ~coloured_FHW & ~black_FHW)
    return Reading(near + far, near_track, far_track, coloured_FHW, black_FHW, tinted_FHW)


def _things(coloured_FHW: Mask, own_FHW: Mask, side: slice, motion: Motion) -> list[Thing]:
    """The coloured patches on one side of the screen, of all frames at once."""
    labels_FHW, count = ndimage.label(coloured_FHW[:, :, side], structure=_IN_FRAME)
    area_T = np.bincount(labels_FHW.ravel(), minlength=count + 1)[1:]
    own_T = np.bincount(labels_FHW[own_FHW[:, :, side]], minlength=count + 1)[1:]
    centres_T3 = np.reshape(ndimage.center_of_mass(labels_FHW > 0, labels_FHW, np.arange(1, count + 1)), (-1, 3))
    boxes = ndimage.find_objects(labels_FHW)
    things = []
    for t in np.flatnonzero(area_T >= SPECK):
        frame, across, middle = (float(value) for value in centres_T3[t])
        columns = range(side.start + boxes[t][2].start, side.start + boxes[t][2].stop)
        along, cut = _along(columns, side.start + middle + 0.5, motion)
        things.append(Thing(round(frame), along, across + 0.5, int(area_T[t]), float(own_T[t] / area_T[t]), cut))
    return things


def _along(columns: range, middle: float, motion: Motion) -> tuple[float, bool]:
    """Centre along the motion of what covers ``columns``, and whether the screen may hide a part of it."""
    first, end = motion.screen
    if columns.stop <= first:
        cut = columns.stop >= first - 1
        return (float(columns.start + RADIUS) if cut else middle), cut
    cut = columns.start <= end + 1
    return (float(columns.stop - RADIUS) if cut else middle), cut


def _follow(
    things: list[Thing], frames: Iterable[int], place: tuple[float, float], anywhere: bool = False
) -> dict[int, Thing]:
    """In each of ``frames`` the thing nearest to where the ball was; the first may be found ``anywhere``."""
    track: dict[int, Thing] = {}
    for frame in frames:
        here = [thing for thing in things if thing.frame == frame]
        nearest = min(here, key=lambda thing: _distance(thing, place), default=None)
        if nearest is not None and (_distance(nearest, place) <= _REACH or (anywhere and not track)):
            track[frame] = nearest
            place = (nearest.along, nearest.across)
    return track


def _distance(thing: Thing, place: tuple[float, float]) -> float:
    return float(np.hypot(thing.along - place[0], thing.across - place[1]))

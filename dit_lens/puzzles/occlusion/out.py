"""What comes out from behind the screen: whether it is a ball, how many are there, and where and when."""

from __future__ import annotations

import numpy as np

from dit_lens.puzzles.canvas import FRAMES
from dit_lens.puzzles.occlusion.draw import ball_area
from dit_lens.puzzles.occlusion.generate import RADIUS, Motion
from dit_lens.puzzles.occlusion.track import Reading, Thing

__all__ = ["FRAMES_OFF", "PIXEL_OFF", "balls_out", "came_out", "frames_late", "pixels_off"]

PIXEL_OFF, FRAMES_OFF = 1.0, 1
"""What counts as right."""

_SOME = 3  # frames, the first beyond the screen and the last, from which the place is read
_FOLLOWED = 2  # frames in which a ball must be seen beyond the screen to have come out
_BALL_LIKE = (0.3, 2.5)  # balls in area between which something is a ball, be it one of a wrong size


def came_out(reading: Reading) -> bool:
    """Whether what is followed beyond the screen is about as large as a ball in most of the frames, at least in two."""
    shown = FRAMES - min(reading.far, default=FRAMES)
    balls = sum(_ball_like(thing) for thing in reading.far.values())
    return balls >= _FOLLOWED and 2 * balls > shown


def balls_out(motion: Motion, reading: Reading) -> int:
    """How many balls are beyond the screen in the last frames, at least one; what is larger is as many as it holds."""
    frames = sorted(reading.far)[-_SOME:]
    beyond = [thing for thing in reading.things if thing.along > sum(motion.screen) / 2 and thing.frame in frames]
    areas = [[thing.area for thing in beyond if thing.frame == frame] for frame in frames]
    least, most = (share * ball_area() for share in _BALL_LIKE)
    counts = [sum(max(area >= least, round(area / most)) for area in each) for each in areas]
    return max(1, int(np.median(counts)))


def pixels_off(motion: Motion, reading: Reading) -> float:
    """How far what came out is, where it did or at the end, from a ball that came out when it did; less a frame."""
    frames = sorted(reading.far)
    return max(_misplaced(motion, reading, some) for some in (frames[:_SOME], frames[-_SOME:]))


def frames_late(motion: Motion, reading: Reading) -> int:
    """Frames from when the ball should first be seen beyond the screen until it is."""
    due = next(frame for frame in range(FRAMES) if motion.centre(frame) + RADIUS > motion.screen[1])
    return min(reading.far) - due


def _misplaced(motion: Motion, reading: Reading, frames: list[int]) -> float:
    """Pixels, give or take a pixel and a frame."""
    things = [reading.far[frame] for frame in frames]
    across = abs(float(np.median([thing.across for thing in things])) - motion.lane)
    late = frames_late(motion, reading)
    ahead = float(np.median([thing.along - motion.centre(thing.frame - late) for thing in things]))
    along = min(abs(ahead - slack * motion.speed) for slack in (-FRAMES_OFF, 0, FRAMES_OFF))
    return float(np.hypot(max(0.0, across - PIXEL_OFF), max(0.0, along - PIXEL_OFF)))


def _ball_like(thing: Thing) -> bool:
    """A ball of some size; of one that the screen may cut, only the largest is known."""
    least, most = (share * ball_area() for share in _BALL_LIKE)
    return thing.area <= most and (thing.cut or thing.area >= least)

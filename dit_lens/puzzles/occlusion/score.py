"""Score a motion behind a screen in six dimensions, each blind to what the others look at.

=========  ==========================================================================================================
place      the ball comes out in its lane, and as far along as belongs to the frame in which it came out
time       the frame in which it is first seen beyond the screen
hidden     it went in, and is not seen on the screen
motion     from frame to frame it moves by its speed and stays in its lane, on each side on its own
identity   one ball, of its colour, and of its size wherever the screen does not cut it
screen     the screen stays where it is, and nothing else is black
=========  ==========================================================================================================

A ball that comes out late but moves on as it should is wrong in ``time`` alone: ``place`` and ``motion`` go by the
frame in which it came out. A ball that never comes out has neither ``place`` nor ``time``. Right means to within a
pixel and a frame. A ball that does not move is worth what ``identity`` and ``screen`` weigh, and nothing else.
"""

from __future__ import annotations

import numpy as np

from dit_lens.puzzles.canvas import FRAMES, Frame
from dit_lens.puzzles.contract import Score
from dit_lens.puzzles.occlusion.draw import ball_area
from dit_lens.puzzles.occlusion.generate import RADIUS, Motion
from dit_lens.puzzles.occlusion.track import SPECK, Reading, Thing, read

__all__ = ["WEIGHTS", "score_motion"]

WEIGHTS = {"place": 0.3, "time": 0.2, "hidden": 0.2, "motion": 0.2, "identity": 0.05, "screen": 0.05}

_PIXEL_OFF, _FRAMES_OFF = 1.0, 1  # what counts as right
_PLACE_SPAN, _TIME_SPAN = 8.0, 4.0  # pixels and frames beyond that after which nothing is left
_LAST = 3  # frames from which the place is read
_SPEED_OFF = 0.5  # pixels a frame that the mean speed of one side may be off
_OWN_SHARE, _SIZE_OFF = 0.6, 0.25  # of a ball: how much has its colour, how far its area may be off
_SCREEN_OFF, _SCREEN_SPAN = 0.03, 0.25  # shares of the screen


def score_motion(motion: Motion, video: Frame) -> Score:
    """Read a decoded video, uint8 (F, 64, 64, 3); solved if every dimension is 1.

    Examples
    --------
    >>> from dit_lens.puzzles.occlusion import OCCLUSION
    >>> puzzle = OCCLUSION.make(0, "plain", None)
    >>> still = score_motion(puzzle.motion, puzzle.clip()[[0] * 17])
    >>> still.overall, still.answer
    (0.1, None)
    """
    reading = read(motion, video)
    dimensions = {
        "place": _place(motion, reading),
        "time": _time(motion, reading),
        "hidden": _hidden(motion, reading),
        "motion": _motion(motion, reading),
        "identity": _identity(reading),
        "screen": _screen(motion, reading),
    }
    solved = all(value == 1.0 for value in dimensions.values())
    went_in = "in" if _went_in(reading) else None
    return Score.of(dimensions, WEIGHTS, solved, "out" if reading.far else went_in)


def _place(motion: Motion, reading: Reading) -> float:
    """Distance in the last frames from where a ball would be that came out when this one did, give or take a frame."""
    if not reading.far:
        return 0.0
    last = [reading.far[frame] for frame in sorted(reading.far)[-_LAST:]]
    across = abs(float(np.median([thing.across for thing in last])) - motion.lane)
    late = min(reading.far) - _first_out(motion)
    ahead = float(np.median([thing.along - motion.centre(thing.frame - late) for thing in last]))
    along = min(abs(ahead - slack * motion.speed) for slack in (-_FRAMES_OFF, 0, _FRAMES_OFF))
    off = float(np.hypot(max(0.0, across - _PIXEL_OFF), max(0.0, along - _PIXEL_OFF)))
    return max(0.0, 1 - off / _PLACE_SPAN)


def _time(motion: Motion, reading: Reading) -> float:
    """Frames between when the ball should come out and when it does."""
    if not reading.far:
        return 0.0
    off = abs(min(reading.far) - _first_out(motion))
    return max(0.0, 1 - max(0, off - _FRAMES_OFF) / _TIME_SPAN)


def _hidden(motion: Motion, reading: Reading) -> float:
    """Frames in which something is seen on the screen, of those in which the ball is behind it."""
    if not _went_in(reading):
        return 0.0
    first, end = motion.screen
    seen_F = reading.coloured[:, :, first + 1 : end - 1].sum((1, 2)) >= SPECK
    covered = sum(motion.covered(frame) > 0 for frame in range(FRAMES))
    return max(0.0, 1 - int(seen_F.sum()) / covered)


def _went_in(reading: Reading) -> bool:
    """The screen was seen to cut the ball, and the ball is gone from before it."""
    cut = any(thing.cut and thing.area < (1 - _SIZE_OFF) * ball_area() for thing in reading.near.values())
    return cut and FRAMES - 1 not in reading.near


def _motion(motion: Motion, reading: Reading) -> float:
    """The mean over both sides; a side on which the ball is in sight for one frame or none has no motion to judge."""
    before = range(_last_in(motion))
    beyond = range(min(reading.far, default=FRAMES), FRAMES - 1)
    sides = [_steadiness(motion, reading.near, before), _steadiness(motion, reading.far, beyond)]
    return float(np.mean([side for side in sides if side is not None] or [0.0]))


def _steadiness(motion: Motion, track: dict[int, Thing], frames: range) -> float | None:
    """The share of steps that are right, less what the mean speed of them all is off."""
    if not frames:
        return None
    pairs = [(track[frame], track[frame + 1]) for frame in frames if frame in track and frame + 1 in track]
    if not pairs:
        return 0.0
    ahead = np.array([after.along - thing.along - motion.speed for thing, after in pairs])
    aside = np.array([after.across - thing.across for thing, after in pairs])
    right = (abs(ahead) <= _PIXEL_OFF) & (abs(aside) <= _PIXEL_OFF)
    off = max(0.0, abs(float(ahead.mean())) - _SPEED_OFF) / (motion.speed - _SPEED_OFF)
    return float(right.sum() / len(frames)) * max(0.0, 1 - off)


def _identity(reading: Reading) -> float:
    """The share of frames with anything in them that show one ball, as it should be, and nothing else."""
    frames = {thing.frame for thing in reading.things}
    tracked = {*reading.near.values(), *reading.far.values()}
    strangers = {thing.frame for thing in reading.things if thing not in tracked}
    odd = {ball.frame for ball in tracked if not _is_ball(ball)}
    doubled = set(reading.near) & set(reading.far)
    return 1 - len(strangers | odd | doubled) / len(frames) if frames else 0.0


def _is_ball(thing: Thing) -> bool:
    sized = thing.cut or abs(thing.area / ball_area() - 1) <= _SIZE_OFF
    return sized and thing.share >= _OWN_SHARE


def _screen(motion: Motion, reading: Reading) -> float:
    """How much of the screen is gone and how much is black besides it; what is seen on it is another matter."""
    first, end = motion.screen
    screen_FHW = np.zeros_like(reading.black)
    screen_FHW[:, :, first:end] = True
    wrong_FHW = np.where(screen_FHW, ~reading.black & ~reading.coloured, reading.black)
    share_F = wrong_FHW.sum((1, 2)) / screen_FHW[0].sum()
    return float((1 - np.clip((share_F - _SCREEN_OFF) / _SCREEN_SPAN, 0, 1)).mean())


def _first_out(motion: Motion) -> int:
    """The frame in which the ball should first be seen beyond the screen."""
    return next(frame for frame in range(FRAMES) if motion.centre(frame) + RADIUS > motion.screen[1])


def _last_in(motion: Motion) -> int:
    """The last frame with more of the ball before the screen than a sliver of one column, which a blur can swallow."""
    return max(frame for frame in range(FRAMES) if motion.centre(frame) - RADIUS < motion.screen[0] - 1)

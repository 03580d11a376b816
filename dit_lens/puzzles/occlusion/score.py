"""Score a motion behind a screen in seven dimensions, each blind to what the others look at.

=========  ==========================================================================================================
place      the ball comes out in its lane, alone, and as far along as belongs to the frame in which it came out
time       the frame in which it is first seen beyond the screen
hidden     it went in, and is not seen on the screen
motion     from frame to frame it moves by its speed, and keeps before the screen to its lane, beyond it to the one
           in which it came out
identity   one ball, of its size wherever the screen does not cut it, and of its colour wherever half of it is in sight
screen     the screen stays where it is, and nothing else is black
kept       the floor is white
=========  ==========================================================================================================

Solved means that place, time, screen and floor are right, and that no more than one or two frames, which a decoder
may smear, speak against the other three. A ball that comes out late but moves on as it should is wrong in ``time``
alone: ``place`` and ``motion`` go by the frame in which it came out. What comes out must be about as large as a ball
in most of the frames from then on, or it has neither ``place`` nor ``time``, and of several balls each has its part of
the place. Right means to within a pixel and a frame. A ball that does not move is worth what ``identity``, ``screen``
and ``kept`` weigh, and nothing else.
"""

from __future__ import annotations

import numpy as np

from dit_lens.puzzles.canvas import FRAMES, Frame
from dit_lens.puzzles.contract import Score
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.floor import FEW_PIXELS
from dit_lens.puzzles.occlusion.draw import ball_area
from dit_lens.puzzles.occlusion.generate import RADIUS, Motion
from dit_lens.puzzles.occlusion.out import FRAMES_OFF, PIXEL_OFF, balls_out, came_out, frames_late, pixels_off
from dit_lens.puzzles.occlusion.track import SPECK, Reading, Thing, read
from dit_lens.puzzles.video import check_video

__all__ = ["WEIGHTS", "score_motion"]

WEIGHTS = {
    "place": 0.3,
    "time": 0.2,
    "hidden": 0.2,
    "motion": 0.2,
    "identity": 0.04,
    "screen": 0.03,
    "kept": 0.03,
}

_ASIDE = 1.5  # pixels from its lane that the ball may be in any one frame: its middle can be told to half a pixel
_PLACE_SPAN, _TIME_SPAN = 8.0, 4.0  # pixels and frames beyond that after which nothing is left
_SPEED_OFF, _SPEED_SPAN = 0.5, 0.2  # pixels a frame: how far the mean speed of a side may be off, and until 0 is left
_OWN_SHARE, _SIZE_OFF = 0.5, 0.25  # of a ball: how much has its colour, how far its area may be off
_TOLD = 0.5  # of a ball: less of it, beside the black screen, is blurred into a colour of its own
_NEEDED = {"hidden": 0.8, "motion": 0.85, "identity": 0.85}
_SCREEN_OFF, _SCREEN_SPAN = 0.03, 0.25  # shares of the screen


def score_motion(motion: Motion, video: Frame, frame: int = -1) -> Score:
    """Read a decoded video, uint8 (17, 64, 64, 3); solved if no dimension is wrong.

    Parameters
    ----------
    motion : Motion
    video : numpy.ndarray of uint8, shape (17, 64, 64, 3)
    frame : int
        Must be there, but does not matter: a motion is read from all frames.

    Returns
    -------
    Score
        ``answer`` is ``out`` if one ball was followed out, ``in`` if it went in and nothing came out.

    Raises
    ------
    BadPuzzle
        If it is no video of the canvas, has no such frame, or not 17 of them: in fewer the ball cannot come out.

    Examples
    --------
    >>> from dit_lens.puzzles.occlusion import OCCLUSION
    >>> puzzle = OCCLUSION.make(0, "plain", None)
    >>> still = score_motion(puzzle.motion, puzzle.clip()[[0] * 17])
    >>> still.overall, still.answer
    (0.1, None)
    """
    check_video(video, frame)
    if len(video) != FRAMES:
        raise BadPuzzle(
            f"an occlusion is scored on {FRAMES} frames; got {len(video)}, allowed {FRAMES}; generate that many"
        )
    reading = read(motion, video)
    dimensions = {
        "place": _place(motion, reading),
        "time": _time(motion, reading),
        "hidden": _hidden(motion, reading),
        "motion": _motion(motion, reading),
        "identity": _identity(reading),
        "screen": _screen(motion, reading),
        "kept": _kept(reading),
    }
    solved = all(value >= _NEEDED.get(name, 1.0) for name, value in dimensions.items())
    return Score.of(dimensions, WEIGHTS, solved, _answer(motion, reading))


def _answer(motion: Motion, reading: Reading) -> str | None:
    if came_out(reading):
        return "out" if balls_out(motion, reading) == 1 else None
    return "in" if _went_in(reading) and not reading.far else None


def _place(motion: Motion, reading: Reading) -> float:
    """Pixels between the ball and its place; several balls share it."""
    if not came_out(reading):
        return 0.0
    off = pixels_off(motion, reading)
    return max(0.0, 1 - off / _PLACE_SPAN) / balls_out(motion, reading)


def _time(motion: Motion, reading: Reading) -> float:
    """Frames between when the ball should come out and when it does."""
    if not came_out(reading):
        return 0.0
    off = abs(frames_late(motion, reading))
    return max(0.0, 1 - max(0, off - FRAMES_OFF) / _TIME_SPAN)


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
    lane = float(np.median([thing.across for thing in reading.far.values()] or [motion.lane]))
    sides = [
        _steadiness(motion.speed, motion.lane, reading.near, before),
        _steadiness(motion.speed, lane, reading.far, beyond),
    ]
    return float(np.mean([side for side in sides if side is not None] or [0.0]))


def _steadiness(speed: int, lane: float, track: dict[int, Thing], frames: range) -> float | None:
    """The share of steps that are right, in the lane at both ends, less what the mean speed of them all is off."""
    if not frames:
        return None
    pairs = [(track[frame], track[frame + 1]) for frame in frames if frame in track and frame + 1 in track]
    if not pairs:
        return 0.0
    ahead = np.array([after.along - thing.along - speed for thing, after in pairs])
    across = np.array([(thing.across, after.across) for thing, after in pairs])
    aside = abs(np.diff(across)[:, 0])
    strayed = abs(across - lane).max(1)
    right = (abs(ahead) <= PIXEL_OFF) & (aside <= PIXEL_OFF) & (strayed <= _ASIDE)
    off = max(0.0, abs(float(ahead.mean())) - _SPEED_OFF) / _SPEED_SPAN
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
    told = not thing.cut or thing.area >= _TOLD * ball_area()
    return sized and (thing.share >= _OWN_SHARE or not told)


def _screen(motion: Motion, reading: Reading) -> float:
    """How much of the screen is gone and how much is black besides it; what is seen on it is another matter."""
    first, end = motion.screen
    screen_FHW = np.zeros_like(reading.black)
    screen_FHW[:, :, first:end] = True
    wrong_FHW = np.where(screen_FHW, ~reading.black & ~reading.coloured, reading.black)
    share_F = wrong_FHW.sum((1, 2)) / screen_FHW[0].sum()
    return float((1 - np.clip((share_F - _SCREEN_OFF) / _SCREEN_SPAN, 0, 1)).mean())


def _kept(reading: Reading) -> float:
    """The share of the floor that is white, but for a few pixels in every frame."""
    tinted_F = reading.tinted.sum((1, 2))
    floor_F = (~reading.coloured & ~reading.black).sum((1, 2))
    share_F = np.where(tinted_F <= FEW_PIXELS, 0.0, tinted_F / np.maximum(floor_F, 1))
    return float(1 - share_F.mean())


def _last_in(motion: Motion) -> int:
    """The last frame with more of the ball before the screen than a sliver of one column, which a blur can swallow."""
    return max(frame for frame in range(FRAMES) if motion.centre(frame) - RADIUS < motion.screen[0] - 1)

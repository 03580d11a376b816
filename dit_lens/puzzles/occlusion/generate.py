"""Draw the numbers of an occlusion puzzle from its seed: a ball, a lane, a speed and a screen.

Every puzzle is made for motion to the right, in *along* (the axis of the motion) and *across* (the other one);
drawing flips and transposes it into its direction. Positions are borders between pixels, so a ball of 8 pixels centred
at 20 covers pixels 16 to 23. The screen stands so that the ball is wholly visible in the first frame, wholly hidden in
at least one, and wholly out again in the last frames: what comes out, where and when, follows from the first frame and
the prompt alone, but only if they are remembered while nothing of the ball can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dit_lens.puzzles.canvas import FRAMES, PICTURE_PIXELS
from dit_lens.puzzles.contract import Split

__all__ = [
    "BALL_PIXELS",
    "DIRECTIONS",
    "HELD_OUT_LANES",
    "RADIUS",
    "SCREEN_WIDTHS",
    "SPEEDS",
    "TRAINED_COLOURS",
    "VARIANTS",
    "Motion",
    "draw_motion",
]

BALL_PIXELS = 8
RADIUS = BALL_PIXELS // 2
DIRECTIONS = ("right", "left", "down", "up")
SPEEDS = {2: "two", 3: "three"}
"""Pixels a frame, and the word for it."""
TRAINED_COLOURS = ("red", "green", "blue")
HELD_OUT_LANES = range(28, 36)
"""Lanes in the middle of the picture that only the variant ``lane`` uses."""
SCREEN_WIDTHS = {"plain": {2: (10, 16), 3: (10, 16)}, "wide": {2: (18, 20), 3: (20, 30)}}
"""Narrowest and widest screen by speed; variants that are not named here have those of ``plain``."""
VARIANTS: dict[str, Split] = {
    "plain": "in-domain",
    "wide": "out-of-domain",
    "yellow": "out-of-domain",
    "lane": "out-of-domain",
}

_STARTS = {2: (8, 12, 16), 3: (8,)}
"""Centres in the first frame by speed: from first to last frame, the ball keeps away from the picture's edge."""
_LANES = range(BALL_PIXELS, PICTURE_PIXELS - BALL_PIXELS + 1, 4)  # half a latent token apart, as the starts are
_STREAM = 0x6F63636C  # keeps this task's draws apart from those of other tasks with the same seed
_OUT_BY = {"plain": FRAMES - 3, "wide": FRAMES - 2}  # a wide screen leaves the slow ball only the last two frames


@dataclass(frozen=True)
class Motion:
    """What happens, in pixels along and across the motion.

    Attributes
    ----------
    direction : {"right", "left", "down", "up"}
    speed : int
        Pixels a frame.
    colour : str
    lane : int
        Centre of the ball across the motion; in the picture, its row or column.
    start : int
        Centre of the ball along the motion in the first frame.
    screen : tuple of int
        First pixel of the screen along the motion, and the first after it.
    """

    direction: str
    speed: int
    colour: str
    lane: int
    start: int
    screen: tuple[int, int]

    def centre(self, frame: int) -> int:
        """Centre of the ball along the motion in one frame."""
        return self.start + self.speed * frame

    def covered(self, frame: int) -> int:
        """How many of the ball's 8 columns are behind the screen in one frame."""
        centre, (first, end) = self.centre(frame), self.screen
        return max(0, min(centre + RADIUS, end) - max(centre - RADIUS, first))

    def frames_with(self, low: int, high: int) -> list[int]:
        """Frames in which between ``low`` and ``high`` of the ball's columns are behind the screen."""
        return [frame for frame in range(FRAMES) if low <= self.covered(frame) <= high]


def draw_motion(seed: int, variant: str) -> Motion:
    """Draw one motion, always the same for the same arguments.

    Examples
    --------
    >>> motion = draw_motion(1, "plain")
    >>> motion.covered(0), max(map(motion.covered, range(17))), motion.covered(16)
    (0, 8, 0)
    """
    rng = np.random.default_rng([_STREAM, list(VARIANTS).index(variant), seed])
    direction = DIRECTIONS[int(rng.integers(len(DIRECTIONS)))]
    speed = int(rng.choice(list(SPEEDS)))
    colour = "yellow" if variant == "yellow" else TRAINED_COLOURS[int(rng.integers(len(TRAINED_COLOURS)))]
    start = int(rng.choice(_STARTS[speed]))
    lanes = [lane for lane in _LANES if (lane in HELD_OUT_LANES) == (variant == "lane")]
    lane = int(rng.choice(lanes))
    return Motion(direction, speed, colour, lane, start, _draw_screen(rng, variant, start, speed))


def _draw_screen(rng: np.random.Generator, variant: str, start: int, speed: int) -> tuple[int, int]:
    """A screen at least a pixel ahead of the ball, and behind it again in the frame by which it has to be out.

    Its edges lie on even pixels.
    """
    kind = "wide" if variant == "wide" else "plain"
    narrowest, widest = SCREEN_WIDTHS[kind][speed]
    width = int(rng.choice(range(narrowest, widest + 1, 2)))
    earliest = start + RADIUS + 2
    latest = start + speed * _OUT_BY[kind] - RADIUS - width
    first = int(rng.choice(range(earliest, latest + 1, 2)))
    return first, first + width

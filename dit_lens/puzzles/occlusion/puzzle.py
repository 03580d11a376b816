"""The occlusion puzzle itself: a motion with the prompt, the truth and the score that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dit_lens.puzzles.canvas import Frame, Mask
from dit_lens.puzzles.contract import Score, Task
from dit_lens.puzzles.occlusion.draw import draw_clip, draw_masks
from dit_lens.puzzles.occlusion.generate import BALL_PIXELS, SPEEDS, VARIANTS, Motion, draw_motion
from dit_lens.puzzles.occlusion.score import WEIGHTS, score_motion

__all__ = ["OCCLUSION", "Occlusion"]


@dataclass(frozen=True)
class Occlusion:
    """A ball that passes behind a screen and has to come out at the right place and time.

    Attributes
    ----------
    motion : Motion
        What happens.
    seed : int
    variant : str

    Examples
    --------
    >>> puzzle = OCCLUSION.make(0, "plain", None)
    >>> puzzle.score(puzzle.clip()).solved
    True
    """

    motion: Motion
    seed: int
    variant: str
    task: str = "occlusion"

    @property
    def prompt(self) -> str:
        """The instruction: which way, and how many pixels a frame."""
        return f"Move the ball {self.motion.direction} behind the screen by {SPEEDS[self.motion.speed]}."

    @property
    def label(self) -> str:
        """``occlusion``, with the variant if it is not the plain one."""
        return self.task if self.variant == "plain" else f"{self.task}-{self.variant}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The motion, and the frames in which the ball is wholly, partly and not behind the screen."""
        motion = self.motion
        return {
            **asdict(motion),
            "screen": list(motion.screen),
            "hidden_frames": motion.frames_with(BALL_PIXELS, BALL_PIXELS),
            "partly_visible_frames": motion.frames_with(1, BALL_PIXELS - 1),
            "visible_frames": motion.frames_with(0, 0),
            "variant": self.variant,
            "split": VARIANTS[self.variant],
        }

    @property
    def answer(self) -> str | None:
        """``out``: the ball comes out; the other answer that a score can tell is ``in``, it went in and stayed."""
        return "out"

    def first_frame(self) -> Frame:
        """The ball before the screen, uint8 (64, 64, 3)."""
        return np.asarray(self.clip()[0])

    def clip(self) -> Frame:
        """The whole motion, uint8 (17, 64, 64, 3)."""
        return draw_clip(self.motion)

    def masks(self) -> Mapping[str, Mask]:
        """``foreground`` (screen and whole ball), ``ball`` (what is seen of it), ``ball_hidden`` and ``screen``."""
        return draw_masks(self.motion)

    def score(self, video: Frame, frame: int = -1) -> Score:
        """Read a decoded video from all its 17 frames: the answer is a motion, so ``frame`` does not matter."""
        return score_motion(self.motion, video, frame)


def _make(seed: int, variant: str, size: int | None) -> Occlusion:
    """There are no sizes: ``size`` is None."""
    return Occlusion(draw_motion(seed, variant), seed, variant)


OCCLUSION = Task(
    name="occlusion",
    summary="a ball passes behind a screen and comes out on the other side, in its lane and in time",
    variants=VARIANTS,
    sizes={},
    weights=WEIGHTS,
    do_nothing=dict.fromkeys(VARIANTS, 0.1),  # one ball, the screen and the floor are kept, and nothing else is right
    make=_make,
)

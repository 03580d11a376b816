"""Many puzzles in one batch, with the clean video that the model believes in at every step.

``lens.trace_batch`` runs several seeds or prompts of one picture, but no two pictures; the tables here need hundreds of
puzzles. So they are drawn by the batched sampler that also measures the model while it is trained (a test holds it
equal to the pipeline); its x0 has the formula of the site ``x0.guided``.

Shapes: B batch (one puzzle a row), Z latent channels, f latent frames, h, w latent height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from anatomy.model import load
from dit_lens.puzzles import Puzzle
from dit_lens.tiny.train.measure import decode_batch, denoise_batch

__all__ = ["BATCH", "Cut", "Video", "decode", "draw", "draw_watched"]

BATCH = 16
Video = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cut:
    """A puzzle of which only the first frames are asked for."""

    puzzle: Puzzle
    frames: int

    @property
    def prompt(self) -> str:
        """The puzzle's own."""
        return self.puzzle.prompt

    def clip(self) -> Video:
        """The beginning of the puzzle's clip."""
        return np.asarray(self.puzzle.clip()[: self.frames])


def draw_watched(
    puzzles: Sequence[Puzzle | Cut], steps: int, guidance: float, seed: int
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Final latents and the guided x0 of every step, each (B, Z, f, h, w); row b starts from seed ``seed + b``."""
    every = list(denoise_batch(load().pipeline, list(puzzles), steps, guidance, seed))  # type: ignore[arg-type]
    return every[-1][2], [clean_BZfhw for _, clean_BZfhw, _ in every]


def draw(puzzles: Sequence[Puzzle | Cut], steps: int, guidance: float, seed: int) -> list[Video]:
    """The decoded videos alone."""
    return decode(draw_watched(puzzles, steps, guidance, seed)[0])


def decode(latents_BZfhw: torch.Tensor) -> list[Video]:
    """Decoded pixels of every row, uint8 (F, H, W, 3)."""
    return decode_batch(load().pipeline, latents_BZfhw)

"""Which puzzle a training step sees: a pure function of (seed, index), so that a resumed run draws the same ones.

Only in-domain variants are drawn. Training seeds lie below ``UNSEEN_SEEDS`` and evaluation seeds from there on. A small
puzzle can still come up twice under two seeds; ``find_repeats`` says which, and the model card states it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch

from dit_lens.puzzles import UNSEEN_SEEDS, Puzzle, make_puzzle

__all__ = [
    "SHARES",
    "SHOWN_SHARES",
    "Shares",
    "clip_tensor",
    "find_repeats",
    "shown_puzzle",
    "training_puzzle",
]

Shares = tuple[tuple[str, str, float], ...]
"""Of all puzzles, by task and variant."""

SHARES: Shares = (
    ("maze", "plain", 0.40),
    ("fork", "free", 0.12),
    ("fork", "three", 0.06),
    ("fork", "prompt", 0.06),
    ("fork", "cue", 0.06),
    ("grounding", "plain", 0.16),
    ("occlusion", "plain", 0.14),
)
"""The share of the training puzzles, by task and variant; mazes with long routes take longest to learn."""

SHOWN_SHARES: Shares = (
    ("maze", "plain", 0.15),
    ("fork", "free", 0.05),
    ("fork", "three", 0.05),
    ("fork", "prompt", 0.05),
    ("fork", "cue", 0.08),
    ("grounding", "plain", 0.30),
    ("occlusion", "plain", 0.32),
)
"""The same for the autoencoder: all mazes look alike, while shapes and moving balls take long to be shown right."""


def training_puzzle(seed: int, index: int, shares: Shares = SHARES) -> Puzzle:
    """The puzzle number ``index`` of the training run ``seed``."""
    return _draw(np.random.default_rng([seed, index]), shares)


def shown_puzzle(seed: int, index: int, shares: Shares = SHOWN_SHARES) -> Puzzle:
    """The puzzle number ``index`` of those that the autoencoder of the training run ``seed`` learns to show."""
    return _draw(np.random.default_rng([seed, index, 1]), shares)


def _draw(rng: np.random.Generator, shares: Shares) -> Puzzle:
    task, variant, _ = shares[int(rng.choice(len(shares), p=[share for *_, share in shares]))]
    return make_puzzle(task, int(rng.integers(UNSEEN_SEEDS)), variant)


def find_repeats(puzzles: Iterable[Puzzle], trained: Iterable[Puzzle]) -> list[bool]:
    """Whether each puzzle has the first frame and prompt of one of the ``trained`` that the denoiser learns from."""
    seen = {_asked(puzzle) for puzzle in trained}
    return [_asked(puzzle) in seen for puzzle in puzzles]


def _asked(puzzle: Puzzle) -> bytes:
    return hashlib.sha256(puzzle.first_frame().tobytes() + puzzle.prompt.encode()).digest()


def clip_tensor(puzzle: Puzzle) -> torch.Tensor:
    """The clip as a float tensor of shape (3, F, H, W) in [-1, 1], as an autoencoder takes it."""
    return torch.from_numpy(puzzle.clip()).permute(3, 0, 1, 2).float() / 127.5 - 1

"""Which puzzle a training step sees: a pure function of (seed, index), so that a resumed run draws the same ones.

Training seeds lie below ``UNSEEN_SEEDS`` and evaluation seeds from there on. A small maze can still come up twice under
two seeds; ``count_repeats`` says how often, and the model card states it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from dit_lens.puzzles import Maze, draw_clip, make_maze
from dit_lens.puzzles.maze import UNSEEN_SEEDS, Kind

__all__ = ["SIZES", "clip_tensor", "count_repeats", "training_maze"]

SIZES = (3, 4, 5, 6, 7)
SIZE_SHARES = (0.10, 0.16, 0.26, 0.24, 0.24)
FORK_SHARE = 0.3


def training_maze(seed: int, index: int) -> Maze:
    """The puzzle number ``index`` of the training run ``seed``."""
    rng = np.random.default_rng([seed, index])
    size = int(rng.choice(SIZES, p=SIZE_SHARES))
    kind: Kind = "fork" if rng.random() < FORK_SHARE else "maze"
    return make_maze(int(rng.integers(UNSEEN_SEEDS)), size, kind)


def count_repeats(mazes: Iterable[Maze], seed: int, trained: int) -> int:
    """How many of ``mazes`` show the same first frame as one of the first ``trained`` puzzles of a training run."""
    seen = {_picture(training_maze(seed, index)) for index in range(trained)}
    return sum(_picture(maze) in seen for maze in mazes)


def _picture(maze: Maze) -> tuple[object, ...]:
    return maze.origin, maze.size, maze.passages, maze.start, maze.goal


def clip_tensor(maze: Maze) -> torch.Tensor:
    """The clip as a float tensor of shape (3, F, H, W) in [-1, 1], as an autoencoder takes it."""
    return torch.from_numpy(draw_clip(maze)).permute(3, 0, 1, 2).float() / 127.5 - 1

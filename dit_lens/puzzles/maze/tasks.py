"""The two tasks of this room."""

from __future__ import annotations

from functools import partial

from dit_lens.puzzles.contract import Puzzle, Task
from dit_lens.puzzles.maze.generate import make_maze
from dit_lens.puzzles.maze.score import CHOICE_WEIGHTS, WEIGHTS
from dit_lens.puzzles.maze.variants import Kind, variants_of

__all__ = ["FORK", "MAZE"]

_STILL = ("walls", "marks", "kept")  # what is right where nothing happens


def _make(task: Kind, seed: int, variant: str, size: int | None) -> Puzzle:
    return make_maze(seed, size, variant, task)


def _task(name: Kind, summary: str, weights: dict[str, float]) -> Task:
    variants = variants_of(name)
    still = sum(weights[dimension] for dimension in _STILL)
    totals = {each: (WEIGHTS if v.chosen_by == "chance" else CHOICE_WEIGHTS) for each, v in variants.items()}
    return Task(
        name=name,
        summary=summary,
        variants={each: variant.split for each, variant in variants.items()},
        sizes={each: variant.sizes for each, variant in variants.items()},
        weights=weights,
        do_nothing={each: round(still / sum(total.values()), 12) for each, total in totals.items()},
        make=partial(_make, name),
    )


MAZE = _task("maze", "Draw the one route from start to goal.", WEIGHTS)
FORK = _task("fork", "Draw one of two or three equally long routes: any, or the one that is asked for.", CHOICE_WEIGHTS)

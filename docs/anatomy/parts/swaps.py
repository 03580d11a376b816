"""One picture, one seed, two prompts: whether the answer goes with the words.

Both rows run in one batch, so nothing differs between them but the prompt. Of a grounding puzzle the other prompt names
another object of the same scene, of a fork the other route.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anatomy.model import load, request
from anatomy.parts.courses import score_record
from anatomy.settings import Job, Settings
from dit_lens.puzzles import Puzzle, unseen
from dit_lens.puzzles.grounding import GroundingPuzzle, other_prompt
from dit_lens.puzzles.maze import Maze

__all__ = ["TASKS", "jobs", "measure", "under_other_prompt"]

TASKS = {"grounding": "plain", "fork": "prompt"}
"""The variant of each task whose prompt says what is right."""


def jobs(settings: Settings) -> list[Job]:
    """One for each puzzle."""
    return [partial(measure, task, index, settings) for task in TASKS for index in range(settings.swaps)]


def under_other_prompt(puzzle: Puzzle) -> Puzzle:
    """The same picture, and a prompt that asks for something else in it.

    Examples
    --------
    >>> fork = unseen("fork", 0, "prompt")
    >>> other = under_other_prompt(fork)
    >>> bool((other.first_frame() == fork.first_frame()).all()), other.answer == fork.answer
    (True, False)
    """
    if isinstance(puzzle, GroundingPuzzle):
        return other_prompt(puzzle)
    if isinstance(puzzle, Maze):
        return replace(puzzle, drawn=(puzzle.drawn + 1) % len(puzzle.routes))
    raise TypeError(
        f"no other prompt is known of a puzzle; got {puzzle.task}, allowed {', '.join(TASKS)}; leave it out"
    )


def measure(task: str, index: int, settings: Settings) -> list[dict[str, Any]]:
    """One record: what was asked and what was answered under each prompt."""
    puzzle = unseen(task, index, TASKS[task])
    pair: Sequence[Puzzle] = (puzzle, under_other_prompt(puzzle))
    requests = [request(each, index, settings.steps, settings.guidance) for each in pair]
    with tempfile.TemporaryDirectory() as folder:
        results = load().trace_batch(requests, ["x0.guided[step=0]"], Path(folder) / "swap.zarr")
    rows = [
        {"prompt": each.prompt, "asked": each.answer, **score_record(each, np.asarray(result.video))}
        for each, result in zip(pair, results, strict=True)
    ]
    return [{"task": task, "index": index, "label": puzzle.label, "rows": rows}]

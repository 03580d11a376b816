"""All tasks keep the contract, and the ways to a puzzle refuse what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from dit_lens.cli.samples import Task as TaskName
from dit_lens.cli.samples import puzzle_sample
from dit_lens.puzzles import TASKS, UNSEEN_SEEDS, BadPuzzle, make_puzzle, unseen

KINDS = [(task.name, variant) for task in TASKS.values() for variant in task.variants]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("task", "variant"), KINDS)
def test_every_variant_keeps_the_contract(task: str, variant: str) -> None:
    known = (ROOT / "dit_lens" / "tiny" / "train" / "words.txt").read_text(encoding="utf-8").split()
    for index in range(3):
        puzzle = unseen(task, index, variant)
        clip = puzzle.clip()
        assert (puzzle.task, puzzle.variant, puzzle.seed) == (task, variant, UNSEEN_SEEDS + index)
        assert (clip.shape, clip.dtype) == ((17, 64, 64, 3), np.uint8)
        assert np.array_equal(clip[0], puzzle.first_frame())
        truth = puzzle.score(clip)
        still = puzzle.score(np.repeat(clip[:1], 17, axis=0))
        assert (truth.solved, truth.overall, set(truth.dimensions.values())) == (True, 1.0, {1.0})
        assert (still.solved, still.overall) == (False, TASKS[task].do_nothing[variant])
        assert puzzle.parameters["split"] == TASKS[task].variants[variant]
        words = puzzle.prompt.lower().replace(".", " . ").replace(",", " , ").split()
        assert len(words) <= 15
        assert set(words) <= set(known)
        assert puzzle == unseen(task, index, variant)


def test_the_command_line_knows_every_task() -> None:
    assert get_args(TaskName) == tuple(TASKS)


@pytest.mark.parametrize(("task", "variant"), KINDS)
def test_a_sample_of_the_command_line_is_named_after_its_puzzle(task: TaskName, variant: str) -> None:
    sample = puzzle_sample(task, 2, variant)
    assert sample.puzzle is not None
    assert sample.name == f"{sample.puzzle.label}-2"
    size, sizes = sample.puzzle.parameters.get("size"), TASKS[task].sizes.get(variant)
    assert sizes is None or size == (5 if 5 in sizes else sizes[0])


def test_the_first_variant_is_meant_where_none_is_named() -> None:
    assert [unseen(name, 0).variant for name in TASKS] == [task.default for task in TASKS.values()]


def test_an_unknown_task_is_refused_in_one_line() -> None:
    with pytest.raises(BadPuzzle) as caught:
        make_puzzle("mase", 0)
    assert str(caught.value) == (
        "unknown task; got 'mase', allowed maze, fork, grounding, occlusion; did you mean 'maze'?"
    )

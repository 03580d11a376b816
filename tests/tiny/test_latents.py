"""What a batch is drawn from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dit_lens.tiny.train.latents import Focus, LatentFiles

TASKS = ["maze"] * 6 + ["occlusion"] * 2


@pytest.fixture
def files(tmp_path: Path) -> LatentFiles:
    """Two files of eight puzzles; each latent is the number of its puzzle."""
    for number in range(2):
        values = np.arange(8.0) + 8 * number
        np.save(
            tmp_path / f"latents-{number:04d}.npy",
            np.broadcast_to(values[:, None, None, None, None, None], (8, 2, 1, 1, 1, 1)),
        )
        told = {"prompts": [f"{number} {index}" for index in range(8)], "tasks": TASKS}
        (tmp_path / f"latents-{number:04d}.json").write_text(json.dumps(told), encoding="utf-8")
    return LatentFiles(tmp_path)


def drawn(files: LatentFiles, count: int, focus: Focus | None = None) -> np.ndarray:
    clip, condition, prompts = files.batch(np.random.default_rng(0), 4000, count, focus)
    numbers = clip.flatten().numpy().astype(int)
    assert (condition == clip).all()
    assert prompts == [f"{number // 8} {number % 8}" for number in numbers]
    return numbers


@pytest.mark.parametrize("count", [1, 2])
def test_every_puzzle_of_the_files_is_drawn_alike(files: LatentFiles, count: int) -> None:
    shares = np.bincount(drawn(files, count), minlength=8 * count) / 4000
    np.testing.assert_allclose(shares, 1 / (8 * count), atol=0.025)


def test_a_focus_draws_its_share_from_one_task_and_the_others_from_all(files: LatentFiles) -> None:
    of_task = np.array([TASKS[number % 8] == "occlusion" for number in drawn(files, 2, ("occlusion", 0.4))])
    np.testing.assert_allclose(of_task.mean(), 0.4 + 0.6 / 4, atol=0.03)


def test_a_focus_on_what_is_not_there_changes_nothing(files: LatentFiles) -> None:
    assert (np.bincount(drawn(files, 1, ("fork", 0.9))) > 0).all()

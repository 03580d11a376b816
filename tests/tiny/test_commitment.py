"""When a fork is decided, told from readings that were made up step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dit_lens.puzzles import unseen
from dit_lens.puzzles.maze import draw_frame
from dit_lens.tiny.train import commitment
from dit_lens.tiny.train.card import _fork_facts

FORKS = [unseen("fork", index) for index in range(3)]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three forks over four steps; what is decoded is drawn by the puzzles themselves.

    The first shows both routes, then one to the end. The second changes its mind once. The third never takes any.
    """
    course = {0: ["both", "a", "a", "a", "a"], 1: ["a", "a", "b", "b", "b"], 2: ["none"] * 5}

    def denoise(*_: Any) -> Any:
        for step in range(4):
            yield 1 - step / 4, step, step + 1

    def decode(_pipeline: Any, step: int) -> list[Any]:
        return [_video(row, course[row][step]) for row in range(3)]

    monkeypatch.setattr(commitment, "denoise_batch", denoise)
    monkeypatch.setattr(commitment, "decode_batch", decode)


def _video(row: int, shown: str) -> Any:
    fork = FORKS[row]
    a, b = (draw_frame(fork, route).astype(float) for route in fork.routes)
    picture = {"a": a, "b": b, "both": (a + b) / 2, "none": fork.first_frame()}[shown]
    return np.repeat(picture[None].astype("uint8"), 17, axis=0)


@pytest.mark.usefixtures("scripted")
def test_a_fork_is_final_from_the_step_after_which_nothing_else_is_read() -> None:
    measured = commitment.measure_commitment(None, 3, 4)  # type: ignore[arg-type]
    assert measured["sigmas"] == [1.0, 0.75, 0.5, 0.25]
    assert measured["both"] == 1
    assert measured["final"] == [0, 1, 1, 0]
    assert sum(measured["answers"].values()) == 2
    facts = _fork_facts(measured)
    assert facts["commitment"].splitlines()[2:] == ["| 1 | 0.750 | 1 | 1 |", "| 2 | 0.500 | 1 | 2 |"]
    assert (facts["forks"], facts["both"], facts["whole"]) == (3, 1, 2)

"""An untrained pipeline with two experts and a solver with a history, and what noise does to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from dit_lens.bench import Question, puzzle_questions
from dit_lens.causal import intervene
from dit_lens.testing.pipeline import SMALL_CONDITION, small_lens

SMALLER = replace(SMALL_CONDITION, height=32, width=32)
"""Five latent frames of 4 x 4 tokens."""


@pytest.fixture(scope="session")
def small():
    return small_lens()


@pytest.fixture(scope="session")
def mazes():
    return puzzle_questions(["maze:plain"], n=2, size=3)


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    """A question that no rule can score, a quarter of the size of a puzzle."""
    path = tmp_path_factory.mktemp("pictures") / "red.png"
    Image.new("RGB", (32, 32), (200, 40, 90)).save(path)
    return Question("red", "own", "", None, 0, "red", "Draw the path.", picture=path)


@pytest.fixture(scope="session")
def smaller(picture):
    """What a run of the picture asks for."""
    return SMALLER.request(picture, 0)


@pytest.fixture(scope="session")
def ask(small, picture):
    """Run the noise probe on one picture."""

    def call(lens=small, out=None, question=picture, condition=SMALLER, **params):
        return intervene(lens, "noise", [question], [0], condition, out=out, params=params)

    return call


@pytest.fixture(scope="session")
def swept(ask):
    """Steps and a frame of a picture, both kinds, both levels."""
    return ask(level="state+view", at="step+frame", frames="3", noise_seeds=1)


@pytest.fixture(scope="session")
def scored(ask, mazes):
    """Some steps of a maze, which rules score."""
    return ask(question=mazes[0], condition=SMALL_CONDITION, steps="0+2", at="step", kind="dose", noise_seeds=1)

"""An untrained pipeline with two experts and a solver with a history, and what noise does to it."""

from __future__ import annotations

import pytest

from dit_lens.bench import puzzle_questions
from dit_lens.causal import intervene
from dit_lens.testing.pipeline import SMALL_CONDITION, small_lens


@pytest.fixture(scope="session")
def small():
    return small_lens()


@pytest.fixture(scope="session")
def mazes():
    return puzzle_questions(["maze:plain"], n=2, size=3)


@pytest.fixture(scope="session")
def ask(small, mazes):
    """Run the noise probe on one maze."""

    def call(lens=small, out=None, **params):
        return intervene(lens, "noise", mazes[:1], [0], SMALL_CONDITION, out=out, params=params)

    return call


@pytest.fixture(scope="session")
def swept(ask):
    """Steps and frames, both kinds, both levels."""
    return ask(level="state+view", at="step+frame", frames="0+3", noise_seeds=1)

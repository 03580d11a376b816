"""An untrained Wan pipeline of three layers and two experts, and puzzles that it is asked at their own size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dit_lens.bench import Condition, Question, puzzle_questions
from dit_lens.causal import Context, prepare_intervention
from dit_lens.generation import Size
from dit_lens.lens import Lens, Origin
from dit_lens.puzzles import unseen
from dit_lens.tiny.train.text import build_text_encoder, build_tokenizer
from tests.trace.conftest import build

STEPS = 2  # with boundary 0.9 each expert has one of them
CONDITION = Condition(steps=STEPS, extra={"max_sequence_length": 32})


@pytest.fixture(scope="module")
def lens() -> Lens:
    pipeline = build()
    pipeline.tokenizer, pipeline.text_encoder = build_tokenizer(), build_text_encoder()  # they know the prompts
    return Lens(pipeline, Origin("untrained", size=Size(64, 64, 17)))


@pytest.fixture(scope="session")
def grounding() -> list[Question]:
    return puzzle_questions(["grounding:plain"], n=2)


def prepared(lens: Lens, probe: Any, questions: Any, out: Path, **options: Any) -> Any:
    """An intervention, ready to run."""
    seeds, condition = options.pop("seeds", (0,)), options.pop("condition", CONDITION)
    return prepare_intervention(lens, probe, questions, seeds, condition, out=out, params=options)


def context_of(lens: Lens, questions: Any, out: Path, **options: Any) -> Context:
    """The context that a probe would be given."""
    from dit_lens_probes import Swap

    return prepared(lens, Swap, questions, out, donor="seed", **options).context


def maze() -> Any:
    return unseen("maze", 0)

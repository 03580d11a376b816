"""Untrained Wan pipelines with two experts, and puzzles that they are asked at the puzzles' own size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dit_lens.bench import Condition, Question, puzzle_questions
from dit_lens.causal import Context, prepare_intervention
from dit_lens.generation import Size
from dit_lens.lens import Lens, Origin
from dit_lens.puzzles import unseen
from tests.trace.conftest import build

STEPS = 2  # with boundary 0.9 each expert has one of them
WORDS = (
    *("<pad>", "</s>", "<unk>", "Mark", "the"),
    *("red", "green", "blue", "yellow", "purple", "circle", "square", "triangle", "cross"),
)
CONDITION = Condition(steps=STEPS, extra={"max_sequence_length": 16})


@pytest.fixture(scope="module")
def lens() -> Lens:
    pipeline = build()
    pipeline.tokenizer = _tokenizer()  # prompts of grounding differ in words that it knows
    return Lens(pipeline, Origin("untrained", size=Size(64, 64, 17)))


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


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

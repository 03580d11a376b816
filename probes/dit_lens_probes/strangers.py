"""Questions that have nothing to do with another one: what they put into its run tells what anything would.

Of a shipped puzzle it is another of the same task and variant, drawn from evaluation seeds far behind those that
anyone asks; of anything else, the same prompt over the first frame with its pixels in random order. Which one follows
from the question alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dit_lens.bench import Question
from dit_lens.bench.questions import questions_of
from dit_lens.puzzles import TASKS, unseen

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["stranger"]

_FAR = 2**20


@dataclass(frozen=True)
class _Shuffled(Question):
    """A question over the pixels of another, in random order."""

    of: Question | None = None
    stream: int = 0

    def image(self) -> Image:
        """The first frame."""
        from PIL import Image

        assert self.of is not None
        pixels = np.asarray(self.of.image())
        order = np.random.default_rng(self.stream).permutation(pixels.shape[0] * pixels.shape[1])
        return Image.fromarray(pixels.reshape(-1, 3)[order].reshape(pixels.shape))


def stranger(question: Question, number: int = 0) -> Question:
    """An unrelated question, always the same.

    Parameters
    ----------
    question : Question
    number : int
        Which of many.

    Returns
    -------
    Question

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> (question,) = puzzle_questions(["maze:plain"], n=1)
    >>> other = stranger(question)
    >>> other.task, other.variant, other.fingerprint() == question.fingerprint()
    ('maze', 'plain', False)
    """
    stream = _FAR + int(hashlib.sha256(f"{question.name}/{number}".encode()).hexdigest()[:5], 16)
    name = f"stranger/{stream}"
    if question.puzzle is not None and question.task in TASKS and question.variant in TASKS[question.task].variants:
        return replace(questions_of([unseen(question.task, stream, question.variant)])[0], name=name)
    told: dict[str, Any] = {
        field: getattr(question, field) for field in ("task", "variant", "split", "index", "label", "prompt")
    }
    return _Shuffled(name, **told, of=question, stream=stream)

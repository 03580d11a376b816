"""Which answer a video gives, in words that two puzzles of a pair share.

Two scenes of a pair have other objects at the same places, or the same objects elsewhere. What is marked is therefore
told by its place, not by its name. Other puzzles name their answers by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dit_lens.puzzles import GroundingPuzzle

if TYPE_CHECKING:
    import numpy.typing as npt

    from dit_lens.bench import Question

__all__ = ["flipped", "read_answer"]


def read_answer(question: Question, video: npt.NDArray[np.uint8] | None) -> str | None:
    """The answer that a video gives by the rules of its puzzle; None if it gives none, or nothing can read it.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> (question,) = puzzle_questions(["grounding:plain"], n=1)
    >>> read_answer(question, question.puzzle.clip()) == str(question.puzzle.named.place)
    True
    """
    puzzle = question.puzzle
    if puzzle is None or video is None:
        return None
    answer = puzzle.score(video).answer
    if answer is None or not isinstance(puzzle, GroundingPuzzle):
        return answer
    return next(str(thing.place) for thing in puzzle.things if thing.name == answer)


def flipped(own: str | None, donor: str | None, patched: str | None) -> float:
    """Whether the answer is now the donor's; NaN where the two runs did not give two answers, so that none can flip.

    Examples
    --------
    >>> flipped("left", "right", "right"), flipped("left", "right", None), flipped("left", "left", "left")
    (1.0, 0.0, nan)
    """
    if own is None or donor is None or own == donor:
        return float("nan")
    return float(patched == donor)

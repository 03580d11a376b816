"""One run of a benchmark, as it is kept: a line of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from dit_lens.bench.scoring import scorer_version

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dit_lens.bench.questions import Question
    from dit_lens.puzzles.contract import Split

__all__ = ["Result", "judge"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one question with one seed.

    Attributes
    ----------
    question : str
        Its name, the place of the video in the tree of its seed.
    task, variant, split, index, label
        See ``Question``.
    seed : int
    solved : bool or None
        The strict verdict; None where nothing gives one.
    overall : float or None
        The score from 0 to 1; None where nothing has scored the video.
    dimensions : mapping of str to float
    answer : str or None
        Which of the possible answers was given.
    category : str
        What VBVR groups tasks by; of a puzzle its task.
    seconds : float or None
        Of the call of the model, which all of its rows share.
    together : tuple of int
        Seeds of that call: rows of a batch are not bit-equal to runs alone.
    fingerprint : str
        Hash of prompt and first frame.
    scoring : str
        Which rules scored it, see ``scorer_version``; empty if none did.
    """

    question: str
    task: str
    variant: str
    split: Split | None
    index: int
    label: str
    seed: int
    solved: bool | None = None
    overall: float | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)
    answer: str | None = None
    category: str = ""
    seconds: float | None = None
    together: tuple[int, ...] = ()
    fingerprint: str = ""
    scoring: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, and read again by ``from_dict``."""
        return asdict(self) | {"dimensions": dict(self.dimensions), "together": list(self.together)}

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> Result:
        """Read what ``as_dict`` gave.

        Raises
        ------
        ValueError
            If it is something else; the message says what of it.

        Examples
        --------
        >>> one = Result(question="a/0", task="a", variant="", split=None, index=0, label="a", seed=1, together=(1,))
        >>> Result.from_dict(one.as_dict()) == one
        True
        """
        if not isinstance(line, Mapping):
            raise ValueError("no result")
        wrong = sorted({"question", "seed", *_ALLOWED} - set(line)) or sorted(set(line) - set(_ALLOWED))
        wrong = wrong or [name for name, value in line.items() if not _ALLOWED[name](value)]
        if wrong:
            raise ValueError(f"{wrong[0]} {line[wrong[0]]!r}"[:60] if wrong[0] in line else f"no {wrong[0]}")
        return cls(**{**line, "together": tuple(line["together"])})


def judge(
    question: Question, seed: int, video: npt.NDArray[np.uint8] | None, *, seconds: float, together: tuple[int, ...]
) -> Result:
    """The result of one run; scored if a puzzle's rules can.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> (question,) = puzzle_questions(["maze:plain"], n=1)
    >>> judge(question, 0, question.puzzle.clip(), seconds=1.0, together=(0,)).solved
    True
    """
    result = Result(
        question=question.name,
        task=question.task,
        variant=question.variant,
        split=question.split,
        index=question.index,
        label=question.label,
        seed=seed,
        category=question.task if question.puzzle is not None else "",
        seconds=seconds,
        together=together,
        fingerprint=question.fingerprint(),
    )
    return result if question.puzzle is None or video is None else _scored(result, question, video)


def _scored(result: Result, question: Question, video: npt.NDArray[np.uint8]) -> Result:
    if question.puzzle is None:
        return result
    score = question.puzzle.score(video)
    dimensions = {name: float(value) for name, value in score.dimensions.items()}
    return replace(
        result,
        solved=bool(score.solved),
        overall=float(score.overall),
        dimensions=dimensions,
        answer=score.answer,
        scoring=scorer_version(question.puzzle),
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_ALLOWED: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("question", "task", "variant", "label", "category", "fingerprint", "scoring"), _is_text),
    **dict.fromkeys(("index", "seed"), _is_whole),
    "split": lambda value: value in (None, "in-domain", "out-of-domain"),
    "solved": lambda value: value is None or isinstance(value, bool),
    "overall": lambda value: value is None or (_is_number(value) and 0 <= value <= 1),
    "dimensions": lambda value: isinstance(value, Mapping) and all(map(_is_number, value.values())),
    "answer": lambda value: value is None or _is_text(value),
    "seconds": lambda value: value is None or _is_number(value),
    "together": lambda value: isinstance(value, list) and all(map(_is_whole, value)),
}
"""What a line may hold, by name."""

"""What a benchmark asks: a first frame and a prompt, from a puzzle whose rules can judge the answer, or from a folder.

A question has one name, which is also its place in the tree of videos, ``{split}/{task}/{id}``: VBVR-EvalKit reads such
trees. A task of puzzles goes there with its variant, as in ``In-Domain/maze-plain/00003``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dit_lens.bench.errors import BadBench
from dit_lens.errors import close_match
from dit_lens.facts import image_sha256
from dit_lens.puzzles.contract import Puzzle, Split
from dit_lens.puzzles.folder import SPLIT_FOLDERS
from dit_lens.puzzles.registry import TASKS, unseen

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Question", "puzzle_questions", "questions_of", "read_tasks"]


@dataclass(frozen=True)
class Question:
    """One first frame with its prompt.

    Attributes
    ----------
    name : str
        Its place in the tree of videos, without the ending.
    task, variant : str
        The variant is empty where there are none.
    split : {"in-domain", "out-of-domain"} or None
        None if nothing says it.
    index : int
        Its number among those of its task and variant.
    label : str
        To name it for a reader; several may have the same.
    prompt : str
    puzzle : Puzzle or None
        What scores the answer.
    picture : pathlib.Path or None
        The first frame of a question without a puzzle.
    """

    name: str
    task: str
    variant: str
    split: Split | None
    index: int
    label: str
    prompt: str
    puzzle: Puzzle | None = None
    picture: Path | None = None

    def image(self) -> Image:
        """The first frame."""
        from PIL import Image

        if self.puzzle is not None:
            return Image.fromarray(self.puzzle.first_frame())
        if self.picture is None:
            raise BadBench(
                f"question '{self.name}' has no first frame; got none, allowed a puzzle or a picture; add one"
            )
        try:
            with Image.open(self.picture) as opened:
                return opened.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            small = "smaller " if isinstance(error, Image.DecompressionBombError) else ""
            raise BadBench(
                f"a first frame cannot be read; got '{self.picture}', allowed a {small}picture; check the file"
            ) from error

    def fingerprint(self) -> str:
        """sha256 of prompt and first frame: another puzzle under the same name is noticed by it."""
        return hashlib.sha256(f"{self.prompt}\n{image_sha256(self.image())}".encode()).hexdigest()


def read_tasks(words: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Read ``TASK`` (all of its variants) and ``TASK:VARIANT``; without any, everything there is.

    Raises
    ------
    BadBench
        If there is no such task or variant, or one comes twice.

    Examples
    --------
    >>> read_tasks(["maze", "fork:cue"])
    [('maze', 'plain'), ('maze', 'large'), ('maze', 'long'), ('fork', 'cue')]
    """
    read: list[tuple[str, str]] = []
    for word in words or TASKS:
        task, colon, variant = word.partition(":")
        _check_name("task", task, TASKS)
        if colon:
            _check_name(f"variant of {task}", variant, TASKS[task].variants)
        read += [(task, name) for name in ([variant] if colon else TASKS[task].variants)]
    twice = next((pair for pair, count in Counter(read).items() if count > 1), None)
    if twice:
        raise BadBench(
            f"a task is named more than once; got {':'.join(twice)} in {','.join(words)}, allowed each once; remove one"
        )
    return read


def puzzle_questions(tasks: Sequence[str] = (), n: int = 16, size: int | None = None) -> list[Question]:
    """The first ``n`` unseen puzzles of each variant.

    Parameters
    ----------
    tasks : sequence of str
        See ``read_tasks``.
    n : int
    size : int, optional
        Cells along a side; by default drawn as the variant has it.

    Returns
    -------
    list of Question

    Raises
    ------
    BadBench, BadPuzzle
        If there are no such puzzles.

    Examples
    --------
    >>> [question.name for question in puzzle_questions(["fork:cue"], n=2)]
    ['In-Domain/fork-cue/00000', 'In-Domain/fork-cue/00001']
    """
    return questions_of(unseen(task, i, variant, size) for task, variant in read_tasks(tasks) for i in range(n))


def questions_of(puzzles: Iterable[Puzzle | Question]) -> list[Question]:
    """Puzzles of any origin as questions, numbered by task and variant in their order; questions stay what they are.

    Raises
    ------
    BadBench
        If there is none, or two have the same name.

    Examples
    --------
    >>> from dit_lens.puzzles import make_puzzle
    >>> questions_of([make_puzzle("maze", seed=7, size=3)])[0].label
    'maze-3x3'
    """
    counts: Counter[tuple[str, str]] = Counter()
    questions: list[Question] = []
    for puzzle in puzzles:
        if isinstance(puzzle, Question):
            questions.append(puzzle)
            continue
        kind = (puzzle.task, puzzle.variant)
        questions.append(_question(puzzle, counts[kind]))
        counts[kind] += 1
    if not questions:
        raise BadBench("there is nothing to ask; got no puzzle, allowed one or more; add one")
    twice = next((name for name, count in Counter(each.name for each in questions).items() if count > 1), None)
    if twice:
        raise BadBench(f"two questions have the same name; got '{twice}', allowed each once; rename one")
    return questions


def _question(puzzle: Puzzle, index: int) -> Question:
    split = TASKS[puzzle.task].variants[puzzle.variant]
    name = f"{SPLIT_FOLDERS[split]}/{puzzle.task}-{puzzle.variant}/{index:05d}"
    return Question(name, puzzle.task, puzzle.variant, split, index, puzzle.label, puzzle.prompt, puzzle)


def _check_name(what: str, name: str, allowed: Iterable[str]) -> None:
    names = list(allowed)
    if name not in names:
        hint = close_match(name, names) or "; choose one of those"
        raise BadBench(f"unknown {what}; got {name!r}, allowed {', '.join(names)}{hint}")

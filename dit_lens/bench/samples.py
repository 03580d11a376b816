"""Questions from a folder in the layout of VBVR-Bench: ``{split}/{task}/{id}/first_frame.png`` with ``prompt.txt``.

The level of splits may be missing. Nothing else in the folder is read: there is no rule here that could score an
answer, so the videos go out in the tree that VBVR-EvalKit reads, and its scores come back by ``read_scores``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dit_lens.bench.errors import BadBench
from dit_lens.bench.questions import Question, questions_of
from dit_lens.errors import close_match
from dit_lens.puzzles.contract import Split

__all__ = ["folder_questions", "plain_task", "split_named"]

_FIRST_FRAME, _PROMPT = "first_frame.png", "prompt.txt"
_ENDING = "_data-generator"


def folder_questions(folder: str | Path, tasks: Sequence[str] = (), n: int | None = None) -> list[Question]:
    """Every sample of a folder, in the order of their names and numbers; hidden folders are left out.

    Parameters
    ----------
    folder : str or pathlib.Path
    tasks : sequence of str
        Tasks to take, with or without the ending ``_data-generator``; all by default.
    n : int, optional
        So many of each task at most.

    Returns
    -------
    list of Question

    Raises
    ------
    BadBench
        If the folder holds no samples, one has no prompt or an empty one, or there is no such task.

    Examples
    --------
    >>> from dit_lens.puzzles import unseen, write_folder
    >>> folder = getfixture("tmp_path")
    >>> _ = write_folder([unseen("maze", 0), unseen("maze", 1)], folder)
    >>> [(question.name, question.task, question.split) for question in folder_questions(folder, n=1)]
    [('In-Domain/maze/00000', 'maze', 'in-domain')]
    """
    folder = Path(folder)
    found = (path for depth in (2, 3) for path in folder.glob("/".join(["*"] * depth + [_FIRST_FRAME])))
    samples = [path for path in found if not _is_hidden(path.relative_to(folder))]
    if not samples:
        reason = "no such samples in it" if folder.is_dir() else "no such folder"
        raise BadBench(
            f"the folder holds nothing to ask; got '{folder}' ({reason}), allowed {{split}}/{{task}}/{{id}}/"
            f"{_FIRST_FRAME} with {_PROMPT} beside it; check the path"
        )
    places = sorted((path.parent.relative_to(folder) for path in samples), key=_in_order)
    _check_tasks(tasks, {plain_task(place.parent.name) for place in places})
    wanted = {plain_task(task) for task in tasks}
    counts: Counter[Path] = Counter()
    questions: list[Question] = []
    for place in places:
        if (wanted and plain_task(place.parent.name) not in wanted) or counts[place.parent] == n:
            continue
        questions.append(_question(folder, place, counts[place.parent]))
        counts[place.parent] += 1
    return questions_of(questions)


def plain_task(name: str) -> str:
    """The name of a task without the ending that its folder may have.

    Examples
    --------
    >>> plain_task("O-39_maze_data-generator")
    'O-39_maze'
    """
    return name.removesuffix(_ENDING)


def split_named(name: str) -> Split | None:
    """The split that a folder or a file of scores calls by some name.

    Examples
    --------
    >>> split_named("In-Domain_50"), split_named("Out_of_Domain"), split_named("maze")
    ('in-domain', 'out-of-domain', None)
    """
    letters = re.sub(r"[^a-z]", "", name.lower())
    if letters.startswith("outofdomain"):
        return "out-of-domain"
    return "in-domain" if letters.startswith("indomain") else None


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _in_order(place: Path) -> tuple[str, int, str]:
    """Numbers as numbers, whether or not they have zeros in front, and before names."""
    number = int(place.name) if re.fullmatch(r"[0-9]{1,18}", place.name) else 10**18
    return place.parent.as_posix(), number, place.name


def _question(folder: Path, place: Path, index: int) -> Question:
    sample = folder / place
    try:
        prompt = (sample / _PROMPT).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "it cannot be read"
        raise BadBench(
            f"a sample has no prompt; got '{sample / _PROMPT}' ({reason}), allowed a text file beside {_FIRST_FRAME}; "
            f"add it, or remove the sample"
        ) from error
    if not prompt:
        raise BadBench(
            f"a sample has no prompt; got '{sample / _PROMPT}' (it is empty), allowed a text; write one, or remove the "
            f"sample"
        )
    number = f"{int(place.name):05d}" if re.fullmatch(r"[0-9]{1,9}", place.name) else place.name
    return Question(
        name=(place.parent / number).as_posix(),
        task=plain_task(place.parent.name),
        variant="",
        split=split_named(place.parts[0]) if len(place.parts) == 3 else None,
        index=index,
        label=f"{plain_task(place.parent.name)}-{number}",
        prompt=prompt,
        picture=sample / _FIRST_FRAME,
    )


def _check_tasks(tasks: Sequence[str], there: set[str]) -> None:
    for task in tasks:
        if plain_task(task) not in there:
            hint = close_match(task, there) or "; choose one of those"
            raise BadBench(f"the folder has no such task; got {task!r}, allowed {', '.join(sorted(there))}{hint}")

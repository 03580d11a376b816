"""The tasks by name, and the two ways to a puzzle: by any seed, or by number among those kept for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from dit_lens.errors import close_match
from dit_lens.puzzles.contract import UNSEEN_SEEDS, Puzzle, Task
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.grounding import GROUNDING
from dit_lens.puzzles.maze import FORK, MAZE
from dit_lens.puzzles.occlusion import OCCLUSION

__all__ = ["TASKS", "make_puzzle", "unseen"]

_T = TypeVar("_T")

TASKS: Mapping[str, Task] = {task.name: task for task in (MAZE, FORK, GROUNDING, OCCLUSION)}


def make_puzzle(task: str, seed: int, variant: str | None = None, size: int | None = None) -> Puzzle:
    """Make one puzzle, always the same for the same arguments.

    Parameters
    ----------
    task : str
        ``maze``, ``fork``, ``grounding`` or ``occlusion``.
    seed : int
        Any non-negative integer.
    variant : str, optional
        Defaults to the first of the task's.
    size : int, optional
        Cells along a side, for tasks that have sizes; drawn from the seed if not given.

    Returns
    -------
    Puzzle

    Raises
    ------
    BadPuzzle
        For a task, variant, size or seed that does not exist.

    Examples
    --------
    >>> make_puzzle("maze", seed=1, size=4).label
    'maze-4x4'
    """
    chosen = _one_of("task", task, TASKS)
    variant = chosen.default if variant is None else variant
    _one_of(f"variant of {task}", variant, chosen.variants)
    if seed < 0:
        raise BadPuzzle(f"a puzzle seed is 0 or more; got {seed}; choose another")
    sizes = chosen.sizes.get(variant, ())
    if size is not None and size not in sizes:
        allowed = ", ".join(map(str, sizes)) or "none, this puzzle has no sizes"
        raise BadPuzzle(f"a {task} ('{variant}') has no such size; got {size}, allowed {allowed}; choose one of them")
    return chosen.make(seed, variant, size)


def unseen(task: str, index: int, variant: str | None = None, size: int | None = None) -> Puzzle:
    """Puzzle number ``index`` of those that are kept for evaluation.

    Examples
    --------
    >>> unseen("fork", 0).seed == UNSEEN_SEEDS
    True
    """
    return make_puzzle(task, UNSEEN_SEEDS + index, variant, size)


def _one_of(what: str, name: str, allowed: Mapping[str, _T]) -> _T:
    if name not in allowed:
        raise BadPuzzle(f"unknown {what}; got {name!r}, allowed {', '.join(allowed)}{close_match(name, allowed)}")
    return allowed[name]

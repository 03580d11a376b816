"""What a puzzle can be labelled by, one value for the whole trace.

Everything of ``Puzzle.parameters`` that is one number, text or truth value has its name there. What is asked most often
is put into words here: where an answer lies, where a route turns, and what the video answers in the end, right or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dit_lens.probing import BadParams
from dit_lens.puzzles import GroundingPuzzle, Maze
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dit_lens.puzzles import Puzzle

__all__ = ["fact_of", "needs_video"]

Fact = str | int | float | bool | None
_MIDDLE = 32  # pixels: half of the canvas
_MOVES = {(-1, 0): "up", (1, 0): "down", (0, -1): "left", (0, 1): "right"}
_OF_VIDEO = ("given", "given_move", "solved")


def needs_video(name: str) -> bool:
    """Whether a label is read from the decoded video.

    Examples
    --------
    >>> needs_video("given"), needs_video("answer")
    (True, False)
    """
    return name in _OF_VIDEO


def fact_of(puzzle: Puzzle, name: str, video: npt.NDArray[np.uint8] | None = None) -> Fact:
    """One label of a puzzle.

    Parameters
    ----------
    puzzle : Puzzle
    name : str
    video : numpy.ndarray of uint8, optional
        The decoded video, for labels that are read from it; None where the video gives no whole answer.

    Returns
    -------
    str, int, float, bool or None

    Raises
    ------
    BadParams
        If the puzzle has no such label.

    Examples
    --------
    >>> from dit_lens.puzzles import unseen
    >>> puzzle = unseen("grounding", 3)
    >>> fact_of(puzzle, "answer") == f"{fact_of(puzzle, 'colour')} {fact_of(puzzle, 'shape')}"
    True
    """
    if name in _OF_VIDEO and video is not None:
        return _of_video(puzzle, name, video)
    facts = _facts(puzzle)
    if name not in facts:
        known = [*facts, *(each for each in _OF_VIDEO if each != "given_move" or isinstance(puzzle, Maze)), "mask:NAME"]
        message = f"a {puzzle.label} has no label '{name}'; got '{name}', allowed {', '.join(known)}"
        raise BadParams(message + (close_match(name, known) or "; choose one of them, or give linear.csv=FILE"))
    return facts[name]()


def _facts(puzzle: Puzzle) -> dict[str, Callable[[], Fact]]:
    held = {name: value for name, value in puzzle.parameters.items() if isinstance(value, (str, int, float, bool))}
    facts: dict[str, Callable[[], Fact]] = {name: lambda value=value: value for name, value in held.items()}  # type: ignore[misc]
    if puzzle.answer is not None:
        facts["answer"] = lambda: puzzle.answer
    if isinstance(puzzle, GroundingPuzzle):
        named, (y, x) = puzzle.named, puzzle.named.place
        centre = 8  # pixels from the corner of a place to its middle
        facts |= {
            "colour": lambda: named.colour,
            "shape": lambda: named.shape,
            "row": lambda: "upper" if y + centre < _MIDDLE else "lower",
            "column": lambda: "left" if x + centre < _MIDDLE else "right",
        }
    if isinstance(puzzle, Maze):
        facts |= {
            "first_move": lambda: _move(puzzle, 0),
            "last_move": lambda: _move(puzzle, len(puzzle.route) - 2),
        }
        if puzzle.moves:
            facts["move"] = lambda: puzzle.moves[puzzle.drawn]
    return facts


def _move(maze: Maze, at: int) -> str:
    (a, b), (c, d) = maze.route[at], maze.route[at + 1]
    return _MOVES[c - a, d - b]


def _of_video(puzzle: Puzzle, name: str, video: npt.NDArray[np.uint8]) -> Fact:
    score = puzzle.score(video)
    if name == "solved":
        return score.solved
    if name == "given" or score.answer is None:
        return score.answer
    if not isinstance(puzzle, Maze) or not puzzle.moves:
        raise BadParams(
            f"a {puzzle.label} has no label 'given_move'; got one route, allowed a fork; take linear.label=given"
        )
    return puzzle.moves[int(score.answer.removeprefix("route-"))]

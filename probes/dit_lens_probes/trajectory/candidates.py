"""What a decoded video says of a puzzle: the answer that is read, and the candidates that are seen at once.

Only some puzzles know their candidates: of a fork they are its routes, which are seen in the last frame, and the clip
of each route is an end state. Of all others nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from dit_lens.puzzles import Maze, Puzzle, routes_visible
from dit_lens_probes.trajectory.readings import Reading

__all__ = ["Seen", "clips", "count_visible", "look"]

Video = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """What was seen in one decoded video.

    Attributes
    ----------
    reading : Reading
    score : float
        From 0 to 1.
    visible : mapping of str to float
        By candidate how strongly it is there, from 0 to 1; empty where the puzzle does not know its candidates.
    """

    reading: Reading
    score: float
    visible: Mapping[str, float] = field(default_factory=dict)


def look(puzzle: Puzzle, video: Video) -> Seen:
    """Score a video, and look for the candidates.

    Parameters
    ----------
    puzzle : Puzzle
    video : numpy.ndarray of uint8, shape (F, 64, 64, 3)

    Returns
    -------
    Seen

    Raises
    ------
    BadPuzzle
        If the rules cannot read the video.

    Examples
    --------
    >>> from dit_lens.puzzles import unseen
    >>> fork = unseen("fork", 0)
    >>> seen = look(fork, fork.clip())
    >>> seen.reading.answer == fork.parameters["drawn"], count_visible(seen.visible, 0.2)
    (True, 1.0)
    """
    score = puzzle.score(video)
    visible = routes_visible(puzzle, video[-1]) if isinstance(puzzle, Maze) and len(puzzle.routes) > 1 else {}
    return Seen(Reading(score.answer, score.solved), float(score.overall), visible)


def count_visible(visible: Mapping[str, float], least: float) -> float:
    """How many candidates are seen at once; NaN where they are not known.

    Examples
    --------
    >>> count_visible({"route-0": 0.5, "route-1": 0.4}, 0.2), count_visible({}, 0.2)
    (2.0, nan)
    """
    return float(sum(value >= least for value in visible.values())) if visible else float("nan")


def clips(puzzle: Puzzle, final: str | None) -> dict[str, Video]:
    """Clips of two candidates: the final answer, and the first other one; empty where they are not known.

    Without a final answer they are the first two.

    Parameters
    ----------
    puzzle : Puzzle
    final : str or None

    Returns
    -------
    dict of str to numpy.ndarray of uint8
        In this order.

    Examples
    --------
    >>> from dit_lens.puzzles import unseen
    >>> list(clips(unseen("fork", 0), "route-1")), clips(unseen("occlusion", 0), None)
    (['route-1', 'route-0'], {})
    """
    if not isinstance(puzzle, Maze) or len(puzzle.routes) < 2:
        return {}
    names = [f"route-{number}" for number in range(len(puzzle.routes))]
    names.sort(key=lambda name: name != final)  # stable: the others stay in their order
    return {name: np.asarray(replace(puzzle, drawn=int(name.split("-")[1])).clip()) for name in names[:2]}

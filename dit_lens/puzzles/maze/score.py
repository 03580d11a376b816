"""Score a decoded video by rule: a painted path must join start and goal through passages, and spoil nothing.

Only pixels are read, from one frame, by default the last; every pixel is given its nearest colour. The rule is strict
about routes, not about shades.

- ``path``: the largest share of a route's passages that are painted, from the middle of one cell to that of the next.
- ``valid``: the share of the painted borders that are passages.
- ``single``: the share of the paint that lies on the best route, where it does not cross a wall.
- ``walls``: one less the walls that are gone or new, as a share of those that were there.
- ``marks``: start and goal are in their places, and nowhere else.
- ``kept``: the floor is still white and the cue still there, whatever the other dimensions look at.
- ``choice``: how far the route that was asked for is ahead of any other, where they differ.

Nothing is won where nothing is painted, or everything: then ``path``, ``valid``, ``single`` and ``choice`` are 0.

Shapes: H height, W width, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dit_lens.puzzles.canvas import Frame, classify
from dit_lens.puzzles.contract import Score
from dit_lens.puzzles.maze.paint import Paint
from dit_lens.puzzles.maze.still import kept_marks, kept_rest, kept_walls
from dit_lens.puzzles.video import check_video

if TYPE_CHECKING:
    from dit_lens.puzzles.maze.puzzle import Maze

__all__ = ["CHOICE_WEIGHTS", "WEIGHTS", "score_maze"]

WEIGHTS = {"path": 0.4, "single": 0.3, "valid": 0.2, "walls": 0.04, "marks": 0.03, "kept": 0.03}
CHOICE_WEIGHTS = {**WEIGHTS, "choice": 1.0}
"""Where a route is asked for, taking it is half of the answer."""


def score_maze(maze: Maze, video: Frame, frame: int = -1) -> Score:
    """Score one decoded video.

    Parameters
    ----------
    maze : Maze
    video : numpy.ndarray of uint8, shape (F, 64, 64, 3)
    frame : int
        Which frame of the video holds the answer.

    Returns
    -------
    Score
        ``solved`` if every dimension is 1; ``answer`` names the one route that is painted from end to end.

    Raises
    ------
    BadPuzzle
        If it is no video of the canvas, or has no such frame.

    Examples
    --------
    >>> from dit_lens.puzzles.maze import make_maze
    >>> maze = make_maze(seed=3)
    >>> score_maze(maze, maze.clip()).solved
    True
    >>> score_maze(maze, maze.clip()[:1]).overall  # a video in which nothing happens
    0.1
    """
    check_video(video, frame)
    classes_HW = classify(video[frame])
    paint = Paint(maze, classes_HW)
    dimensions = {
        "path": paint.path,
        "single": paint.single,
        "valid": paint.valid,
        "walls": kept_walls(maze, classes_HW),
        "marks": kept_marks(maze, classes_HW),
        "kept": kept_rest(maze, video[frame], classes_HW),
    }
    if maze.asked:
        dimensions["choice"] = paint.choice
    solved = all(value == 1 for value in dimensions.values())
    return Score.of(dimensions, CHOICE_WEIGHTS, solved, paint.answer)

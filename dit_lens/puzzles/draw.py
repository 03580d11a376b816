"""Draw a maze and its answer as a clip of 17 frames of 64 x 64 pixels.

A cell is 8 x 8 pixels: exactly one latent token of a video autoencoder that shrinks space by 8. Walls are black lines
of 2 pixels centred on the border of two cells. Every colour is a corner of the RGB cube: an autoencoder that overshoots
is clipped to the right value. The path grows from start to goal by whole cells and is complete three quarters through
the clip, so that the last latent frame holds the finished answer still.

Shapes: F frames, H height, W width, 3 colours.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dit_lens.puzzles.maze import CANVAS_CELLS, Cell, Maze

__all__ = ["CELL_PIXELS", "FRAMES", "PALETTE", "PICTURE_PIXELS", "draw_clip", "draw_frame"]

CELL_PIXELS = 8
PICTURE_PIXELS = CANVAS_CELLS * CELL_PIXELS
FRAMES = 17
LAST_GROWING_FRAME = 12
PALETTE: dict[str, tuple[int, int, int]] = {
    "floor": (255, 255, 255),
    "wall": (0, 0, 0),
    "start": (0, 255, 0),
    "goal": (255, 0, 0),
    "path": (0, 0, 255),
}
_PATH_INSET = 2  # the path is 4 pixels wide
_MARK_INSET = 1  # start and goal are squares of 6 pixels

Frame = npt.NDArray[np.uint8]


def draw_frame(maze: Maze, route: tuple[Cell, ...] = ()) -> Frame:
    """Draw the maze with ``route``, or a beginning of it, painted in.

    Returns
    -------
    numpy.ndarray of uint8, shape (64, 64, 3)

    Examples
    --------
    >>> from dit_lens.puzzles import make_maze
    >>> draw_frame(make_maze(seed=0)).shape
    (64, 64, 3)
    """
    frame_HW3 = np.full((PICTURE_PIXELS, PICTURE_PIXELS, 3), PALETTE["floor"], dtype=np.uint8)
    for cell in _cells(maze):
        _draw_walls(frame_HW3, maze, cell)
    for a, b in pairwise(route):
        _fill(frame_HW3, min(a, b), max(a, b), _PATH_INSET, "path")
    _fill(frame_HW3, maze.start, maze.start, _MARK_INSET, "start")
    _fill(frame_HW3, maze.goal, maze.goal, _MARK_INSET, "goal")
    return frame_HW3


def draw_clip(maze: Maze, route: tuple[Cell, ...] | None = None) -> Frame:
    """Draw the whole answer: the path grows from the start until it reaches the goal.

    Parameters
    ----------
    maze : Maze
    route : tuple of cells, optional
        Defaults to ``maze.route``. An empty route draws the clip in which nothing happens.

    Returns
    -------
    numpy.ndarray of uint8, shape (17, 64, 64, 3)

    Examples
    --------
    >>> from dit_lens.puzzles import make_maze
    >>> draw_clip(make_maze(seed=0)).shape
    (17, 64, 64, 3)
    """
    route = maze.route if route is None else route
    steps = max(len(route) - 1, 0)
    shown = [min(steps, steps * frame // LAST_GROWING_FRAME) for frame in range(FRAMES)]
    return np.stack([draw_frame(maze, route[: count + 1]) for count in shown])


def _cells(maze: Maze) -> list[Cell]:
    rows, cols = (range(first, first + maze.size) for first in maze.origin)
    return [(row, col) for row in rows for col in cols]


def _draw_walls(frame_HW3: Frame, maze: Maze, cell: Cell) -> None:
    row, col = cell
    top, left = row * CELL_PIXELS, col * CELL_PIXELS
    bottom, right = top + CELL_PIXELS, left + CELL_PIXELS
    borders = {
        (row - 1, col): (top, top, left, right),
        (row + 1, col): (bottom, bottom, left, right),
        (row, col - 1): (top, bottom, left, left),
        (row, col + 1): (top, bottom, right, right),
    }
    for other, (y0, y1, x0, x1) in borders.items():
        if (min(cell, other), max(cell, other)) not in maze.passages:
            frame_HW3[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = PALETTE["wall"]


def _fill(frame_HW3: Frame, first: Cell, last: Cell, inset: int, colour: str) -> None:
    (y0, x0), (y1, x1) = ([i * CELL_PIXELS for i in cell] for cell in (first, last))
    far = CELL_PIXELS - inset
    frame_HW3[y0 + inset : y1 + far, x0 + inset : x1 + far] = PALETTE[colour]

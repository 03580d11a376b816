"""Draw a maze and its answer as a clip, and say which pixels are what.

Walls are black lines of 2 pixels centred on the border of two cells, the path is blue and 4 pixels wide, start and goal
are a green and a red square of 6 pixels, and the cue of a fork is a yellow one, over which the path is drawn. The path
grows from start to goal by whole cells and is complete three quarters through the clip, so that the last latent frame
holds the finished answer still.

Shapes: F frames, H height, W width, 3 colours.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dit_lens.puzzles.canvas import (
    CELL_PIXELS,
    COLOURS,
    FRAMES,
    LAST_GROWING_FRAME,
    PICTURE_PIXELS,
    Frame,
    Mask,
    blank,
    classify,
    colour_index,
)
from dit_lens.puzzles.maze.routes import Cell, Route, own_cells, route_name

if TYPE_CHECKING:
    from dit_lens.puzzles.maze.puzzle import Maze

__all__ = ["INSIDE", "MIDDLE", "draw_clip", "draw_frame", "draw_masks"]

_PATH_INSET = 2  # the path is 4 pixels wide
_MARK_INSET = 1  # start, goal and cue are squares of 6 pixels
MIDDLE = slice(_PATH_INSET, CELL_PIXELS - _PATH_INSET)
"""The part of a cell's height and width where a path runs."""
INSIDE = slice(_MARK_INSET, CELL_PIXELS - _MARK_INSET)
"""A cell's height and width without its walls."""


def draw_frame(maze: Maze, route: Route = ()) -> Frame:
    """Draw the maze with ``route``, or a beginning of it, painted in.

    Returns
    -------
    numpy.ndarray of uint8, shape (64, 64, 3)

    Examples
    --------
    >>> from dit_lens.puzzles.maze import make_maze
    >>> draw_frame(make_maze(seed=0)).shape
    (64, 64, 3)
    """
    frame_HW3 = blank()
    for cell in _cells(maze):
        _draw_walls(frame_HW3, maze, cell)
    if maze.cue is not None:
        _fill(frame_HW3, maze.cue, maze.cue, _MARK_INSET, "yellow")
    for a, b in pairwise(route):
        _fill(frame_HW3, min(a, b), max(a, b), _PATH_INSET, "blue")
    _fill(frame_HW3, maze.start, maze.start, _MARK_INSET, "green")
    _fill(frame_HW3, maze.goal, maze.goal, _MARK_INSET, "red")
    return frame_HW3


def draw_clip(maze: Maze, route: Route | None = None) -> Frame:
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
    >>> from dit_lens.puzzles.maze import make_maze
    >>> draw_clip(make_maze(seed=0)).shape
    (17, 64, 64, 3)
    """
    route = maze.route if route is None else route
    steps = max(len(route) - 1, 0)
    shown = [min(steps, steps * frame // LAST_GROWING_FRAME) for frame in range(FRAMES)]
    drawn = {count: draw_frame(maze, route[: count + 1]) for count in set(shown)}
    return np.stack([drawn[count] for count in shown])


def draw_masks(maze: Maze) -> dict[str, Mask]:
    """Where things are in the clip, bool (17, 64, 64) by name."""
    classes_FHW = classify(draw_clip(maze))
    still_FHW = np.broadcast_to(classes_FHW[0], classes_FHW.shape)
    masks = {
        "foreground": classes_FHW != colour_index("white"),
        "path": classes_FHW == colour_index("blue"),
        "walls": classes_FHW == colour_index("black"),
        "marks": np.isin(classes_FHW, [colour_index("green"), colour_index("red")]),
    }
    if maze.cue is not None:
        masks["cue"] = still_FHW == colour_index("yellow")
    if len(maze.routes) > 1:
        masks |= {route_name(i): _middles(cells) for i, cells in enumerate(own_cells(maze.routes))}
    return masks


def _middles(cells: Route) -> Mask:
    mask_HW = np.zeros((PICTURE_PIXELS, PICTURE_PIXELS), dtype=np.bool_)
    for row, col in cells:
        mask_HW[row * CELL_PIXELS :, col * CELL_PIXELS :][MIDDLE, MIDDLE] = True
    return np.repeat(mask_HW[None], FRAMES, axis=0)


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
            frame_HW3[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = COLOURS["black"]


def _fill(frame_HW3: Frame, first: Cell, last: Cell, inset: int, colour: str) -> None:
    (y0, x0), (y1, x1) = ([i * CELL_PIXELS for i in cell] for cell in (first, last))
    far = CELL_PIXELS - inset
    frame_HW3[y0 + inset : y1 + far, x0 + inset : x1 + far] = COLOURS[colour]

"""Which routes a frame shows, and how strongly: made for pictures in which several are there at once, each faint.

Before noise has decided between two equally good routes, an estimate of the clean video is close to their mean: both
are painted, in half a shade. A verdict by nearest colour sees nothing there; this reads how blue the cells are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dit_lens.puzzles.canvas import CELL_PIXELS, Frame
from dit_lens.puzzles.maze.draw import MIDDLE
from dit_lens.puzzles.maze.routes import Cell, own_cells, route_name

if TYPE_CHECKING:
    from dit_lens.puzzles.maze.puzzle import Maze

__all__ = ["routes_visible"]


def routes_visible(maze: Maze, frame: Frame) -> dict[str, float]:
    """How blue the cells are that a route shares with no other, from 0 (floor) to 1 (paint), by route.

    A cue is left out: its cell has a colour of its own.

    Parameters
    ----------
    maze : Maze
    frame : numpy.ndarray of uint8, shape (64, 64, 3)

    Returns
    -------
    dict of str to float

    Examples
    --------
    >>> from dit_lens.puzzles.maze import draw_frame, make_maze
    >>> fork = make_maze(seed=0, task="fork")
    >>> one, other = (draw_frame(fork, route).astype(float) for route in fork.routes)
    >>> {name: round(shown, 1) for name, shown in routes_visible(fork, ((one + other) / 2).astype("uint8")).items()}
    {'route-0': 0.5, 'route-1': 0.5}
    """
    cells = [[cell for cell in own if cell != maze.cue] for own in own_cells(maze.routes)]
    return {route_name(i): float(np.mean([_blue(frame, cell) for cell in own])) for i, own in enumerate(cells)}


def _blue(frame_HW3: Frame, cell: Cell) -> float:
    """How far the middle of a cell is on the way from white to blue; no other colour is on it."""
    row, col = (i * CELL_PIXELS for i in cell)
    red, green, blue = frame_HW3[row:, col:][MIDDLE, MIDDLE].reshape(-1, 3).mean(0) / 255
    return float(max(blue - max(red, green), 0.0))

"""What must stay as it was beside the path: walls, start and goal, floor and cue.

Each pixel that changes has one dimension that looks at it: black is a wall, green and red are marks, blue is paint, and
everything else, yellow and purple as well as floor that is no longer white, is floor that was not kept.

Shapes: H height, W width, 3 colours; R rows and C columns of cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from dit_lens.puzzles.canvas import Classes, Frame, Mask, classify, colour_index
from dit_lens.puzzles.floor import FEW_PIXELS, tinted
from dit_lens.puzzles.maze.draw import INSIDE, MIDDLE, draw_frame
from dit_lens.puzzles.maze.pixels import PAINTED, STRAY, at, border_shares, cell_pixels, cell_shares

if TYPE_CHECKING:
    from dit_lens.puzzles.maze.puzzle import Maze

__all__ = ["kept_marks", "kept_rest", "kept_walls"]

_WALLS_LEFT = 0.9  # share of the first frame's wall pixels that must still be wall, whatever each border shows
_CUE_LEFT = 3  # pixels of a cue that must be in sight beside the path; one that bends or branches leaves four or more
_STRANGE = [colour_index("yellow"), colour_index("purple")]
_LINE: Mask = np.ones((2, 2), dtype=np.bool_)  # a blur makes purple of blue beside red, but only one pixel wide


def kept_walls(maze: Maze, classes_HW: Classes) -> float:
    """One less the walls that are gone or new, as a share of those that were there.

    Paint over a wall is a path that crosses it, not a wall that is gone.
    """
    before_HW = classify(draw_frame(maze)) == colour_index("black")
    black_HW, blue_HW = (classes_HW == colour_index(name) for name in ("black", "blue"))
    shares, covered = border_shares(black_HW, MIDDLE), border_shares(black_HW | blue_HW, MIDDLE)
    walls = {border for border, share in border_shares(before_HW, MIDDLE).items() if share > PAINTED}
    gone = sum(covered[border] <= PAINTED for border in walls)
    new = sum(share > PAINTED for border, share in shares.items() if border not in walls)
    blots = int((cell_shares(black_HW & ~before_HW, INSIDE) >= STRAY).sum())
    kept = float((black_HW | blue_HW)[before_HW].mean())
    return max(0.0, min(1 - (gone + new + blots) / len(walls), 1 if kept >= _WALLS_LEFT else kept))


def kept_marks(maze: Maze, classes_HW: Classes) -> float:
    """A quarter each for start in place, goal in place, no second start and no second goal."""
    right = []
    for cell, colour in ((maze.start, "green"), (maze.goal, "red")):
        shares_RC = cell_shares(classes_HW == colour_index(colour), INSIDE)
        right.append(at(shares_RC, cell) > PAINTED)
        shares_RC[cell] = 0
        right.append(bool(shares_RC.max() < STRAY))
    return sum(right) / len(right)


def kept_rest(maze: Maze, frame_HW3: Frame, classes_HW: Classes) -> float:
    """The share of the floor that is still floor, or has become what others look at; with a cue, half of it the cue."""
    strange_HW = np.isin(classes_HW, _STRANGE)
    if maze.cue is not None:
        strange_HW &= ~cell_pixels(maze.cue, slice(None))
    strange_HW = ndimage.binary_opening(strange_HW, _LINE)
    spoilt_HW = strange_HW | tinted(frame_HW3, classes_HW == colour_index("white"))
    floor_HW = classify(draw_frame(maze)) == colour_index("white")
    spoilt = int(spoilt_HW.sum())
    floor = 1.0 if spoilt <= FEW_PIXELS else max(0.0, 1 - spoilt / int(floor_HW.sum()))
    return floor if maze.cue is None else (floor + _cue(maze.cue, classes_HW)) / 2


def _cue(cell: tuple[int, int], classes_HW: Classes) -> float:
    """Whether some of the cue is in sight on the sides of a path over it."""
    sides_HW = cell_pixels(cell, INSIDE) & ~cell_pixels(cell, MIDDLE)
    return float((sides_HW & (classes_HW == colour_index("yellow"))).sum() >= _CUE_LEFT)

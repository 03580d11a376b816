"""How much of every cell, and of every border of two cells, a mask covers.

Shapes: H height, W width; R rows and C columns of cells, y and x the pixels of one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dit_lens.puzzles.canvas import CELL_PIXELS, PICTURE_PIXELS, Mask
from dit_lens.puzzles.maze.routes import Cell, Passage

__all__ = ["PAINTED", "STRAY", "Shares", "at", "border_shares", "cell_pixels", "cell_shares"]

PAINTED = 0.5
"""Share of the middle from which a place on the route counts as painted, and a wall as there."""
STRAY = 1 / 4
"""Share of a cell or border from which paint off the route counts: a line of 2 pixels is enough."""

Shares = npt.NDArray[np.float64]


def cell_shares(mask_HW: Mask, part: slice) -> Shares:
    """The share of a part of every cell that the mask covers, by row and column.

    Examples
    --------
    >>> cell_shares(np.ones((16, 8), dtype=bool), slice(2, 6)).tolist()
    [[1.0], [1.0]]
    """
    return np.asarray(_cells(mask_HW)[:, :, part, part].mean((2, 3)))


def border_shares(mask_HW: Mask, part: slice) -> dict[Passage, float]:
    """The share of the pixels on both sides of every border, in a part of its length, that the mask covers.

    The edges of the picture are borders to a cell beyond, of which only the inner side is there to be read.

    Examples
    --------
    >>> list(border_shares(np.zeros((8, 8), dtype=bool), slice(None)))
    [((0, -1), (0, 0)), ((0, 0), (0, 1)), ((-1, 0), (0, 0)), ((0, 0), (1, 0))]
    """
    cells_RCyx = _cells(mask_HW)
    right = _between(cells_RCyx[..., part, 0], cells_RCyx[..., part, -1], axis=1)
    below = _between(cells_RCyx[..., 0, part], cells_RCyx[..., -1, part], axis=0)
    shares = {((row, col - 1), (row, col)): float(share) for (row, col), share in np.ndenumerate(right)}
    return shares | {((row - 1, col), (row, col)): float(share) for (row, col), share in np.ndenumerate(below)}


def cell_pixels(cell: Cell, part: slice) -> Mask:
    """A part of the height and width of one cell, bool (64, 64).

    Examples
    --------
    >>> int(cell_pixels((0, 1), slice(2, 6)).sum())
    16
    """
    mask_HW = np.zeros((PICTURE_PIXELS, PICTURE_PIXELS), dtype=np.bool_)
    row, col = (i * CELL_PIXELS for i in cell)
    mask_HW[row : row + CELL_PIXELS, col : col + CELL_PIXELS][part, part] = True
    return mask_HW


def at(values_RC: npt.NDArray[np.generic], cell: Cell) -> float:
    """The value of a cell; 0 beyond the edge of the picture.

    Examples
    --------
    >>> at(np.ones((1, 1)), (0, 0)), at(np.ones((1, 1)), (0, -1))
    (1.0, 0.0)
    """
    rows, cols = values_RC.shape
    return float(values_RC[cell]) if 0 <= cell[0] < rows and 0 <= cell[1] < cols else 0.0


def _between(near_RCi: Mask, far_RCi: Mask, axis: int) -> Shares:
    """Mean over both sides of each border along an axis: the near side of a cell, the far side of the one before."""
    near_RC, far_RC = near_RCi.mean(2), far_RCi.mean(2)
    last, first = np.take(far_RC, [-1], axis), np.take(near_RC, [0], axis)
    before, after = np.concatenate([first, far_RC], axis), np.concatenate([near_RC, last], axis)
    return np.asarray((before + after) / 2)


def _cells(mask_HW: Mask) -> Mask:
    """The pixels of every cell: (row, column, y, x)."""
    rows, cols = (extent // CELL_PIXELS for extent in mask_HW.shape)
    return mask_HW.reshape(rows, CELL_PIXELS, cols, CELL_PIXELS).swapaxes(1, 2)

"""How much of every cell, and of every border of two cells, a mask covers.

Shapes: H height, W width; R rows and C columns of cells, y and x the pixels of one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dit_lens.puzzles.canvas import CELL_PIXELS, Mask
from dit_lens.puzzles.maze.routes import Passage

__all__ = ["Shares", "border_shares", "cell_shares"]

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

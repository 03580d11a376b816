"""From masks of pixels to tokens: which share of a token's pixels, over the frames of its latent frame, is in a mask.

A causal video autoencoder decodes latent frame 0 to one video frame and every other to the same number of frames. Which
pixels a token stands for follows from the two grids, so no size of a patch has to be known.

Shapes: F video frames, H, W pixels, f latent frames, y, x rows and columns of tokens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dit_lens.probing import BadParams
from dit_lens.puzzles import Maze
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens.puzzles import Puzzle

__all__ = ["as_answered", "puzzle_mask", "token_shares"]


def token_shares(mask_FHW: npt.NDArray[np.bool_], grid: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    """By latent frame, row and column of tokens, the share of pixels in the mask.

    Parameters
    ----------
    mask_FHW : numpy.ndarray of bool
    grid : tuple of int
        Latent frames, rows and columns of tokens.

    Returns
    -------
    numpy.ndarray of float64, shape ``grid``

    Raises
    ------
    BadParams
        If the grid does not divide the video.

    Examples
    --------
    >>> mask = np.zeros((5, 16, 16), dtype=bool)
    >>> mask[0, :8, :8] = mask[1:3, 8:, 8:] = True
    >>> token_shares(mask, (2, 2, 2)).tolist()
    [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.5]]]
    """
    frames, height, width = mask_FHW.shape
    latent, rows, columns = grid
    stride = (frames - 1) // (latent - 1) if latent > 1 else 1
    if height % rows or width % columns or (latent - 1) * stride + 1 != frames:
        message = f"a mask of {frames} frames of {height} x {width} pixels does not fit the tokens; got {latent} frames"
        raise BadParams(f"{message} of {rows} x {columns} tokens, allowed a grid that divides it; choose no mask")
    tiles = mask_FHW.reshape(frames, rows, height // rows, columns, width // columns)
    shares_Fyx = tiles.mean((2, 4))
    later = shares_Fyx[1:].reshape(latent - 1, stride, rows, columns).mean(1) if latent > 1 else shares_Fyx[1:]
    return np.concatenate([shares_Fyx[:1], later])


def puzzle_mask(puzzle: Puzzle, name: str, parameter: str) -> npt.NDArray[np.bool_]:
    """One mask of a puzzle.

    Raises
    ------
    BadParams
        If it has none of that name.

    Examples
    --------
    >>> from dit_lens.puzzles import unseen
    >>> puzzle_mask(unseen("grounding", 0), "mark", "linear.label").shape
    (17, 64, 64)
    """
    masks = puzzle.masks()
    if name not in masks:
        message = (
            f"{parameter} names a mask that {puzzle.label} does not have; got '{name}', allowed {', '.join(masks)}"
        )
        raise BadParams(message + (close_match(name, masks) or "; choose one of them"))
    return masks[name]


def as_answered(puzzle: Puzzle, video: npt.NDArray[np.uint8] | None) -> Puzzle:
    """A fork whose masks are those of the route that its video took; anything else as it is.

    Examples
    --------
    >>> from dit_lens.puzzles import unseen
    >>> fork = unseen("fork", 0)
    >>> other = replace(fork, drawn=1 - fork.drawn)
    >>> as_answered(fork, other.clip()).drawn == other.drawn
    True
    """
    if video is None or not isinstance(puzzle, Maze) or len(puzzle.routes) == 1:
        return puzzle
    answer = puzzle.score(video).answer
    return puzzle if answer is None else replace(puzzle, drawn=int(answer.removeprefix("route-")))

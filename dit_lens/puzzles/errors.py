"""The one error of this room."""

from __future__ import annotations

from dit_lens.errors import DitLensError

__all__ = ["BadPuzzle"]


class BadPuzzle(DitLensError, ValueError):
    """A puzzle that cannot be made, drawn or read.

    Examples
    --------
    >>> from dit_lens.puzzles import make_maze
    >>> try:
    ...     make_maze(seed=0, size=9)
    ... except BadPuzzle as error:
    ...     print(error)
    a maze has 3 to 7 cells a side; got 9; choose a size in that range
    """

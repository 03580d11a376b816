"""The one error of this room."""

from __future__ import annotations

from dit_lens.errors import DitLensError

__all__ = ["BadPuzzle"]


class BadPuzzle(DitLensError, ValueError):
    """A puzzle that cannot be made, drawn or read.

    Examples
    --------
    >>> from dit_lens.puzzles import make_puzzle
    >>> try:
    ...     make_puzzle("maze", seed=0, size=9)
    ... except BadPuzzle as error:
    ...     print(error)
    a maze ('plain') has no such size; got 9, allowed 3, 4, 5, 6, 7; choose one of them
    """

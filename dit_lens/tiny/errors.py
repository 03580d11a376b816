"""The one error of this room."""

from __future__ import annotations

from dit_lens.errors import DitLensError

__all__ = ["BadRecipe"]


class BadRecipe(DitLensError, ValueError):
    """A recipe that is unknown, or not the one of the run folder.

    Examples
    --------
    >>> issubclass(BadRecipe, ValueError)
    True
    """

"""What can go wrong in a notebook, as part of the one tree under ``DitLensError``."""

from __future__ import annotations

from dit_lens_stores.errors import DitLensError

__all__ = ["MissingWidgets"]


class MissingWidgets(DitLensError, ImportError):
    """The package that shows widgets is not installed.

    Examples
    --------
    >>> issubclass(MissingWidgets, ImportError)
    True
    """

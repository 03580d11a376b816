"""What can go wrong with a figure, as part of the one tree under ``DitLensError``; found before a file is written."""

from __future__ import annotations

from dit_lens_stores.errors import DitLensError

__all__ = ["BadFigure", "FigureError", "FigureInTheWay", "UnknownFigure"]


class FigureError(DitLensError):
    """Base of every error about a figure.

    Examples
    --------
    >>> issubclass(UnknownFigure, FigureError), FigureError.exit_code
    (True, 2)
    """


class UnknownFigure(FigureError, LookupError):
    """The result has no figure of that name.

    Examples
    --------
    >>> issubclass(UnknownFigure, LookupError)
    True
    """


class BadFigure(FigureError, ValueError):
    """A format, style or width that a figure cannot have, or a result whose figures nobody here can draw.

    Examples
    --------
    >>> issubclass(BadFigure, ValueError)
    True
    """


class FigureInTheWay(FigureError, FileExistsError):
    """Something that was not made as a figure lies where one should be saved; it was left untouched.

    Examples
    --------
    >>> issubclass(FigureInTheWay, FileExistsError)
    True
    """

"""Errors of the trace layer, in the one tree under ``DitLensError``.

Those with ``exit_code`` 2 are raised before anything is written: a wrong word, a selection out of range, a request
that the model cannot serve. ``IncompleteTrace`` and its children (``exit_code`` 3) end a run that could not be
trusted; they carry the addresses that they speak of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from dit_lens_stores.errors import DitLensError

if TYPE_CHECKING:
    from dit_lens.address import Address

__all__ = [
    "BadRequest",
    "BadSelection",
    "IncompleteTrace",
    "UnexpectedVisit",
    "UnknownCapture",
    "UnknownModel",
    "Untraceable",
]


class UnknownModel(DitLensError, LookupError):
    """No model of that name, or a pipeline that no adapter knows.

    Examples
    --------
    >>> UnknownModel.exit_code, issubclass(UnknownModel, LookupError)
    (2, True)
    """


class UnknownCapture(DitLensError, ValueError):
    """A capture names an unknown site or reduction, or cannot be read.

    Examples
    --------
    >>> issubclass(UnknownCapture, ValueError)
    True
    """


class BadSelection(DitLensError, ValueError):
    """A selection asks for a step, layer, branch, frame, token or expert that the run does not have.

    Examples
    --------
    >>> issubclass(BadSelection, ValueError)
    True
    """


class BadRequest(DitLensError, ValueError):
    """The model cannot run the generation that was asked for.

    Examples
    --------
    >>> issubclass(BadRequest, ValueError)
    True
    """


class Untraceable(DitLensError, RuntimeError):
    """The pipeline is in a state in which hooks would not see what the model computes.

    Examples
    --------
    >>> issubclass(Untraceable, RuntimeError)
    True
    """


class IncompleteTrace(DitLensError, RuntimeError):
    """A run ended and expected addresses were not recorded.

    Attributes
    ----------
    missing : tuple of Address
        All of them; the message names the first few.

    Examples
    --------
    >>> IncompleteTrace.exit_code, IncompleteTrace("nothing came").missing
    (3, ())
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, missing: Iterable[Address] = ()) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class UnexpectedVisit(IncompleteTrace):
    """The model came to an address a second time, or to one that the run should not have.

    Examples
    --------
    >>> UnexpectedVisit.exit_code
    3
    """

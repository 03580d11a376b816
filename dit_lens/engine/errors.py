"""Errors of the trace layer, in the one tree under ``DitLensError``.

Those with ``exit_code`` 2 are raised before anything is written: a wrong word, a selection out of range, a request
that the model cannot serve. ``IncompleteTrace`` and its children (``exit_code`` 3) end a run that could not be
trusted; they carry the addresses that they speak of. With ``exit_code`` 4 a run was refused because it would not
fit.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from dit_lens_stores.errors import DitLensError

if TYPE_CHECKING:
    from dit_lens.address import Address

__all__ = [
    "BadBlock",
    "BadEdit",
    "BadRequest",
    "BadSelection",
    "BadSize",
    "BeyondFloat16",
    "DiskFull",
    "DiskTooSmall",
    "FlowClosed",
    "IncompleteTrace",
    "MissedEdit",
    "OutOfOrder",
    "OverBudget",
    "UnexpectedVisit",
    "UnknownCapture",
    "UnknownModel",
    "UnsupportedNNsight",
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


class BadSize(DitLensError, ValueError):
    """A number of bytes, such as ``20GB``, cannot be read.

    Examples
    --------
    >>> BadSize.exit_code, issubclass(BadSize, ValueError)
    (2, True)
    """


class OverBudget(DitLensError, ValueError):
    """A run would store more than it was allowed to; nothing was started.

    Examples
    --------
    >>> OverBudget.exit_code, issubclass(OverBudget, ValueError)
    (4, True)
    """

    exit_code: ClassVar[int] = 4


class DiskTooSmall(DitLensError, OSError):
    """A run would store more than the disk has room for; nothing was started.

    Examples
    --------
    >>> DiskTooSmall.exit_code, issubclass(DiskTooSmall, OSError)
    (4, True)
    """

    exit_code: ClassVar[int] = 4


class DiskFull(IncompleteTrace, OSError):
    """The disk filled up, or was about to, while a run was recorded; what was recorded before can be read.

    Attributes
    ----------
    errno : int
        ``errno.ENOSPC``, as whoever catches an ``OSError`` expects of a full disk.

    Examples
    --------
    >>> DiskFull.exit_code, DiskFull("no room").errno == errno.ENOSPC
    (3, True)
    """

    def __init__(self, message: str, missing: Iterable[Address] = ()) -> None:
        super().__init__(message, missing)
        self.errno = errno.ENOSPC

    def __reduce__(self) -> tuple[type[DiskFull], tuple[str, tuple[Address, ...]]]:
        """By its arguments: what dask pickles errors by calls a ``__new__`` that is not that of an ``OSError``."""
        return type(self), (str(self), self.missing)


class FlowClosed(DitLensError, RuntimeError):
    """Something was put into a flow that does not run.

    Examples
    --------
    >>> issubclass(FlowClosed, RuntimeError)
    True
    """


class BeyondFloat16(IncompleteTrace, OverflowError):
    """A value that was to be kept as float16 is too large for it.

    Examples
    --------
    >>> BeyondFloat16.exit_code, issubclass(BeyondFloat16, OverflowError)
    (3, True)
    """


class UnsupportedNNsight(DitLensError, ImportError):
    """The installed nnsight is missing, or of another version than the bridge was written for.

    Examples
    --------
    >>> UnsupportedNNsight.exit_code, issubclass(UnsupportedNNsight, ImportError)
    (2, True)
    """


class BadBlock(DitLensError, ValueError):
    """An nnsight block cannot be run as it is written, or asks for something that has no address.

    Examples
    --------
    >>> BadBlock.exit_code, issubclass(BadBlock, ValueError)
    (2, True)
    """


class OutOfOrder(IncompleteTrace):
    """An nnsight block asked for a value that the run was already past.

    Examples
    --------
    >>> OutOfOrder.exit_code
    3
    """


class BadEdit(DitLensError, ValueError):
    """An edit cannot be read, does not fit the run, or its source does not give what it would need.

    Examples
    --------
    >>> BadEdit.exit_code, issubclass(BadEdit, ValueError)
    (2, True)
    """


class MissedEdit(IncompleteTrace):
    """The run ended, and an edit did not come to an address for which it was planned, or did not hold there.

    Examples
    --------
    >>> MissedEdit.exit_code
    3
    """

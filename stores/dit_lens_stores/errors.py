"""Every error that the project raises on purpose is a ``DitLensError`` whose message is one line with a remedy.

The tree starts here, in the lowest room, so that a store can be read without the trace layer; ``dit_lens.errors``
exports the same classes. Each class also inherits the builtin that fits, so ``except FileExistsError`` works as well.
The command line prints the message and leaves with ``exit_code``: 1 when a check failed, 2 when nothing was started, 3
when something is there but not whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

__all__ = [
    "Busy",
    "Corrupt",
    "Damaged",
    "DitLensError",
    "DuplicateEvent",
    "NotAStore",
    "NotDone",
    "OtherRun",
    "OtherSettings",
    "StoreError",
    "StoreExists",
    "UnknownArray",
    "UnknownFormat",
    "UnknownTrace",
    "Unreachable",
    "close_match",
    "few",
]


class DitLensError(Exception):
    """Base of every error of the project.

    Examples
    --------
    >>> issubclass(UnknownTrace, DitLensError), DitLensError.exit_code
    (True, 2)
    """

    exit_code: ClassVar[int] = 2


class StoreError(DitLensError, ValueError):
    """A store was asked for something that it cannot do, or given something that does not fit.

    Examples
    --------
    >>> issubclass(StoreError, ValueError)
    True
    """


class NotAStore(StoreError):
    """The path is no store of traces.

    Examples
    --------
    >>> from dit_lens_stores import open_store
    >>> try:
    ...     open_store("no-such-folder.zarr")
    ... except NotAStore as error:
    ...     print(error)
    open_store found no store at 'no-such-folder.zarr'; got nothing, allowed a dit-lens store; check the path
    """


class StoreExists(StoreError, FileExistsError):
    """Something is in the way where a store or a trace should be made; it was left untouched.

    Examples
    --------
    >>> issubclass(StoreExists, FileExistsError)
    True
    """


class UnknownTrace(StoreError, LookupError):
    """The store holds no trace of that id.

    Examples
    --------
    >>> issubclass(UnknownTrace, LookupError)
    True
    """


class UnknownArray(StoreError, LookupError):
    """The trace holds no array of that name.

    Examples
    --------
    >>> issubclass(UnknownArray, LookupError)
    True
    """


class NotDone(StoreError):
    """Events that were expected have not been written.

    Examples
    --------
    >>> NotDone.exit_code
    3
    """

    exit_code: ClassVar[int] = 3


class UnknownFormat(StoreError):
    """The store was written in a format that this version does not read.

    Examples
    --------
    >>> issubclass(UnknownFormat, StoreError)
    True
    """


class Corrupt(StoreError, ValueError):
    """What a store holds is not what the format allows, or not the bytes that were written.

    Examples
    --------
    >>> issubclass(Corrupt, ValueError)
    True
    """


class Damaged(StoreError):
    """A check of a store found something wrong.

    Examples
    --------
    >>> Damaged.exit_code
    1
    """

    exit_code: ClassVar[int] = 1


class Unreachable(StoreError, ConnectionError):
    """The place of a store does not answer, or not to us.

    Examples
    --------
    >>> issubclass(Unreachable, OSError)
    True
    """


class Busy(StoreError, BlockingIOError):
    """Another process is writing the trace.

    Examples
    --------
    >>> issubclass(Busy, BlockingIOError)
    True
    """


class OtherSettings(StoreError, ValueError):
    """A trace of that name was begun or made with other settings than the ones that are asked for now.

    Examples
    --------
    >>> issubclass(OtherSettings, ValueError)
    True
    """


class OtherRun(StoreError, RuntimeError):
    """A run that resumes a trace computes something else than the run that began it, so the two cannot be one trace.

    Examples
    --------
    >>> issubclass(OtherRun, RuntimeError)
    True
    """


class DuplicateEvent(StoreError):
    """One event was written twice.

    Examples
    --------
    >>> issubclass(DuplicateEvent, StoreError)
    True
    """


def close_match(word: str, allowed: Iterable[str]) -> str:
    """Propose the nearest allowed word, as a clause for the end of a message, or an empty string.

    Parameters
    ----------
    word : str
        What was given.
    allowed : iterable of str
        What would have been accepted.

    Returns
    -------
    str

    Examples
    --------
    >>> close_match("blok.out", ["block.out", "latent"])
    "; did you mean 'block.out'?"
    >>> close_match("zzz", ["block.out"])
    ''
    """
    found = get_close_matches(word, list(allowed), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""


def few(names: Iterable[object], most: int) -> str:
    """The first of some names, and how many more there are, for a message.

    Examples
    --------
    >>> few(["a", "b", "c"], 2), few(["a"], 2), few([], 2)
    ('a, b and 1 more', 'a', 'none')
    """
    listed = list(map(str, names))
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) or "none") + more

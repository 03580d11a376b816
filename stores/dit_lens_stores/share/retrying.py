"""Ask again what failed for a passing reason, each time after a longer pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dit_lens_stores.errors import DitLensError

__all__ = ["TRIES", "again"]

TRIES, _FIRST_PAUSE, _LONGEST_PAUSE = 5, 0.5, 60.0
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError, DitLensError)

Result = TypeVar("Result")


def again(
    function: Callable[[], Result],
    passing: Callable[[Exception], float | None] = lambda error: 0.0 if _may_pass(error) else None,
    tries: int = TRIES,
) -> Result:
    """Call a function until it succeeds, at most a few times.

    Parameters
    ----------
    function : callable
    passing : callable
        Given the exception, tells how many seconds to wait at least, or None if asking again changes nothing.
    tries : int

    Returns
    -------
    What the function returns.

    Examples
    --------
    >>> answers = iter([1, 0])
    >>> again(lambda: 1 // next(answers))
    1
    """
    for attempt in range(tries):
        try:
            return function()
        except Exception as error:
            pause = passing(error)
            if pause is None or attempt == tries - 1:
                raise
            time.sleep(min(_LONGEST_PAUSE, max(pause, _FIRST_PAUSE * 2**attempt)))
    raise AssertionError("the last attempt returns or raises")


def _may_pass(error: Exception) -> bool:
    return isinstance(error, OSError) and not isinstance(error, _LASTING)

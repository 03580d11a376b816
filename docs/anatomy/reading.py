"""When an answer is there: what the scorer reads from x0, step by step, against what it reads from the video.

A *reading* is what one score says: the answer that was given and whether it is right. An answer is *first readable* at
the first step whose x0 reads as the video does in the end; it is *final* from the first step on after which no reading
differs from that. A video that gives no answer at all commits to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Reading", "commitment", "first_readable", "steps_to_read"]

Reading = tuple[str | None, bool]
"""The answer that was given, and whether the puzzle is solved."""


def first_readable(readings: Sequence[Reading], final: Reading) -> int | None:
    """Index of the first reading that is the final one; None if none is, or if the video gives no answer.

    Examples
    --------
    >>> first_readable([(None, False), ("route-0", True), ("route-1", True)], ("route-1", True))
    2
    """
    if final[0] is None:
        return None
    return next((i for i, reading in enumerate(readings) if reading == final), None)


def commitment(readings: Sequence[Reading], final: Reading) -> int | None:
    """Index of the first reading from which on all are the final one; None if the last is not, or without answer.

    Examples
    --------
    >>> commitment([("a", True), ("b", False), ("a", True), ("a", True)], ("a", True))
    2
    """
    if final[0] is None:
        return None
    different = [i for i, reading in enumerate(readings) if reading != final]
    first = different[-1] + 1 if different else 0
    return first if first < len(readings) else None


def steps_to_read(steps: int, reads: int) -> tuple[int, ...]:
    """``reads`` of the steps, denser at the beginning, the first and the last among them.

    Examples
    --------
    >>> steps_to_read(20, 12)
    (0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 19)
    >>> steps_to_read(3, 12)
    (0, 1, 2)
    """
    places = (np.linspace(0, 1, min(reads, steps)) ** 1.5 * (steps - 1)).round().astype(int)
    return tuple(int(step) for step in np.maximum(places, np.arange(len(places))))

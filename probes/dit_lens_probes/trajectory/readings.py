"""When an answer is there, when it is final, and which were there and dropped: what the scorer reads at each step.

A *reading* is the answer that was given and whether the puzzle is solved. An answer is *first readable* at the first
step that reads as the video does in the end; the *commitment* is the first step from which on all do. Any other whole
answer that was read and is gone later was *dropped*: the step at which it is no longer read is that of the correction.
A video that gives no answer commits to nothing, and drops whatever was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Dropped", "Reading", "commitment", "dropped", "first_readable"]


class Reading(NamedTuple):
    """What the scorer reads from one video."""

    answer: str | None
    solved: bool


class Dropped(NamedTuple):
    """An answer that was read and is gone: its name, the places of its first reading and of the first without it."""

    answer: str
    since: int
    gone: int


def first_readable(readings: Sequence[Reading], final: Reading) -> int | None:
    """Place of the first reading that is the final one; None if none is, or without a final answer.

    Examples
    --------
    >>> first_readable([Reading(None, False), Reading("b", True)], Reading("b", True))
    1
    """
    if final.answer is None:
        return None
    return next((place for place, reading in enumerate(readings) if reading == final), None)


def commitment(readings: Sequence[Reading], final: Reading) -> int | None:
    """Place of the first reading from which on all are the final one; None if the last is not, or without answer.

    Examples
    --------
    >>> a, b = Reading("a", True), Reading("b", True)
    >>> commitment([a, b, a, a], a), commitment([a, b], a)
    (2, None)
    """
    if final.answer is None:
        return None
    different = [place for place, reading in enumerate(readings) if reading != final]
    first = different[-1] + 1 if different else 0
    return first if first < len(readings) else None


def dropped(readings: Sequence[Reading], final: Reading) -> list[Dropped]:
    """Answers that were read and given up, in the order in which they went.

    The final answer itself is not among them, even if it cannot be read for a while; nor is an answer that is still
    read at the last step.

    Parameters
    ----------
    readings : sequence of Reading
    final : Reading

    Returns
    -------
    list of Dropped

    Examples
    --------
    >>> readings = [Reading(answer, True) for answer in ("a", "a", None, "b", "b")]
    >>> dropped(readings, Reading("b", True))
    [Dropped(answer='a', since=0, gone=2)]
    """
    found: list[Dropped] = []
    since = 0
    for place in range(1, len(readings)):
        before, now = readings[place - 1].answer, readings[place].answer
        if now == before:
            continue
        if before is not None and before != final.answer:
            found.append(Dropped(before, since, place))
        since = place
    return found

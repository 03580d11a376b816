"""Read numbers from the command line: ``7``, the half-open range ``0:4``, several of them, and a part ``0/4``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from dit_lens.cli.failures import BadOption

__all__ = ["NUMBERS_AT_MOST", "part_of", "read_numbers"]

Item = TypeVar("Item")
NUMBERS_AT_MOST = 1_000_000
_PART = re.compile(r"[0-9]{1,18}")
_WORD = re.compile(r"([0-9]{1,40})(?:(:)([0-9]{1,40}))?")


def read_numbers(option: str, words: Sequence[str], at_most: int = NUMBERS_AT_MOST) -> tuple[int, ...]:
    """Read the numbers that ``words`` name, each of them once.

    Parameters
    ----------
    option : str
        The option's name, for messages.
    words : sequence of str
        Each a number or a half-open range.
    at_most : int
        Numbers that all words together may name.

    Returns
    -------
    tuple of int

    Raises
    ------
    BadOption
        If a word cannot be read, a range is empty, a number comes twice, or there are too many.

    Examples
    --------
    >>> read_numbers("--seed", ["0:3", "7"])
    (0, 1, 2, 7)
    """
    ranges = [_read_word(option, word) for word in words]
    count = sum(part.stop - part.start for part in ranges)  # a range this long has no len()
    if count > at_most:
        raise BadOption(
            f"{option} names too many; got {count}, allowed {at_most} at most; name fewer, and run the command again "
            f"for the others"
        )
    numbers = [number for part in ranges for number in part]
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice:
        raise BadOption(
            f"{option} names {twice[0]} more than once; got {' '.join(words)}, allowed each number once; remove one"
        )
    return tuple(numbers)


def part_of(items: Sequence[Item], shard: str | None, what: str = "traces") -> tuple[Item, ...]:
    """Return every n-th of some items from the i-th on, for a shard ``i/n``; all of them without one.

    ``what`` the items are is said where the shard cannot be used.

    Raises
    ------
    BadOption
        If it cannot be read, or some part would be empty.

    Examples
    --------
    >>> part_of("abcdefg", "1/3")
    ('b', 'e')
    """
    if shard is None:
        return tuple(items)
    part, slash, parts = shard.partition("/")
    if not (slash and _PART.fullmatch(part) and _PART.fullmatch(parts) and int(part) < int(parts) <= len(items)):
        raise BadOption(
            f"--shard cannot be used; got {shard!r}, allowed 0/N to N-1/N with N from 1 to {len(items)}, the number of "
            f"{what}; write --shard 0/{min(2, len(items))} for the first part"
        )
    return tuple(items[int(part) :: int(parts)])


def _read_word(option: str, word: str) -> range:
    read = _WORD.fullmatch(word)
    if read is None:
        raise BadOption(
            f"{option} cannot be read; got {word!r}, allowed a number from 0 up or a half-open range like 0:4; "
            f"write {option} 0:4 for 0, 1, 2 and 3"
        )
    first, colon, last = read.groups()
    numbers = range(int(first), int(last)) if colon else range(int(first), int(first) + 1)
    if numbers.stop <= numbers.start:
        raise BadOption(
            f"{option} names nothing; got {word!r}, allowed a range whose end is above its start; "
            f"write {option} {first}:{int(first) + 1} for {first} alone"
        )
    return numbers

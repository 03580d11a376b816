"""Read numbers from the command line: ``7``, the half-open range ``0:4``, several of them, and a part ``0/4``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from dit_lens.cli.failures import BadOption

__all__ = ["part_of", "read_numbers"]

Item = TypeVar("Item")


def read_numbers(option: str, words: Sequence[str]) -> tuple[int, ...]:
    """Read the numbers that ``words`` name, each of them once.

    Parameters
    ----------
    option : str
        The option's name, for messages.
    words : sequence of str
        Each a number or a half-open range.

    Returns
    -------
    tuple of int

    Raises
    ------
    BadOption
        If a word cannot be read, a range is empty, or a number comes twice.

    Examples
    --------
    >>> read_numbers("--seed", ["0:3", "7"])
    (0, 1, 2, 7)
    """
    numbers = [number for word in words for number in _read_word(option, word)]
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice:
        raise BadOption(
            f"{option} names {twice[0]} more than once; got {' '.join(words)}, allowed each number once; remove one"
        )
    return tuple(numbers)


def part_of(items: Sequence[Item], shard: str | None) -> tuple[Item, ...]:
    """Return every n-th of some items from the i-th on, for a shard ``i/n``; all of them without one.

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
    if not (slash and part.isdecimal() and parts.isdecimal() and int(part) < int(parts) <= len(items)):
        raise BadOption(
            f"--shard cannot be used; got {shard!r}, allowed 0/N to N-1/N with N from 1 to {len(items)}, the number of "
            f"traces; write --shard 0/{min(2, len(items))} for the first part"
        )
    return tuple(items[int(part) :: int(parts)])


def _read_word(option: str, word: str) -> range:
    first, colon, last = word.partition(":")
    if not first.isdecimal() or (colon and not last.isdecimal()):
        raise BadOption(
            f"{option} cannot be read; got {word!r}, allowed a number from 0 up or a half-open range like 0:4; "
            f"write {option} 0:4 for 0, 1, 2 and 3"
        )
    numbers = range(int(first), int(last)) if colon else range(int(first), int(first) + 1)
    if not numbers:
        raise BadOption(
            f"{option} names nothing; got {word!r}, allowed a range whose end is above its start; "
            f"write {option} {first}:{int(first) + 1} for {first} alone"
        )
    return numbers

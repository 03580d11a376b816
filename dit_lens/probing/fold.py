"""Merge a stream of states while holding few of them.

States are merged like the digits of a binary counter: two of equal weight become one of twice the weight. Each state
takes part in log2(n) merges instead of n, and at most log2(n) of them wait at a time. Because a probe's ``combine`` may
be given any grouping in any order, the result is that of one big merge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dit_lens.probing.protocol import State

__all__ = ["Fold"]


class Fold:
    """A running merge.

    Parameters
    ----------
    combine : callable
        The ``combine`` of a probe.

    Examples
    --------
    >>> fold = Fold(sum)
    >>> for number in range(10):
    ...     fold.add(number)
    >>> fold.result()
    45
    """

    def __init__(self, combine: Callable[[Sequence[State]], State]) -> None:
        self._combine = combine
        self._waiting: list[tuple[int, State]] = []

    def add(self, state: State) -> None:
        """Take in one more state."""
        weight = 1
        while self._waiting and self._waiting[-1][0] == weight:
            _, earlier = self._waiting.pop()
            state, weight = self._combine([earlier, state]), 2 * weight
        self._waiting.append((weight, state))

    def result(self) -> State:
        """The merge of everything taken in.

        Raises
        ------
        ValueError
            If nothing was.
        """
        if not self._waiting:
            raise ValueError("a fold of no states has no result; got 0 states, allowed 1 or more; add one first")
        return self._combine([state for _, state in self._waiting])

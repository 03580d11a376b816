"""Several runs of a model as one piece of work: their steps, bytes and seconds of waiting are added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dit_lens.cli.progress.state import Piece
from dit_lens.cli.progress.work import Work

if TYPE_CHECKING:
    from dit_lens.generation import Standing

__all__ = ["Tally"]


class Tally:
    """Makes an observer for each run.

    Parameters
    ----------
    work : Work
    total : int
        Steps of all runs.
    count : int
        How many runs there will be.

    Examples
    --------
    >>> from dit_lens.cli.progress import working_on
    >>> from dit_lens.generation import Standing
    >>> with working_on("trace", "steps") as work:
    ...     tally = Tally(work, total=4, count=2)
    ...     for name in ("a", "b"):
    ...         observe = tally.observer(name)
    ...         observe(Standing(done=2, steps=2, events=1, bytes=100, queued=0, waited=0.5))
    ...     state = work.now()
    >>> state.done, state.bytes, state.waited
    (4, 200, 1.0)
    """

    def __init__(self, work: Work, total: int, count: int) -> None:
        self._work, self._total, self._count = work, total, count
        self._number = 0
        self._done, self._bytes, self._waited = 0, 0, 0.0

    def observer(self, name: str) -> Callable[[Standing], None]:
        """The observer of the next run; what the one before it told last is what it came to."""
        self._number += 1
        before, piece = (self._done, self._bytes, self._waited), Piece(name, self._number, self._count)

        def observe(standing: Standing) -> None:
            self._done, self._bytes = before[0] + standing.done, before[1] + standing.bytes
            self._waited = before[2] + standing.waited
            self._work(self._done, self._total, piece=piece, nbytes=self._bytes, waited=self._waited)

        return observe

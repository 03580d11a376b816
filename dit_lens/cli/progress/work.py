"""One piece of long work: what it counts, and the display that was chosen for it."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console

from dit_lens.cli.progress.bars import Bars
from dit_lens.cli.progress.events import Events
from dit_lens.cli.progress.lines import Lines
from dit_lens.cli.progress.pace import Pace
from dit_lens.cli.progress.state import Outcome, Piece, State, Unit

__all__ = ["Work", "working_on"]


class Display(Protocol):
    """What shows work."""

    def begin(self) -> None:
        """Before anything is known."""

    def show(self, state: State) -> None:
        """After each report."""

    def end(self, outcome: Outcome) -> None:
        """However it ends."""


class Work:
    """Takes reports and has them shown; called like every observer of the library.

    Parameters
    ----------
    what : str
    unit : Unit
    """

    def __init__(self, what: str, unit: Unit) -> None:
        self.what, self.unit = what, unit
        self._pace, self._start = Pace(), time.monotonic()
        self._counts: tuple[int, int] | None = None
        self._piece: Piece | None = None
        self._further: tuple[int | None, float | None] = (None, None)
        self.on_report: Callable[[State], None] = lambda state: None

    def __call__(
        self,
        done: int,
        total: int,
        *,
        piece: Piece | None = None,
        nbytes: int | None = None,
        waited: float | None = None,
    ) -> None:
        """Take a report."""
        now = time.monotonic()
        self._pace.note(done, total, now)
        self._piece, self._further, self._counts = piece, (nbytes, waited), (done, total)
        self.on_report(self._state((done, total), now))

    def now(self) -> State | None:
        """How far it is at this moment; None before the first report."""
        return None if self._counts is None else self._state(self._counts, time.monotonic())

    def _state(self, counts: tuple[int, int], now: float) -> State:
        pace = self._pace
        since = now - self._start
        return State(self.what, self.unit, *counts, self._piece, *self._further, since, pace.rate, pace.left(now))


@contextmanager
def working_on(what: str, unit: Unit = "units", *, as_json: bool = False) -> Iterator[Work]:
    """Show progress of one piece of work; yields what to call with (done, total).

    Parameters
    ----------
    what : str
        In words.
    unit : {"steps", "runs", "units", "bytes"}
        What is counted.
    as_json : bool
        Write JSON lines, on a terminal too: the option ``--json`` of a command.

    Examples
    --------
    >>> with working_on("trace of maze-5x5-0", "steps") as report:
    ...     report(1, 20)
    """
    work = Work(what, unit)
    display = _display(work, as_json)
    work.on_report = display.show
    display.begin()
    outcome: Outcome = "failed"
    try:
        yield work
        outcome = "complete"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        display.end(outcome)


def _display(work: Work, as_json: bool) -> Display:
    if as_json:
        return Events(work.now)
    if _is_terminal():
        return Bars(work.what, work.now)
    return Lines()


def _is_terminal() -> bool:
    """Whether a line can be drawn again here, and no other process draws one: workers share the terminal.

    It is the file that is asked, not rich: with ``FORCE_COLOR`` rich takes every log of a CI for a terminal.
    """
    alone = multiprocessing.parent_process() is None
    return alone and sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal

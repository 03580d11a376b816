"""Progress on a terminal: one line that is drawn again, and gone when the work ends, however it ends.

Names come from files and stores, so they are written as plain text, never as markup. On a narrow terminal the facts
that matter least are left out first.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from dit_lens.cli.progress.state import Outcome, State
from dit_lens_stores.printable import printable

__all__ = ["Bars", "fit"]

_BAR = 16
"""Columns of the bar; fewer on a narrow terminal."""
_LEAST_FIRST = ("waited", "bytes", "rate", "left")


class Bars:
    """Draws the line four times a second.

    Parameters
    ----------
    what : str
        What is shown until the first report.
    now : callable
        Gives the state at this moment, or None before the first report: the time left runs down between two reports.
    """

    def __init__(self, what: str, now: Callable[[], State | None]) -> None:
        console = Console(stderr=True)
        bar, third = min(_BAR, console.width // 6), console.width // 3
        name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=third))
        columns = (name, BarColumn(bar), _Facts(console.width - third - bar - 3, now))
        self._progress = Progress(
            *columns, console=console, transient=True, refresh_per_second=4, redirect_stdout=False
        )
        self._task = self._progress.add_task(printable(what), total=None)

    def begin(self) -> None:
        """Take the line; before the first report the bar only pulses."""
        self._progress.start()

    def show(self, state: State) -> None:
        """Take new counts; the line is drawn in its time."""
        self._progress.update(self._task, description=printable(state.title), completed=state.done, total=state.total)

    def end(self, outcome: Outcome) -> None:
        """Remove the line, and give the cursor back."""
        self._progress.stop()


class _Facts(ProgressColumn):
    """Counts, rate, time left and waiting, as far as there is room."""

    def __init__(self, room: int, now: Callable[[], State | None]) -> None:
        super().__init__(Column(no_wrap=True))
        self._room, self._now = room, now

    def render(self, task: Task) -> Text:
        """The facts at this moment."""
        state = self._now()
        return Text("" if state is None else fit(state.facts, self._room))


def fit(facts: dict[str, str], room: int) -> str:
    """Join facts, without those that matter least if there is no room for all.

    Examples
    --------
    >>> facts = {"count": "3 of 20 steps", "rate": "2.0 steps/s", "left": "0:08 left", "waited": "waited 0.0 s"}
    >>> fit(facts, 80)
    '3 of 20 steps, 2.0 steps/s, 0:08 left, waited 0.0 s'
    >>> fit(facts, 30)
    '3 of 20 steps, 0:08 left'
    """
    kept = dict(facts)
    for name in _LEAST_FIRST:
        if len(", ".join(kept.values())) <= room:
            break
        kept.pop(name, None)
    return ", ".join(kept.values())

"""Progress on stderr: a bar on a terminal, one plain line a piece of work in a log file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dit_lens.cli.output import warn

__all__ = ["Report", "working_on"]

Report = Callable[[int, int], None]
"""Called with (done, total)."""


@contextmanager
def working_on(what: str, *, in_bytes: bool = False) -> Iterator[Report]:
    """Show progress of one piece of work; yields the function to call with (done, total), in bytes or in pieces.

    Examples
    --------
    >>> with working_on("trace of maze-5x5-0") as report:
    ...     report(1, 20)
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_line(what, in_bytes)
        return
    counts = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), counts, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield report


def _plain_line(what: str, in_bytes: bool) -> Report:
    """Say in a log file what goes on, once it does: a request that is refused leaves nothing but its reason."""
    said = False

    def report(done: int, total: int) -> None:
        nonlocal said
        if not said:
            warn(f"{what} ({_words(done, in_bytes)} of {_words(total, in_bytes)})")
        said = True

    return report


def _words(number: int, in_bytes: bool) -> str:
    if not in_bytes:
        return str(number)
    from dit_lens.engine.disk import format_size

    return format_size(number)

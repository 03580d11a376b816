"""Where the command line writes: results to stdout, everything else to stderr.

Nothing is wrapped or cut when stdout is not a terminal, so that a path stays one word for a script. What a store says
of itself may come from anywhere: characters that would act on a terminal are written as escapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from dit_lens_stores.printable import printable

__all__ = ["Json", "show_json", "show_line", "show_table", "tell_json", "warn"]

Json = Annotated[
    bool,
    Parameter(
        name="--json",
        show_default=False,
        help="Write one JSON object to stdout instead of text, and progress to stderr as JSON lines.",
    ),
]
"""The type of the option that every command has."""
_WIDE = 240  # columns of a table when there is no terminal to fit


def show_json(record: Mapping[str, Any]) -> None:
    """Write ``record`` to stdout as one JSON object.

    Examples
    --------
    >>> show_json({"store": "maze.zarr"})
    {
      "store": "maze.zarr"
    }
    """
    _plain(Console(), _as_json(record, 2))


def show_line(text: str) -> None:
    """Write one line to stdout.

    Examples
    --------
    >>> show_line("store  runs/demo/demo.zarr")
    store  runs/demo/demo.zarr
    """
    _plain(Console(), text)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table to stdout.

    Examples
    --------
    >>> show_table(["name"], [["energy"]])
    name
    energy
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else printable(str(cell)) for cell in row))
    console = Console() if Console().is_terminal else Console(width=_WIDE)
    with console.capture() as capture:
        console.print(table, highlight=False)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    _write(console, "\n".join(lines))  # may hold the colours of the table itself


def warn(text: str) -> None:
    """Write one line to stderr."""
    _plain(Console(stderr=True), text)


def tell_json(record: Mapping[str, Any]) -> None:
    """Write ``record`` to stderr as JSON on one line."""
    _plain(Console(stderr=True), _as_json(record, None))


def _as_json(record: Mapping[str, Any], indent: int | None) -> str:
    return json.dumps(record, indent=indent).replace("\x7f", "\\u007f")  # the one that JSON leaves as it is


def _plain(console: Console, text: str) -> None:
    _write(console, printable(text, "\n"))


def _write(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)

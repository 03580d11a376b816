"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["number", "table"]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; a row is as long as the head.

    Examples
    --------
    >>> print(table(["kind", "n"], [["maze", 3]]))
    | kind | n |
    | --- | --- |
    | maze | 3 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def number(value: float, digits: int = 2) -> str:
    """A number, or a dash where there is none.

    Examples
    --------
    >>> number(0.256), number(float("nan"))
    ('0.26', '-')
    """
    return "-" if value != value else f"{value:.{digits}f}"

"""Files that whoever reads them sees as they were, or whole."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

__all__ = ["write_file"]


def write_file(path: Path, text: str) -> None:
    """Write a file at once.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "table.txt"
    >>> write_file(path, "a table")
    >>> path.read_text()
    'a table'
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    part.write_text(text, encoding="utf-8")
    part.replace(path)

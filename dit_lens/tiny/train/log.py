"""A training log: one JSON object a line, appended, so that an interrupted run keeps what it said."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["RunLog"]


class RunLog:
    """Append records to ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **record: float | str) -> None:
        """Append one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def rewind(self, stage: str, step: int) -> None:
        """Drop what an interrupted run said of a stage after its checkpoint, and lines that a kill cut in two."""
        kept = [row for row in self.read() if row.get("stage") != stage or int(row.get("step", 0)) <= step]
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        partial.replace(self.path)

    def read(self) -> list[dict[str, float | str]]:
        """All records so far that are whole."""
        if not self.path.exists():
            return []
        return [row for line in self.path.read_text(encoding="utf-8").splitlines() if (row := _parse(line))]


def _parse(line: str) -> dict[str, float | str] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None

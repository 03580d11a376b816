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

    def read(self) -> list[dict[str, float | str]]:
        """All records so far."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

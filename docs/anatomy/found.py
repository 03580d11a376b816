"""What was measured, as it lies in the JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["NAMES", "Found", "read_found"]

Found = Mapping[str, Mapping[str, Any]]
"""By the name of the part: what it was measured with, and under ``records`` what was found."""

NAMES = ("courses", "splits", "swaps", "steps", "frames", "energy", "films")


def read_found(folder: Path) -> Found:
    """Read all parts.

    Raises
    ------
    FileNotFoundError
        If one was never measured.
    """
    missing = [name for name in NAMES if not (folder / f"{name}.json").exists()]
    if missing:
        raise FileNotFoundError(
            f"the page cannot be written from {folder.name}; got no {', '.join(missing)}, allowed {', '.join(NAMES)}, "
            f"one JSON file each; measure what is missing with --only {' '.join(missing)}"
        )
    return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}

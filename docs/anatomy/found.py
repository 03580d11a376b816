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
    ValueError
        If parts were measured with other steps, another guidance or other weights: one page is about one model.
    """
    missing = [name for name in NAMES if not (folder / f"{name}.json").exists()]
    if missing:
        raise FileNotFoundError(
            f"the page cannot be written from {folder.name}; got no {', '.join(missing)}, allowed {', '.join(NAMES)}, "
            f"one JSON file each; measure what is missing with --only {' '.join(missing)}"
        )
    found = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}
    for name, part in found.items():
        _refuse_other(folder.name, name, part, found[NAMES[0]])
    return found


def _refuse_other(folder: str, name: str, part: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    facts, wanted = _facts(part), _facts(first)
    differs = next((fact for fact in facts if fact in wanted and facts[fact] != wanted[fact]), None)
    if differs is None:
        return
    got, allowed = (
        f"other {differs}" if isinstance(each[differs], Mapping) else f"{differs} {each[differs]}"
        for each in (facts, wanted)
    )
    raise ValueError(
        f"the page cannot be written from {folder}; got {name} with {got}, allowed "
        f"{allowed if got != allowed else 'the same'} as in {NAMES[0]}; measure all parts alike, or --only those that "
        f"differ as the others were"
    )


def _facts(part: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: part["settings"][name] for name in ("steps", "guidance")}, **part["weights"]}

"""Whether the answer is the one that was asked for, and whether it changes with the words over the same picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anatomy.shares import Estimate, share

__all__ = ["SwapRow", "chosen_right", "swap_rows"]

Record = Mapping[str, Any]


@dataclass(frozen=True)
class SwapRow:
    """One task: what happened to its puzzles under two prompts.

    Attributes
    ----------
    task : str
    flips : Estimate
        Each prompt got the answer that it asked for.
    stays : Estimate
        Both prompts got the same answer, whichever.
    other : Estimate
        Anything else: no answer, or one that neither prompt asked for.
    """

    task: str
    flips: Estimate
    stays: Estimate
    other: Estimate


def swap_rows(records: Sequence[Record]) -> list[SwapRow]:
    """A row for each task."""
    rows = []
    for task in dict.fromkeys(record["task"] for record in records):
        fates = [_fate(record["rows"]) for record in records if record["task"] == task]
        rows.append(SwapRow(task, *(share([fate == each for fate in fates]) for each in ("flips", "stays", "other"))))
    return rows


def chosen_right(records: Sequence[Record], group: str) -> tuple[Estimate, Estimate]:
    """Of the puzzles of a group, the share that takes the right one; and of those that give an answer at all."""
    chosen = [record for record in records if record["group"] == group]
    right = [record["final"]["answer"] == record["asked"] for record in chosen]
    answered = [each for each, record in zip(right, chosen, strict=True) if record["final"]["answer"] is not None]
    return share(right), share(answered)


def _fate(rows: Sequence[Record]) -> str:
    asked, answered = ([row[key] for row in rows] for key in ("asked", "answer"))
    if asked == answered:
        return "flips"
    return "stays" if answered[0] is not None and answered[0] == answered[1] else "other"

"""Scores with fewer steps and with fewer frames, beside those with all of them; the same puzzles in every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anatomy.groups import BY_NAME
from anatomy.shares import Estimate, mean, share

__all__ = ["SweepRow", "frame_rows", "step_rows"]

Record = Mapping[str, Any]


@dataclass(frozen=True)
class SweepRow:
    """One group at one setting; ``cut`` is the mean score of the training clip up to there, NaN if it is whole."""

    group: str
    setting: int
    solved: Estimate
    score: Estimate
    cut: float


def step_rows(records: Sequence[Record], courses: Sequence[Record], steps: int) -> list[SweepRow]:
    """A row for each group and number of steps; those with all steps are the finals of ``courses``."""
    return _rows(records, courses, "steps", steps)


def frame_rows(records: Sequence[Record], courses: Sequence[Record], frames: int) -> list[SweepRow]:
    """A row for each group and number of frames; those with all frames are the finals of ``courses``."""
    return _rows(records, courses, "frames", frames)


def _rows(records: Sequence[Record], courses: Sequence[Record], key: str, most: int) -> list[SweepRow]:
    rows = []
    for group in dict.fromkeys(record["group"] for record in records):
        own = [record for record in records if record["group"] == group]
        puzzles = {record["index"] for record in own}
        whole = [c["final"] for c in courses if c["group"] == group and c["index"] in puzzles]
        for setting in sorted({record[key] for record in own}):
            rows.append(_row(group, setting, [record for record in own if record[key] == setting]))
        rows += [_row(group, most, whole)] if whole else []
    return rows


def _row(group: str, setting: int, scores: Sequence[Record]) -> SweepRow:
    cuts = [score["cut"]["overall"] for score in scores if "cut" in score]
    return SweepRow(
        BY_NAME[group].title,
        setting,
        share([bool(score["solved"]) for score in scores]),
        mean([score["overall"] for score in scores]),
        sum(cuts) / len(cuts) if cuts else float("nan"),
    )

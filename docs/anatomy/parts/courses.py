"""One seed of every puzzle, read at many steps: what the scorer finds in x0 on the way, and in the video at the end.

Every table about when an answer is there comes from these records.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from anatomy.groups import BY_NAME, GROUPS
from anatomy.reading import steps_to_read
from anatomy.sampling import BATCH, Video, decode, draw_watched
from anatomy.settings import Job, Settings
from dit_lens.puzzles import Maze, Puzzle, routes_visible

__all__ = ["jobs", "measure", "score_record"]


def jobs(settings: Settings) -> list[Job]:
    """One for each batch of each group."""
    return [
        partial(measure, group.name, range(start, min(start + BATCH, settings.n)), settings)
        for group in GROUPS
        for start in range(0, settings.n, BATCH)
    ]


def measure(name: str, indices: range, settings: Settings) -> list[dict[str, Any]]:
    """A record for every puzzle."""
    puzzles = [BY_NAME[name].puzzle(index) for index in indices]
    final, x0s = draw_watched(puzzles, settings.steps, settings.guidance, indices[0])
    read = steps_to_read(settings.steps, settings.reads)
    believed = [decode(x0s[step]) for step in read]
    return [
        {
            "group": name,
            "index": index,
            "label": puzzle.label,
            "asked": puzzle.answer,
            "route_cells": puzzle.parameters.get("route_cells"),
            "read": list(read),
            "x0": [score_record(puzzle, videos[row]) for videos in believed],
            "final": score_record(puzzle, video),
        }
        for row, (index, puzzle, video) in enumerate(zip(indices, puzzles, decode(final), strict=True))
    ]


def score_record(puzzle: Puzzle, video: Video) -> dict[str, Any]:
    """A score as JSON values; of a fork also how strongly each of its routes is there."""
    score = puzzle.score(video)
    record: dict[str, Any] = {
        "solved": score.solved,
        "answer": score.answer,
        "overall": round(score.overall, 4),
        "dimensions": {key: round(float(value), 4) for key, value in score.dimensions.items()},
    }
    if isinstance(puzzle, Maze) and len(puzzle.routes) > 1:
        record["visible"] = [round(value, 4) for value in routes_visible(puzzle, video[-1]).values()]
    return record

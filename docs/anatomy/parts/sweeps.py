"""The same puzzles and seeds with fewer denoising steps, and with fewer frames.

Drawing with all steps and all frames is not repeated: those are the finals of ``courses``. A shorter clip has its own
noise, because there is less to draw, and what the training clip shows by its last frame is scored beside it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from anatomy.groups import BY_NAME
from anatomy.parts.courses import score_record
from anatomy.sampling import BATCH, Cut, draw
from anatomy.settings import Job, Settings

__all__ = ["FRAMES_GROUPS", "STEPS_GROUPS", "jobs_of_frames", "jobs_of_steps", "measure_frames", "measure_steps"]

STEPS_GROUPS = ("maze-7", "maze-long", "fork", "grounding", "occlusion")
FRAMES_GROUPS = ("maze-7", "fork", "grounding")
"""Of an occlusion the ball must have time to come out: it is not cut short."""


def jobs_of_steps(settings: Settings) -> list[Job]:
    """One for each batch, group and number of steps."""
    return [
        partial(measure_steps, name, indices, steps, settings)
        for name in STEPS_GROUPS
        for steps in settings.fewer_steps
        for indices in _batches(settings)
    ]


def jobs_of_frames(settings: Settings) -> list[Job]:
    """One for each batch, group and number of frames."""
    return [
        partial(measure_frames, name, indices, frames, settings)
        for name in FRAMES_GROUPS
        for frames in settings.fewer_frames
        for indices in _batches(settings)
    ]


def measure_steps(name: str, indices: range, steps: int, settings: Settings) -> list[dict[str, Any]]:
    """A record for every puzzle drawn in ``steps`` steps."""
    puzzles = [BY_NAME[name].puzzle(index) for index in indices]
    videos = draw(puzzles, steps, settings.guidance, indices[0])
    return [
        {"group": name, "index": index, "steps": steps, **score_record(puzzle, video)}
        for index, puzzle, video in zip(indices, puzzles, videos, strict=True)
    ]


def measure_frames(name: str, indices: range, frames: int, settings: Settings) -> list[dict[str, Any]]:
    """A record for every puzzle drawn in ``frames`` frames; ``cut`` is the training clip up to there."""
    cuts = [Cut(BY_NAME[name].puzzle(index), frames) for index in indices]
    videos = draw(cuts, settings.steps, settings.guidance, indices[0])
    return [
        {
            "group": name,
            "index": index,
            "frames": frames,
            **score_record(cut.puzzle, video),
            "cut": score_record(cut.puzzle, cut.clip()),
        }
        for index, cut, video in zip(indices, cuts, videos, strict=True)
    ]


def _batches(settings: Settings) -> list[range]:
    count = min(settings.sweep, settings.n)
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]

"""What is measured, one idea a module: each gives jobs, which run one a core and return records for its JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from anatomy.parts import courses, energy, films, splits, swaps, sweeps
from anatomy.settings import Job, Settings

__all__ = ["PARTS"]

PARTS: Mapping[str, Callable[[Settings], list[Job]]] = {
    "courses": courses.jobs,
    "splits": splits.jobs,
    "swaps": swaps.jobs,
    "steps": sweeps.jobs_of_steps,
    "frames": sweeps.jobs_of_frames,
    "energy": energy.jobs,
    "films": films.jobs,
}
"""By the name of the JSON file."""

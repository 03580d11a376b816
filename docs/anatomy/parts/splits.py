"""Forks from many seeds: which of its equally long routes each seed takes, and what x0 of step 0 shows of them all.

Seeds share one picture, so this is ``lens.trace_batch`` as a user would call it, with ``x0.guided`` of step 0 in a
store.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dit_lens
from anatomy.model import load, request
from anatomy.parts.courses import score_record
from anatomy.settings import Job, Settings
from dit_lens.puzzles import unseen

__all__ = ["jobs", "measure"]


def jobs(settings: Settings) -> list[Job]:
    """One for each fork."""
    counts = {"free": settings.forks, "three": settings.forks_of_three}
    return [partial(measure, kind, index, settings) for kind, count in counts.items() for index in range(count)]


def measure(variant: str, index: int, settings: Settings) -> list[dict[str, Any]]:
    """One record: the fork, and what was read of each seed."""
    fork, lens = unseen("fork", index, variant), load()
    requests = [request(fork, seed, settings.steps, settings.guidance) for seed in range(settings.seeds)]
    with tempfile.TemporaryDirectory() as folder:
        results = lens.trace_batch(requests, ["x0.guided[step=0]"], Path(folder) / "fork.zarr")
        store = dit_lens.open(Path(folder) / "fork.zarr")
        first = [store[str(result.trace_id)]["x0.guided.raw"].isel(step=0).values for result in results]
    seeds = [
        {
            "seed": seed,
            "first": score_record(fork, lens.decode(torch.from_numpy(np.ascontiguousarray(x0)))),
            "final": score_record(fork, np.asarray(result.video)),
        }
        for seed, (x0, result) in enumerate(zip(first, results, strict=True))
    ]
    routes = len(fork.parameters["routes"])
    return [{"variant": variant, "index": index, "label": fork.label, "routes": routes, "seeds": seeds}]

"""The model under the knife, loaded once in each process, and what the page must say about it.

A puzzle becomes a request exactly as a user would write it; the batched sampler of ``sampling`` and the traces of the
other parts run on the same pipeline.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from PIL import Image

import dit_lens
from dit_lens import Generation, Lens
from dit_lens.puzzles import Puzzle

__all__ = ["MODEL", "load", "request", "schedule"]

MODEL = "tiny-wan"


@cache
def load() -> Lens:
    """The lens on the shipped model, with one thread: the command runs one process a core."""
    torch.set_num_threads(1)
    return dit_lens.load(MODEL)


def request(puzzle: Puzzle, seed: int, steps: int, guidance: float) -> Generation:
    """One generation of one puzzle."""
    image = Image.fromarray(puzzle.first_frame())
    return Generation(prompt=puzzle.prompt, image=image, seed=seed, steps=steps, guidance=guidance)


def schedule(steps: int) -> list[dict[str, Any]]:
    """By step, the noise level that it starts from and the expert that runs."""
    pipeline = load().pipeline
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(steps)
    boundary = pipeline.config.boundary_ratio * scheduler.config.num_train_timesteps
    return [
        {"step": step, "sigma": round(float(sigma), 4), "expert": "transformer" if t >= boundary else "transformer_2"}
        for step, (sigma, t) in enumerate(zip(scheduler.sigmas, scheduler.timesteps, strict=False))
    ]

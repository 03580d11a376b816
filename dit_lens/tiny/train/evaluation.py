"""Everything that the card says of a finished model, measured by one process with one thread a core.

Every row of the table is a job of its own; so are the autoencoder and the forks. What a job finds follows from the
model and its puzzles alone. How long a generation takes is measured last, when nothing else runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from diffusers import WanImageToVideoPipeline

from dit_lens.tiny.train.autoencoder import measure_autoencoder
from dit_lens.tiny.train.commitment import measure_commitment
from dit_lens.tiny.train.measure import measure_row, measured_rows, time_generation

__all__ = ["evaluate"]

Measure = Callable[[WanImageToVideoPipeline], dict[str, Any]]


def evaluate(folder: Path, puzzles: int, steps: int, clips: int) -> dict[str, Any]:
    """Measure the model in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        A diffusers folder.
    puzzles : int
        Unseen puzzles of every row of the table.
    steps : int
        Denoising steps.
    clips : int
        Unseen clips of every variant that go through the autoencoder.

    Returns
    -------
    dict
        ``model``, the rows; ``autoencoder``, ``forks``, ``seconds`` of one generation, and ``threads`` that it had.
    """
    rows: list[Measure] = [partial(measure_row, row=row, count=puzzles, steps=steps) for row in measured_rows()]
    forks, autoencoder, *model = _in_processes(
        folder,
        [
            partial(measure_commitment, count=puzzles, steps=steps),  # the longest job begins first
            partial(_measure_autoencoder, clips=clips),
            *rows,
        ],
    )
    timed = {"threads": torch.get_num_threads(), "seconds": time_generation(_load(folder), steps)}
    return {"autoencoder": autoencoder, "model": model, "forks": forks, **timed}


def _in_processes(folder: Path, jobs: Sequence[Measure]) -> list[dict[str, Any]]:
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("spawn")) as pool:
        return [done.result() for done in [pool.submit(_alone, folder, job) for job in jobs]]


def _alone(folder: Path, job: Measure) -> dict[str, Any]:
    """In a process that lives for one model, so that it loads it once."""
    torch.set_num_threads(1)
    return job(_loaded(folder))


def _measure_autoencoder(pipeline: WanImageToVideoPipeline, clips: int) -> dict[str, Any]:
    return dict(measure_autoencoder(pipeline.vae, clips))


def _load(folder: Path) -> WanImageToVideoPipeline:
    pipeline = WanImageToVideoPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


_loaded = cache(_load)

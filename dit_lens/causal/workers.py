"""Measure the units of a causal probe by several processes, each with a model and a share of the cores of its own.

A small model leaves most of a processor idle between its small operations, and threads do not help it; processes do.
Unit number ``i`` belongs to process ``i`` modulo their number. Every process keeps what it measured in the folder that
all of them share, so nothing is sent but the reason if one fails; the process that began them then finds everything
there and puts it together.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

import torch

from dit_lens.causal.context import Share
from dit_lens.causal.run import Intervention

__all__ = ["Prepare", "measure_by_processes"]

Prepare = Callable[[Share], Intervention]
"""Makes the intervention anew in another process, so it must be a function that can be sent there."""
_LOOK_SECONDS = 1.0


def measure_by_processes(
    intervention: Intervention, prepare: Prepare, workers: int, progress: Callable[[int, int], None] | None = None
) -> None:
    """Measure what is missing; returns when every unit is kept.

    Parameters
    ----------
    intervention : Intervention
        The same as ``prepare`` makes; it locks the folder meanwhile.
    prepare : callable
        Of (number of the process, number of processes).
    workers : int
    progress : callable, optional
        Called with (units done, units in all).

    Raises
    ------
    Exception
        What ended a process; the others end with the unit that they are at, which is not lost.
    """
    units, kept = intervention.context.units, intervention.context.kept
    kept.begin()
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        running = {pool.submit(_measure, prepare, (number, workers)) for number in range(workers)}
        while running:
            if progress:
                progress(kept.count(units), len(units))
            done, running = wait(running, _LOOK_SECONDS, return_when=FIRST_EXCEPTION)
            _raise_first(done)
    finally:
        pool.shutdown(cancel_futures=True)
        kept.end()


def _raise_first(done: set[Future[None]]) -> None:
    for future in done:
        future.result()


def _measure(prepare: Prepare, share: Share) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // share[1]))
    prepare(share).measure()

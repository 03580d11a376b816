"""Where tiny-wan decides a fork: two routes are equally good, and x0 of the first steps shows both of them.

The guided x0 of every step is decoded and read by the scorer. A fork is *final* from the step from which on every x0
is read as the video is in the end. Both routes are *visible* in a picture if each is painted by a fifth or more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from diffusers import WanImageToVideoPipeline

from dit_lens.puzzles import Maze, Puzzle, routes_visible, unseen
from dit_lens.tiny.train.measure import decode_batch, denoise_batch

__all__ = ["measure_commitment"]

_VISIBLE = 0.2


def measure_commitment(
    pipeline: WanImageToVideoPipeline, count: int, steps: int, guidance: float = 3.0, batch: int = 16
) -> dict[str, Any]:
    """Read every step of ``count`` unseen forks with two routes, one seed each.

    Parameters
    ----------
    pipeline : WanImageToVideoPipeline
    count, steps : int
    guidance : float
    batch : int

    Returns
    -------
    dict
        ``count``; ``both``, those with both routes visible in x0 of step 0; ``answers``, how many videos take which
        route; ``sigmas`` of the steps; and ``final``, how many become final at each of them.
    """
    forks = [unseen("fork", index) for index in range(count)]
    sigmas: list[float] = []
    both, answers, final = 0, Counter[str](), Counter[int]()
    for start in range(0, count, batch):
        group = forks[start : start + batch]
        sigmas, shown, readings, last = _read(pipeline, group, steps, guidance, start)
        both += sum(shown)
        for row, answer in enumerate(last):
            if answer is not None:
                answers[answer] += 1
                final.update(_commitment([step[row] for step in readings], answer))
    by_step = [final[step] for step in range(steps)]
    return {"count": count, "both": both, "answers": dict(sorted(answers.items())), "sigmas": sigmas, "final": by_step}


def _read(
    pipeline: WanImageToVideoPipeline, forks: Sequence[Puzzle], steps: int, guidance: float, seed: int
) -> tuple[list[float], list[bool], list[list[str | None]], list[str | None]]:
    """Sigmas; whether step 0 shows both routes; what each step's x0 is read as, and the videos, row by row."""
    every = list(denoise_batch(pipeline, forks, steps, guidance, seed))
    films = (decode_batch(pipeline, clean) for _, clean, _ in every)
    first = next(films)
    shown = [_shows_both(fork, video) for fork, video in zip(forks, first, strict=True)]
    readings = [_answers(forks, first), *(_answers(forks, videos) for videos in films)]
    return [sigma for sigma, *_ in every], shown, readings, _answers(forks, decode_batch(pipeline, every[-1][2]))


def _answers(forks: Sequence[Puzzle], videos: Sequence[np.ndarray]) -> list[str | None]:
    return [fork.score(video).answer for fork, video in zip(forks, videos, strict=True)]


def _shows_both(fork: Puzzle, video: np.ndarray) -> bool:
    assert isinstance(fork, Maze)
    return min(routes_visible(fork, video[-1]).values()) >= _VISIBLE


def _commitment(answers: Sequence[str | None], final: str) -> list[int]:
    """The step from which on all are the final one; none if the last is not."""
    different = [step for step, answer in enumerate(answers) if answer != final]
    first = different[-1] + 1 if different else 0
    return [first] if first < len(answers) else []

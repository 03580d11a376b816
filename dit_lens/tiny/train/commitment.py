"""Where tiny-wan decides a fork: two routes are equally good, and x0 of the first steps shows both of them.

The guided x0 of every step is decoded and read by the scorer. A fork is *final* from the step from which on every x0
is read as the video is in the end. Both routes are *visible* in a picture if each is painted by a fifth or more. They
are both in a *latent* if it lies well between those of the two clips: a decoder is no linear map, and shows one route
alone of a mixture that leans to it.

Shapes: B batch (one fork a row), R routes, Z latent channels, f latent frames, h, w latent height and width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from diffusers import WanImageToVideoPipeline

from dit_lens.generation import GUIDANCE
from dit_lens.puzzles import Maze, Puzzle, routes_visible, unseen
from dit_lens.tiny.train.latents import encode
from dit_lens.tiny.train.measure import decode_batch, denoise_batch, latent_statistics
from dit_lens.tiny.train.sampling import clip_tensor

__all__ = ["latent_shares", "measure_commitment"]

_VISIBLE = 0.2


def measure_commitment(
    pipeline: WanImageToVideoPipeline, count: int, steps: int, guidance: float = GUIDANCE, batch: int = 16
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
        ``count``; ``both``, those with both routes visible in decoded x0 of step 0; ``mixed``, those with both in the
        latent; ``answers``, how many videos take which route; ``sigmas`` of the steps; and ``final``, how many become
        final at each of them.
    """
    forks = [unseen("fork", index) for index in range(count)]
    sigmas: list[float] = []
    both, mixed, answers, final = 0, 0, Counter[str](), Counter[int]()
    for start in range(0, count, batch):
        group = forks[start : start + batch]
        sigmas, shares, shown, readings, last = _read(pipeline, group, steps, guidance, start)
        both += sum(shown)
        mixed += sum(min(share, 1 - share) >= _VISIBLE for share in shares)
        for row, answer in enumerate(last):
            if answer is not None:
                answers[answer] += 1
                final.update(_commitment([step[row] for step in readings], answer))
    by_step = [final[step] for step in range(steps)]
    told = {"answers": dict(sorted(answers.items())), "sigmas": sigmas, "final": by_step}
    return {"count": count, "both": both, "mixed": mixed, **told}


@torch.no_grad()
def latent_shares(pipeline: WanImageToVideoPipeline, forks: Sequence[Puzzle], clean_BZfhw: torch.Tensor) -> list[float]:
    """How much of the first route a latent holds, from 0 (the second alone) to 1.

    That is where its projection lies on the line from the latent of the clip with the second route to that of the clip
    with the first.
    """
    mean, std = latent_statistics(pipeline)
    shares = []
    for fork, clean_Zfhw in zip(forks, clean_BZfhw, strict=True):
        assert isinstance(fork, Maze)
        clips = torch.stack([clip_tensor(replace(fork, drawn=route)) for route in (0, 1)])
        first, second = (encode(pipeline.vae, clips) - mean) / std
        way = (first - second).flatten()
        shares.append(float((clean_Zfhw - second).flatten() @ way / (way @ way)))
    return shares


def _read(
    pipeline: WanImageToVideoPipeline, forks: Sequence[Puzzle], steps: int, guidance: float, seed: int
) -> tuple[list[float], list[float], list[bool], list[list[str | None]], list[str | None]]:
    """Sigmas; of step 0 the shares in the latent, and whether both routes show; readings of x0 and of the videos."""
    every = list(denoise_batch(pipeline, forks, steps, guidance, seed))
    films = (decode_batch(pipeline, clean) for _, clean, _ in every)
    shares = latent_shares(pipeline, forks, every[0][1])
    first = next(films)
    shown = [_shows_both(fork, video) for fork, video in zip(forks, first, strict=True)]
    readings = [_answers(forks, first), *(_answers(forks, videos) for videos in films)]
    last = _answers(forks, decode_batch(pipeline, every[-1][2]))
    return [sigma for sigma, *_ in every], shares, shown, readings, last


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

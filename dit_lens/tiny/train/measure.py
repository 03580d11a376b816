"""Measure tiny-wan on unseen puzzles: the share solved at the end, and the share already solved in x0 of step 0.

Many puzzles are sampled in one batch with the pipeline's own scheduler, experts, boundary and guidance; that gives the
same videos as the pipeline up to rounding (a test holds the two together), in less time.

Shapes: B batch (one puzzle a row), Z latent channels, f latent frames, h, w latent height and width, L text tokens,
D text channels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image

from dit_lens.generation import GUIDANCE
from dit_lens.puzzles import TASKS, Puzzle, Score, unseen
from dit_lens.puzzles.canvas import FRAMES, PICTURE_PIXELS
from dit_lens.tiny.train.autoencoder import to_pixels
from dit_lens.tiny.train.denoiser import first_frame_mask
from dit_lens.tiny.train.latents import condition_clip, encode
from dit_lens.tiny.train.sampling import clip_tensor

__all__ = [
    "SolveRates",
    "check_solving",
    "decode_batch",
    "denoise_batch",
    "generate_batch",
    "latent_statistics",
    "measure_row",
    "measure_solving",
    "measured_rows",
    "row_puzzles",
    "time_generation",
]


Row = tuple[str, str, int | None]


@dataclass(frozen=True)
class SolveRates:
    """Shares of unseen puzzles; ``first_step`` is read from decoded x0 of step 0, ``overall`` is the mean score."""

    count: int
    solved: float
    first_step: float
    overall: float


def generate_batch(
    pipeline: WanImageToVideoPipeline, puzzles: Sequence[Puzzle], steps: int, guidance: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Final latents and guided x0 of step 0, each (B, Z, f, h, w), normalised; row b starts from seed ``seed + b``."""
    every = denoise_batch(pipeline, puzzles, steps, guidance, seed)
    _, first, latents = next(every)
    for _, _, after in every:
        latents = after
    return latents, first


@torch.no_grad()
def denoise_batch(
    pipeline: WanImageToVideoPipeline, puzzles: Sequence[Puzzle], steps: int, guidance: float, seed: int
) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
    """Sigma, guided x0 and the latents after it, of one step after another; see ``generate_batch``."""
    clip = torch.stack([clip_tensor(puzzle) for puzzle in puzzles])
    mean, std = latent_statistics(pipeline)
    condition = (encode(pipeline.vae, condition_clip(clip)) - mean) / std
    rows = [torch.Generator().manual_seed(seed + row) for row in range(len(puzzles))]
    x_BZfhw = torch.cat([torch.randn((1, *condition.shape[1:]), generator=row) for row in rows])
    positive_BLD, negative_BLD = pipeline.encode_prompt(
        [puzzle.prompt for puzzle in puzzles], [""] * len(puzzles), guidance > 1, max_sequence_length=512
    )
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(steps)
    mask = first_frame_mask(condition)
    for index, t in enumerate(scheduler.timesteps):
        high = t >= pipeline.config.boundary_ratio * 1000
        model = pipeline.transformer if high else pipeline.transformer_2
        model_input = torch.cat([x_BZfhw, mask, condition], dim=1)

        def velocity(text_BLD: torch.Tensor, model=model, model_input=model_input, t=t) -> torch.Tensor:  # type: ignore[no-untyped-def]
            return model(model_input, t.expand(len(model_input)), text_BLD, return_dict=False)[0]  # type: ignore[no-any-return]

        v = velocity(positive_BLD)
        if guidance > 1:
            unguided = velocity(negative_BLD)
            v = unguided + guidance * (v - unguided)
        clean = x_BZfhw - scheduler.sigmas[index] * v
        x_BZfhw = scheduler.step(v, t, x_BZfhw, return_dict=False)[0]
        yield float(scheduler.sigmas[index]), clean, x_BZfhw


@torch.no_grad()
def decode_batch(pipeline: WanImageToVideoPipeline, z_BZfhw: torch.Tensor) -> list[np.ndarray]:
    """Decoded pixels of every row, uint8 (F, H, W, 3)."""
    mean, std = latent_statistics(pipeline)
    return [to_pixels(row) for row in pipeline.vae.decode(z_BZfhw * std + mean).sample]


def latent_statistics(pipeline: WanImageToVideoPipeline) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the latents, ready to broadcast over (B, Z, f, h, w)."""
    config = pipeline.vae.config
    mean, std = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (config.latents_mean, config.latents_std))
    return mean, std


def measure_solving(
    pipeline: WanImageToVideoPipeline,
    puzzles: Sequence[Puzzle],
    steps: int = 20,
    guidance: float = GUIDANCE,
    batch: int = 16,
) -> SolveRates:
    """Generate and score puzzles, one seed each."""
    final: list[Score] = []
    early: list[Score] = []
    for start in range(0, len(puzzles), batch):
        group = puzzles[start : start + batch]
        made = generate_batch(pipeline, group, steps, guidance, start)
        for latents, scores in zip(made, (final, early), strict=True):
            videos = decode_batch(pipeline, latents)
            scores += [puzzle.score(video) for video, puzzle in zip(videos, group, strict=True)]
    return SolveRates(
        count=len(puzzles),
        solved=float(np.mean([score.solved for score in final])),
        first_step=float(np.mean([score.solved for score in early])),
        overall=float(np.mean([score.overall for score in final])),
    )


def measured_rows() -> list[Row]:
    """Task, variant and size of every row of the card's table.

    The mazes and forks that training draws by size have a row for each size.
    """
    return [
        (task.name, variant, size)
        for task in TASKS.values()
        for variant in task.variants
        for size in (task.sizes.get(variant, (None,)) if variant == task.default else (None,))
    ]


def row_puzzles(row: Row, count: int) -> list[Puzzle]:
    """The ``count`` unseen puzzles of one row."""
    task, variant, size = row
    return [unseen(task, index, variant, size) for index in range(count)]


def measure_row(pipeline: WanImageToVideoPipeline, row: Row, count: int, steps: int) -> dict[str, Any]:
    """What a row of the table says: ``SolveRates`` of its unseen puzzles."""
    task, variant, size = row
    rates = measure_solving(pipeline, row_puzzles(row, count), steps)
    return {"task": task, "variant": variant, "size": size, **asdict(rates)}


def check_solving(pipeline: WanImageToVideoPipeline, count: int, steps: int) -> dict[str, float]:
    """A quick look while training: the share of a few unseen puzzles of each task that is solved, unguided."""
    return {
        f"solved_{task}": measure_solving(
            pipeline, [unseen(task, index) for index in range(count)], steps, guidance=1.0
        ).solved
        for task in TASKS
    }


def time_generation(pipeline: WanImageToVideoPipeline, steps: int) -> float:
    """Median seconds of three generations by the pipeline itself, as a user calls it."""
    seconds = []
    for index in range(3):
        puzzle = unseen("maze", index)
        began = time.perf_counter()
        pipeline(
            image=Image.fromarray(puzzle.first_frame()),
            prompt=puzzle.prompt,
            height=PICTURE_PIXELS,
            width=PICTURE_PIXELS,
            num_frames=FRAMES,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
        )
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))

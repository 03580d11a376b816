"""Train the video autoencoder of tiny-wan: a small ``AutoencoderKLWan`` that must show every puzzle without a mistake.

The autoencoder is the ceiling of everything after it, so the loss weighs pixels that have a colour or change more than
floor and walls (a start marker of the wrong colour costs almost nothing in plain PSNR), and noise on the latents, most
of it where the clip changes, makes the decoder forgive what a denoiser leaves. Number of steps matters more than frames
per step: the run goes from single frames to short clips to whole clips, with one cosine over all of it.

Shapes: B batch, 3 colours, F frames, H height, W width, Z latent channels, f latent frames, h, w latent sizes.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from dit_lens.puzzles import unseen
from dit_lens.puzzles.canvas import FRAMES
from dit_lens.tiny.train.changing import changing
from dit_lens.tiny.train.log import RunLog
from dit_lens.tiny.train.muon import base_rates, make_optimisers, scale_rates
from dit_lens.tiny.train.precision import mixed_precision
from dit_lens.tiny.train.sampling import SHARES, SHOWN_SHARES, Shares, clip_tensor, shown_puzzle
from dit_lens.tiny.train.whole_clip import WholeClips, whole_clips

__all__ = ["AutoencoderRecipe", "build_autoencoder", "measure_autoencoder", "to_pixels", "train_autoencoder"]

_PUZZLES_A_STEP = 8


@dataclass(frozen=True)
class AutoencoderRecipe:
    """Everything that decides the weights.

    ``stages`` are (steps, clips a step, frames a clip). After ``encoder_steps`` only the decoder learns on: the
    latents are fixed from there. Noise on the latents is ``latent_noise`` of their standard deviation, and
    ``changing_noise`` times that where the clip changes.
    """

    seed: int = 0
    stages: tuple[tuple[int, int, int], ...] = ((700, 4, 1), (900, 1, 5), (500, 1, 9), (4000, 1, 17))
    encoder_steps: int = 4200
    muon_lr: float = 3e-2
    adam_lr: float = 3e-3
    warmup: int = 50
    latent_noise: float = 0.1
    changing_noise: float = 1.0
    rare_weight: float = 4.0
    shares: Shares = SHOWN_SHARES
    save_every: int = 250

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage[0] for stage in self.stages)

    def stage_of(self, step: int) -> tuple[int, int]:
        """Clips and frames of one step."""
        for count, clips, frames in self.stages:
            if step < count:
                return clips, frames
            step -= count
        raise IndexError(step)

    def rate_at(self, step: int) -> float:
        """Factor on the learning rates: linear warm-up, then cosine to zero."""
        return min(1.0, (step + 1) / self.warmup) * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def build_autoencoder(seed: int = 0) -> AutoencoderKLWan:
    """The untrained autoencoder: 8 x 8 pixels and 4 frames to a latent of 16 channels, 2.6 M parameters."""
    torch.manual_seed(seed)
    return AutoencoderKLWan(
        base_dim=16,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 16,
        latents_std=[1.0] * 16,
    )


def train_autoencoder(
    recipe: AutoencoderRecipe, folder: Path, log: RunLog, vae: AutoencoderKLWan | None = None
) -> AutoencoderKLWan:
    """Train ``vae``, or one from the seed, or go on from ``folder/autoencoder.pt``; returns the trained module."""
    vae = vae or build_autoencoder(recipe.seed)
    optimisers = make_optimisers(vae, recipe.muon_lr, recipe.adam_lr)
    rates = base_rates(optimisers)
    checkpoint = folder / "autoencoder.pt"
    start = _resume(checkpoint, vae, optimisers)
    log.rewind("autoencoder", start)
    began = time.monotonic()
    with whole_clips(vae) as clips:
        for step in range(start, recipe.steps):
            scale_rates(optimisers, rates, recipe.rate_at(step))
            loss = _train_step(clips, optimisers, recipe, step)
            done = step + 1
            if step % 20 == 0:
                log.write(stage="autoencoder", step=done, loss=loss, seconds=round(time.monotonic() - began, 1))
            if done % recipe.save_every == 0 or done == recipe.steps:  # a checkpoint has its measurement before it
                log.write(stage="autoencoder", step=done, **measure_autoencoder(vae, 2))
                _save(checkpoint, vae, optimisers, done)
    return vae


def _train_step(
    clips: WholeClips, optimisers: list[torch.optim.Optimizer], recipe: AutoencoderRecipe, step: int
) -> float:
    x_B3FHW = _batch(recipe, step)
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    with mixed_precision("cpu"):
        with torch.set_grad_enabled(step < recipe.encoder_steps):
            z_BZfhw = clips.encode(x_B3FHW)
        y_B3FHW = clips.decode(z_BZfhw + latent_noise(z_BZfhw.detach().float(), recipe, generator)).float()
    error = torch.relu(1 - x_B3FHW * y_B3FHW)  # every colour is a corner of the cube: going beyond it is no error
    loss = (rarity(x_B3FHW, recipe.rare_weight) * (error + 2 * error**2)).mean()
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    for optimiser in optimisers:
        optimiser.step()
    return float(loss.detach())


def latent_noise(z_BZfhw: torch.Tensor, recipe: AutoencoderRecipe, generator: torch.Generator) -> torch.Tensor:
    """Noise for latents of shape (B, Z, f, h, w), not normalised: more of it where the clip changes."""
    deviation = z_BZfhw.std()
    more = changing(z_BZfhw / deviation, recipe.changing_noise)
    return torch.randn(z_BZfhw.shape, generator=generator) * deviation * recipe.latent_noise * more


def rarity(x_B3FHW: torch.Tensor, weight: float) -> torch.Tensor:
    """``weight`` for pixels with a colour and for those that change within the clip, 1 for the others."""
    coloured = (x_B3FHW.amax(1, keepdim=True) - x_B3FHW.amin(1, keepdim=True)) > 1
    changing = ((x_B3FHW.amax(2, keepdim=True) - x_B3FHW.amin(2, keepdim=True)) > 1).any(1, keepdim=True)
    return 1 + (weight - 1) * (coloured | changing)


def _batch(recipe: AutoencoderRecipe, step: int) -> torch.Tensor:
    clips, frames = recipe.stage_of(step)
    rng = np.random.default_rng([recipe.seed, 7, step])
    parts = []
    for i in range(clips):
        first = int(rng.integers(0, FRAMES - frames + 1))
        puzzle = shown_puzzle(recipe.seed, step * _PUZZLES_A_STEP + i, recipe.shares)
        parts.append(clip_tensor(puzzle)[:, first : first + frames])
    return torch.stack(parts)


def to_pixels(y_3FHW: torch.Tensor) -> np.ndarray:
    """Decoded values in [-1, 1] as uint8 pixels of shape (F, H, W, 3)."""
    scaled = ((y_3FHW.float().clamp(-1, 1) + 1) * 127.5).round()
    return scaled.to(torch.uint8).permute(1, 2, 3, 0).numpy()


@torch.no_grad()
def measure_autoencoder(
    vae: AutoencoderKLWan, count: int, variants: Iterable[tuple[str, str]] = tuple(share[:2] for share in SHARES)
) -> dict[str, float]:
    """PSNR over unseen clips, and the share of ``count`` clips of each variant whose answer is read back, by task."""
    errors: list[float] = []
    right: dict[str, list[bool]] = {}
    for (task, variant), index in itertools.product(variants, range(count)):
        puzzle = unseen(task, index, variant)
        x_3FHW = clip_tensor(puzzle)
        y_3FHW = vae.decode(vae.encode(x_3FHW[None]).latent_dist.mode()).sample[0]
        errors.append(float(((y_3FHW.clamp(-1, 1) - x_3FHW) ** 2).mean()))
        score, true = (puzzle.score(video) for video in (to_pixels(y_3FHW), puzzle.clip()))
        right.setdefault(task, []).append(score.solved and score.answer == true.answer)
    return {
        "psnr": 10 * math.log10(4 / np.mean(errors)),
        **{f"readback_{task}": float(np.mean(read)) for task, read in right.items()},
    }


def _save(path: Path, vae: AutoencoderKLWan, optimisers: list[torch.optim.Optimizer], step: int) -> None:
    partial = path.with_suffix(".partial")
    torch.save({"step": step, "vae": vae.state_dict(), "opt": [o.state_dict() for o in optimisers]}, partial)
    partial.replace(path)


def _resume(path: Path, vae: AutoencoderKLWan, optimisers: list[torch.optim.Optimizer]) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    vae.load_state_dict(state["vae"])
    for optimiser, saved in zip(optimisers, state["opt"], strict=True):
        optimiser.load_state_dict(saved)
    return int(state["step"])

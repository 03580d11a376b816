"""Train the two experts of tiny-wan: one model over all noise levels first, then a copy for each expert's own range.

Flow matching as Wan2.2 does it: ``x_s = (1 - s) x_0 + s e`` and the network predicts ``e - x_0``. Noise levels are
drawn along the shift-5 curve that the sampler walks, but more often above the boundary of 0.9, because that is where
the route is decided. The copies start from the shared average of weights and see only the levels that the pipeline
will send them.

Shapes: B batch, Z latent channels, M mask channels, f latent frames, h, w latent height and width, L text tokens,
D text channels.
"""

from __future__ import annotations

import copy
import functools
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers import WanTransformer3DModel

from dit_lens.tiny.train.changing import changing
from dit_lens.tiny.train.latents import Focus, LatentFiles, Statistics
from dit_lens.tiny.train.log import RunLog
from dit_lens.tiny.train.muon import base_rates, make_optimisers, scale_rates
from dit_lens.tiny.train.precision import mixed_precision
from dit_lens.tiny.train.sampling import SHARES, Shares
from dit_lens.tiny.train.text import TEXT_CHANNELS, PaddedTextAttention

__all__ = ["BOUNDARY", "Check", "DenoiserRecipe", "Part", "Prompts", "build_denoiser", "first_frame_mask", "train_part"]

BOUNDARY = 0.9
SHIFT = 5.0
Part = Literal["shared", "high", "low"]
Check = Callable[[Part, WanTransformer3DModel], dict[str, float]]


@dataclass(frozen=True)
class DenoiserRecipe:
    """Everything that decides the weights of the experts.

    ``focus`` names a task and how much of a batch is drawn from it alone once the shared part is done: what takes
    longest to learn. An error weighs ``changing_weight`` where the clip changes, 1 elsewhere.
    """

    seed: int = 0
    steps: tuple[tuple[Part, int], ...] = (("shared", 1500), ("high", 1100), ("low", 700))
    files: int = 10
    first_files: int = 2
    steps_a_file: int = 150
    batch: int = 32
    muon_lr: float = 3e-3
    adam_lr: float = 1e-3
    warmup: int = 100
    ema: float = 0.998
    high_share: float = 0.65
    prompt_dropout: float = 0.1
    focus: Focus | None = ("occlusion", 0.4)
    shares: Shares = SHARES
    changing_weight: float = 1.0
    expert_warmup: int = 0
    save_every: int = 100
    check_every: int = 500
    fused: bool = True

    def steps_of(self, part: Part) -> int:
        """Steps of one part."""
        return dict(self.steps)[part]

    def files_at(self, part: Part, step: int) -> int:
        """How many files a step draws from: a pool that grows while the shared part learns."""
        return min(self.files, self.first_files + step // self.steps_a_file) if part == "shared" else self.files

    def rate_at(self, part: Part, step: int) -> float:
        """Factor on the learning rates: warm-up and constant while shared; linear to zero for the experts."""
        if part == "shared":
            return min(1.0, (step + 1) / self.warmup)
        return min(1.0, (step + 1) / (self.expert_warmup + 1)) * (1 - step / self.steps_of(part))


class Prompts:
    """What the text encoder makes of prompts, each encoded once, when it first comes up."""

    def __init__(self, encode: Callable[[str], tuple[torch.Tensor, int]]) -> None:
        self._encode = functools.cache(encode)

    def rows(self, prompts: Sequence[str], device: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (B, L, D), and how many words each has (B)."""
        embeddings, words = zip(*map(self._encode, prompts), strict=True)
        return torch.stack(embeddings).to(device), torch.tensor(words, device=device)


def build_denoiser(seed: int = 0) -> WanTransformer3DModel:
    """An untrained expert: 10 blocks of width 128 in the image-to-video format, 2.5 M parameters."""
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=2,
        attention_head_dim=64,
        in_channels=36,
        out_channels=16,
        text_dim=TEXT_CHANNELS,
        freq_dim=128,
        ffn_dim=384,
        num_layers=10,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
    )


def first_frame_mask(z_BZfhw: torch.Tensor) -> torch.Tensor:
    """The four mask channels of the image-to-video format: one in the first latent frame, zero after it."""
    mask_BMfhw = torch.zeros_like(z_BZfhw[:, :4])
    mask_BMfhw[:, :, 0] = 1
    return mask_BMfhw


def draw_sigma(rng: np.random.Generator, part: Part, count: int, high_share: float) -> torch.Tensor:
    """Noise levels along the shift-5 curve ``s = 5 u / (1 + 4 u)``, within the range of the part."""
    edge = BOUNDARY / (SHIFT - (SHIFT - 1) * BOUNDARY)
    share = {"shared": high_share, "high": 1.0, "low": 0.0}[part]
    above = rng.random(count) < share
    u = np.where(above, rng.uniform(edge, 1, count), rng.uniform(0, edge, count))
    return torch.from_numpy(SHIFT * u / (1 + (SHIFT - 1) * u)).float()


class Trainer:
    """One part of the training, with its optimisers, running average of weights and checkpoint."""

    def __init__(
        self,
        part: Part,
        recipe: DenoiserRecipe,
        data: LatentFiles,
        statistics: Statistics,
        prompts: Prompts,
        device: str,
    ) -> None:
        self.part, self.recipe, self.data, self.prompts, self.device = part, recipe, data, prompts, device
        self.model = build_denoiser(recipe.seed).to(device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.attention = PaddedTextAttention()
        for block in self.model.blocks:
            block.attn2.processor = self.attention
        if recipe.fused and shutil.which("c++"):  # two thirds of an eager step go into element-wise passes over memory
            self.model.compile_repeated_blocks(fullgraph=True)
        self.optimisers = make_optimisers(self.model, recipe.muon_lr, recipe.adam_lr, inside="blocks.")
        self.rates = base_rates(self.optimisers)
        self.mean, self.std = (torch.tensor(x, device=device).view(1, -1, 1, 1, 1) for x in statistics)
        self.step = 0

    def start_from(self, weights: dict[str, torch.Tensor]) -> None:
        """Take over the weights of another part."""
        self.model.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def train_step(self) -> float:
        """One batch; returns the loss."""
        scale_rates(self.optimisers, self.rates, self.recipe.rate_at(self.part, self.step))
        loss = self._loss()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        self._average()
        return float(loss.detach())

    def _loss(self) -> torch.Tensor:
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, {"shared": 11, "high": 12, "low": 13}[self.part], self.step])
        files = recipe.files_at(self.part, self.step)
        focus = None if self.part == "shared" else recipe.focus
        *latents, prompts = self.data.batch(rng, recipe.batch, files, focus)
        clip, condition = ((z.to(self.device) - self.mean) / self.std for z in latents)
        sigma_B = draw_sigma(rng, self.part, recipe.batch, recipe.high_share).to(self.device)
        noise = torch.from_numpy(rng.standard_normal(clip.shape, dtype=np.float32)).to(self.device)
        sigma = sigma_B.view(-1, 1, 1, 1, 1)
        x_BZfhw = (1 - sigma) * clip + sigma * noise
        dropped = rng.random(recipe.batch) < recipe.prompt_dropout
        asked = ["" if empty else prompt for empty, prompt in zip(dropped, prompts, strict=True)]
        text_BLD, words_B = self.prompts.rows(asked, self.device)
        self.attention.set_words(words_B)
        with mixed_precision(self.device):
            velocity = self.model(
                hidden_states=torch.cat([x_BZfhw, first_frame_mask(x_BZfhw), condition], dim=1),
                timestep=sigma_B * 1000,
                encoder_hidden_states=text_BLD,
                return_dict=False,
            )[0]
        weight_B1fhw = changing(clip, recipe.changing_weight)
        squares = (velocity.float() - (noise - clip)) ** 2
        loss: torch.Tensor = (weight_B1fhw * squares).mean() / weight_B1fhw.mean()
        return loss

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for mine, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mine.lerp_(new, 1 - decay)

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        partial = path.with_suffix(".partial")
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "opt": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.step = int(state["step"])
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["opt"], strict=True):
            optimiser.load_state_dict(saved)


def train_part(
    part: Part,
    recipe: DenoiserRecipe,
    data: LatentFiles,
    statistics: Statistics,
    prompts: Prompts,
    folder: Path,
    log: RunLog,
    device: str,
    check: Check,
    begin: dict[str, torch.Tensor] | None = None,
) -> WanTransformer3DModel:
    """Train one part, or go on from its checkpoint; returns the running average of its weights.

    It begins with the weights ``begin``, or with those of the shared part, or as the seed makes them.
    ``statistics`` are mean and standard deviation of the latents. ``check`` measures the average of the weights every
    ``check_every`` steps and at the end; what it returns goes into the log.
    """
    trainer = Trainer(part, recipe, data, statistics, prompts, device)
    path = folder / f"{part}.pt"
    if path.exists():
        trainer.resume(path)
    elif begin is not None:
        trainer.start_from(begin)
    elif part != "shared":
        trainer.start_from(torch.load(folder / "shared.pt", weights_only=True, map_location=device)["average"])
    log.rewind(part, trainer.step)
    began, last = time.monotonic(), recipe.steps_of(part)
    while trainer.step < last:
        loss = _step_quietly(trainer)
        if trainer.step % 20 == 0:
            log.write(stage=part, step=trainer.step, loss=loss, seconds=round(time.monotonic() - began, 1))
        if trainer.step % recipe.check_every == 0 or trainer.step == last:  # before the save: a kill loses both
            log.write(stage=part, step=trainer.step, **check(part, copy.deepcopy(trainer.average).cpu()))
        if trainer.step % recipe.save_every == 0 or trainer.step == last:
            trainer.save(path)
    return trainer.average.cpu()


def _step_quietly(trainer: Trainer) -> float:
    """One step; torch says at each first one that mixed precision meets a float32 norm, which is meant to be."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mismatch dtype between input and weight", UserWarning)
        return trainer.train_step()

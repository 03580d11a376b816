"""The models that are timed: the trained tiny-wan, and untrained Wan denoisers of any size.

An untrained model is a Wan2.2 text-to-video pipeline with one expert. Only its denoiser is built here; tokenizer, text
encoder, scheduler and autoencoder are those of tiny-wan, which divide a video as Wan's own do (by 4, 8 and 8), so that
grid and tokens are what the real model has at that size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

import dit_lens
from dit_lens.generation import Generation, Size
from dit_lens.lens import Lens, Origin
from dit_lens.puzzles import unseen

__all__ = ["Shape", "Subject", "tiny_wan", "untrained"]


@dataclass(frozen=True)
class Subject:
    """A lens, what it is asked for, and what it is in words."""

    name: str
    lens: Lens
    request: Generation

    @property
    def words(self) -> str:
        """Layers, tokens and channels, steps and branches."""
        _, layout, _ = self.lens.plan(self.request, ["latent"])
        frames, rows, columns = layout.tokens
        experts = len(self.lens.family.denoisers(self.lens.pipeline))
        return (
            f"{layout.layers} layers, {experts} expert{'s' * (experts > 1)}, {frames} frames of {rows * columns} "
            f"tokens, {layout.channels} channels, {layout.dtype}, {layout.steps} steps, {' and '.join(layout.branches)}"
        )


@dataclass(frozen=True)
class Shape:
    """Size of an untrained denoiser, and of its video."""

    layers: int = 8
    heads: int = 8
    head_channels: int = 64
    feed_forward: int = 2048
    size: Size = field(default_factory=lambda: Size(256, 256, 29))
    dtype: torch.dtype = torch.float32
    device: str = "cpu"


def tiny_wan(steps: int = 20) -> Subject:
    """The trained model on a maze."""
    maze = unseen("maze", 0, size=5)
    image = Image.fromarray(maze.first_frame())
    request = Generation(prompt=maze.prompt, image=image, seed=0, steps=steps)
    return Subject("tiny-wan", dit_lens.load("tiny-wan"), request)


def untrained(name: str, shape: Shape, steps: int, guidance: float = 1.0) -> Subject:
    """A Wan denoiser with random weights in a pipeline of its own.

    Parameters
    ----------
    name : str
    shape : Shape
    steps : int
    guidance : float
        Of more than 1, both branches run.

    Returns
    -------
    Subject
    """
    from diffusers import UniPCMultistepScheduler, WanPipeline

    parts = dit_lens.load("tiny-wan").pipeline
    pipeline = WanPipeline(
        tokenizer=parts.tokenizer,
        text_encoder=parts.text_encoder.to(shape.device),
        vae=parts.vae.to(shape.device),
        scheduler=UniPCMultistepScheduler.from_config(parts.scheduler.config),
        transformer=_denoiser(shape, int(parts.transformer.config.text_dim)),
    )
    request = Generation(prompt="Draw the path.", seed=0, steps=steps, guidance=guidance)
    return Subject(name, Lens(pipeline, Origin(name, size=shape.size)), request)


def _denoiser(shape: Shape, text_channels: int) -> Any:
    """Built where it will be, in the dtype that it will have: twice a large model does not fit."""
    from diffusers import WanTransformer3DModel

    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(shape.dtype)
    try:
        with torch.device(shape.device):
            model = WanTransformer3DModel(
                num_layers=shape.layers,
                num_attention_heads=shape.heads,
                attention_head_dim=shape.head_channels,
                ffn_dim=shape.feed_forward,
                text_dim=text_channels,
            )
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)

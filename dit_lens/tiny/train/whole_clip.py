"""Send whole clips through ``AutoencoderKLWan`` at once, not in chunks of four frames as it does itself.

The chunks save memory at the size of real videos. Here they only multiply the number of small convolutions. Without a
cache all modules work on whole clips but the two that change the number of frames, which then leave the frames as they
are. Their causal convolutions over all frames at once give what the chunks give, if the first frame is kept out of
them as the first chunk is.

Shapes: B batch, C channels, F frames, H height, W width, Z latent channels, f latent frames, h, w latent sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample
from einops import rearrange

__all__ = ["WholeClips", "whole_clips"]


@dataclass(frozen=True)
class WholeClips:
    """An autoencoder that takes whole clips."""

    vae: AutoencoderKLWan

    def encode(self, x_B3FHW: torch.Tensor) -> torch.Tensor:
        """The mode of the latents, (B, Z, f, h, w), not normalised."""
        moments: torch.Tensor = self.vae.quant_conv(self.vae.encoder(x_B3FHW))
        return moments.chunk(2, dim=1)[0]

    def decode(self, z_BZfhw: torch.Tensor) -> torch.Tensor:
        """Pixels (B, 3, F, H, W), not clamped: a clamp would stop the gradient of all that is out of range."""
        pixels: torch.Tensor = self.vae.decoder(self.vae.post_quant_conv(z_BZfhw))
        return pixels


@contextmanager
def whole_clips(vae: AutoencoderKLWan) -> Iterator[WholeClips]:
    """While inside, an autoencoder takes whole clips; called as usual it still works in chunks."""
    changed = [part for part in vae.modules() if isinstance(part, WanResample) and part.mode.endswith("3d")]
    for part in changed:
        part.forward = partial(_resample, part)
    try:
        yield WholeClips(vae)
    finally:
        for part in changed:
            del part.forward


def _resample(part: WanResample, x_BCFHW: torch.Tensor, feat_cache: Any = None, feat_idx: Any = None) -> torch.Tensor:
    if feat_cache is not None:
        chunk: torch.Tensor = WanResample.forward(part, x_BCFHW, feat_cache, feat_idx)
        return chunk
    if part.mode == "upsample3d":
        return _each_frame(part, _twice_the_frames(part, x_BCFHW))
    x_BCFHW = _each_frame(part, x_BCFHW)
    if x_BCFHW.shape[2] == 1:
        return x_BCFHW
    return torch.cat([x_BCFHW[:, :, :1], part.time_conv(x_BCFHW)], dim=2)


def _twice_the_frames(part: WanResample, x_BCFHW: torch.Tensor) -> torch.Tensor:
    """Two frames for every one but the first."""
    if x_BCFHW.shape[2] == 1:
        return x_BCFHW
    pairs = rearrange(part.time_conv(x_BCFHW[:, :, 1:]), "b (two c) f h w -> b c (f two) h w", two=2)
    return torch.cat([x_BCFHW[:, :, :1], pairs], dim=2)


def _each_frame(part: WanResample, x_BCFHW: torch.Tensor) -> torch.Tensor:
    frames: torch.Tensor = part.resample(rearrange(x_BCFHW, "b c f h w -> (b f) c h w"))
    return rearrange(frames, "(b f) c h w -> b c f h w", b=len(x_BCFHW))

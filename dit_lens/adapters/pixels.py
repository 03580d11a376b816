"""Latents to pixels: the same operations in the same order as at the end of the stock pipelines.

Only families whose final latents say all that decoding needs are here. Packed latents (LTX-Video) do not hold their
extents, and latents that were padded to whole patches (CogVideoX 1.5) do not say by how much.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange

__all__ = ["frame_by_frame", "normed", "scaled", "scaled_channels_last"]

_CHUNK = 14
"""Pictures that Latte decodes at a time."""


def scaled(pipeline: Any, latents_BCFHW: torch.Tensor) -> Any:
    """Divide by the autoencoder's factor, and decode."""
    latents = latents_BCFHW.to(pipeline.vae.dtype) / pipeline.vae.config.scaling_factor
    return _shown(pipeline, pipeline.vae.decode(latents, return_dict=False)[0])


def scaled_channels_last(pipeline: Any, latents_BFHWC: torch.Tensor) -> Any:
    """``scaled``, of latents whose channels come last."""
    return scaled(pipeline, rearrange(latents_BFHWC, "b f h w c -> b c f h w").contiguous())


def normed(pipeline: Any, latents_BCFHW: torch.Tensor) -> Any:
    """Undo the norm of every channel, if the autoencoder has one, and decode."""
    config = pipeline.vae.config
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is None or std is None:
        latents = latents_BCFHW / config.scaling_factor
    else:
        shift, scale = (torch.tensor(values).view(1, -1, 1, 1, 1).to(latents_BCFHW) for values in (mean, std))
        latents = latents_BCFHW * scale / config.scaling_factor + shift
    return _shown(pipeline, pipeline.vae.decode(latents, return_dict=False)[0])


def frame_by_frame(pipeline: Any, latents_BCFHW: torch.Tensor) -> Any:
    """Decode pictures, some at a time."""
    return _shown(pipeline, pipeline.decode_latents(latents_BCFHW, latents_BCFHW.shape[2], decode_chunk_size=_CHUNK))


def _shown(pipeline: Any, video: torch.Tensor) -> Any:
    return pipeline.video_processor.postprocess_video(video=video, output_type="np")[0]

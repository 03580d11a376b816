"""Sana-Video: self-attention without a softmax, and a feed-forward that is a convolution over the video.

Linear attention has no probabilities, so that no attention maps are sites; the feed-forward works on frames, rows and
columns instead of tokens, and is no site either.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

from typing import Any

import torch

from dit_lens.adapters import defaults
from dit_lens.adapters.checks import check_frames, check_multiple, refuse_image
from dit_lens.adapters.family import Family, Stack
from dit_lens.generation import Generation, Size

__all__ = ["LINEAR_ATTENTION"]

_PIPELINE_MULTIPLE = 32  # check_inputs of the stock pipeline refuses other sizes whatever the autoencoder is


def _arguments(family: Family, pipeline: Any, request: Generation, size: Size) -> dict[str, Any]:
    """The size that was asked for, not the nearest of those that the model was trained on."""
    more = {"frames": size.frames, "use_resolution_binning": False}
    return {**more, **defaults.arguments(family, pipeline, request, size)}


def _check(pipeline: Any, request: Generation, size: Size) -> None:
    refuse_image(pipeline, request)
    check_frames(size, int(pipeline.vae_scale_factor_temporal))
    check_multiple(size, _PIPELINE_MULTIPLE)


def _decode(pipeline: Any, latents_BCFHW: torch.Tensor) -> Any:
    """The same operations in the same order as at the end of the stock pipeline, whose autoencoders differ in kind."""
    latents, vae = latents_BCFHW.to(pipeline.vae.dtype), pipeline.vae
    mean, std = _statistics(vae, latents.shape[1])
    mean = mean.view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
    scale = 1.0 / std.view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
    video = vae.decode(latents / scale + mean, return_dict=False)[0]
    return pipeline.video_processor.postprocess_video(video, output_type="np")[0]


def _statistics(vae: Any, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    kind = type(vae).__name__
    if kind == "AutoencoderKLLTX2Video":
        return vae.latents_mean, vae.latents_std
    if kind == "AutoencoderKLWan":
        return torch.tensor(vae.config.latents_mean), torch.tensor(vae.config.latents_std)
    return torch.zeros(channels), torch.ones(channels)


_SANA_VIDEO = Family(
    name="sana-video",
    model="SanaVideoTransformer3DModel",
    pipelines=("SanaVideoPipeline",),
    stacks=(Stack("transformer_blocks", inside={"attn1": "attn1", "attn2": "attn2"}),),
    size=Size(480, 832, 81),
    guidance="batched",
    knows_schedule=True,
    check=_check,
    arguments=_arguments,
    decode=_decode,
)

LINEAR_ATTENTION = (_SANA_VIDEO,)
"""Sana-Video."""

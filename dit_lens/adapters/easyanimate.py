"""EasyAnimate: video and text as two streams that meet in one attention, the video first.

Its later layers send both streams through the same feed-forward, one after the other, so that the feed-forward is no
site: its output would come twice. The denoiser opens no cache context.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

from typing import Any

import torch

from dit_lens.adapters.checks import check_frames, check_multiple, refuse_image
from dit_lens.adapters.family import Family, Stack
from dit_lens.generation import Generation, Size

__all__ = ["EASYANIMATE"]

_PIPELINE_MULTIPLE = 16  # check_inputs of the stock pipeline refuses other sizes whatever the autoencoder is


def _check(pipeline: Any, request: Generation, size: Size) -> None:
    refuse_image(pipeline, request)
    check_frames(size, int(pipeline.vae_temporal_compression_ratio))
    check_multiple(size, _PIPELINE_MULTIPLE)


def _decode(pipeline: Any, latents_BCFHW: torch.Tensor) -> Any:
    """The same operations in the same order as at the end of the stock pipeline."""
    video = pipeline.vae.decode(1 / pipeline.vae.config.scaling_factor * latents_BCFHW, return_dict=False)[0]
    return pipeline.video_processor.postprocess_video(video=video, output_type="np")[0]


EASYANIMATE = Family(
    name="easyanimate",
    model="EasyAnimateTransformer3DModel",
    pipelines=("EasyAnimatePipeline",),
    stacks=(Stack("transformer_blocks", inside={"attn1": "attn1"}),),
    size=Size(512, 512, 49),
    guidance="batched",
    check=_check,
    decode=_decode,
)
"""EasyAnimate."""

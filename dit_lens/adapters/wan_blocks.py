"""Families that are built from Wan's layers but have a denoiser class of their own: SkyReels V2 and ChronoEdit.

Where a first frame is given, cross-attention reads its tokens in a second attention beside the text's, and adds up
both. ChronoEdit opens no cache context: its two calls a step are told apart by their order.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dit_lens.adapters import defaults
from dit_lens.adapters.checks import check_frames, check_multiple, need_image, refuse_image
from dit_lens.adapters.family import Family, Stack
from dit_lens.adapters.wan import WAN
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["WAN_BLOCKS"]

_PIPELINE_MULTIPLE = 16  # check_inputs of the stock pipelines refuses other sizes whatever the autoencoder is
_EDIT_FRAMES = 5


def _latent_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    """The denoiser may take the first frame and a mask as further channels."""
    return int(pipeline.vae.config.z_dim), *defaults.latent_shape(pipeline, size)[1:]


def _check_size(pipeline: Any, size: Size) -> None:
    check_frames(size, int(pipeline.vae_scale_factor_temporal))
    check_multiple(size, _PIPELINE_MULTIPLE)


def _text_check(pipeline: Any, request: Generation, size: Size) -> None:
    refuse_image(pipeline, request)
    _check_size(pipeline, size)


def _image_check(pipeline: Any, request: Generation, size: Size) -> None:
    need_image(pipeline, request)
    _check_size(pipeline, size)


def _edit_check(pipeline: Any, request: Generation, size: Size) -> None:
    """Frames beyond the fifth are drawn for some steps only, and dropped: those steps must be all."""
    _image_check(pipeline, request, size)
    reasoning = bool(request.extra.get("enable_temporal_reasoning", False))
    steps = int(request.extra.get("num_temporal_reasoning_steps", 0))
    if reasoning and steps < request.steps:
        raise BadRequest(
            f"the frames in between are dropped during the run; got num_temporal_reasoning_steps {steps}, allowed "
            f"{request.steps} or more; give that in extra"
        )
    if not reasoning and size.frames != _EDIT_FRAMES:
        raise BadRequest(
            f"ChronoEdit draws {_EDIT_FRAMES} frames unless it reasons in time; got {size.frames}, allowed "
            f"{_EDIT_FRAMES}; give enable_temporal_reasoning in extra"
        )


def _edit_decode(pipeline: Any, latents_BCFHW: torch.Tensor) -> Any:
    """With frames in between, the edited picture is decoded from the first and last latent frame alone."""
    decode = WAN.decode
    assert decode is not None
    if latents_BCFHW.shape[2] <= 2:
        return decode(pipeline, latents_BCFHW)
    between, edited = latents_BCFHW[:, :, :-1], latents_BCFHW[:, :, [0, -1]]
    return np.concatenate([decode(pipeline, between), decode(pipeline, edited)[1:]])


_SKYREELS_V2 = Family(
    name="skyreels-v2",
    model="SkyReelsV2Transformer3DModel",
    pipelines=("SkyReelsV2Pipeline",),
    stacks=(Stack("blocks", inside={"attn1": "attn1", "attn2": "attn2", "ffn": "ffn"}, probabilities=True),),
    size=Size(544, 960, 97),
    knows_schedule=True,
    text_tokens=defaults.padded_text,
    latent_shape=_latent_shape,
    check=_text_check,
    decode=WAN.decode,
)
_SKYREELS_V2_I2V = replace(
    _SKYREELS_V2,
    name="skyreels-v2-i2v",
    pipelines=("SkyReelsV2ImageToVideoPipeline",),
    check=_image_check,
)
_CHRONOEDIT = replace(
    _SKYREELS_V2_I2V,
    name="chronoedit",
    model="ChronoEditTransformer3DModel",
    pipelines=("ChronoEditPipeline",),
    size=Size(480, 832, _EDIT_FRAMES),
    check=_edit_check,
    decode=_edit_decode,
)

WAN_BLOCKS = (_SKYREELS_V2, _SKYREELS_V2_I2V, _CHRONOEDIT)
"""SkyReels V2, from text and from a first frame, and ChronoEdit."""

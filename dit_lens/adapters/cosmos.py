"""Cosmos Predict 2 and 2.5: world models whose layers read the text through cross-attention.

Predict 2 wraps its denoiser: the latent is scaled before it goes in, and what comes out is mixed with the latent before
the scheduler steps by it. A branch's output is therefore no velocity there. Both count the guidance scale from the
conditional branch, and run the branches as calls of their own, ``cond`` first. Frames that are given are replaced on
the way into the denoiser, so that what the scheduler keeps for them is not what the layers saw; Predict 2.5 replaces
their velocity as well, so that a branch's ``velocity`` and ``x0`` mean nothing in these frames. The pipelines let no
video out that their guardrail has not seen: latents are not decoded here, past it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dit_lens.adapters import defaults
from dit_lens.adapters.checks import check_frames, check_multiple, need_image, refuse_image
from dit_lens.adapters.family import Family, Stack
from dit_lens.generation import Generation, Size

__all__ = ["COSMOS"]

_PIPELINE_MULTIPLE = 16  # check_inputs of the stock pipelines refuses other sizes whatever the autoencoder is


def _latent_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    """The denoiser takes a mask of the given frames as one more channel."""
    return int(pipeline.transformer.config.out_channels), *defaults.latent_shape(pipeline, size)[1:]


def _check(pipeline: Any, request: Generation, size: Size) -> None:
    check_frames(size, int(pipeline.vae_scale_factor_temporal))
    check_multiple(size, _PIPELINE_MULTIPLE)
    if request.extra.get("video") is None:
        need_image(pipeline, request)


def _image_check(pipeline: Any, request: Generation, size: Size) -> None:
    refuse_image(pipeline, request)
    check_frames(size, 0)
    check_multiple(size, _PIPELINE_MULTIPLE)


def _predict_check(pipeline: Any, _request: Generation, size: Size) -> None:
    check_frames(size, int(pipeline.vae_scale_factor_temporal))
    check_multiple(size, _PIPELINE_MULTIPLE)


_COSMOS_2 = Family(
    name="cosmos-2",
    model="CosmosTransformer3DModel",
    pipelines=("Cosmos2VideoToWorldPipeline",),
    stacks=(Stack("transformer_blocks", inside={"attn1": "attn1", "attn2": "attn2", "ffn": "ff"}, probabilities=True),),
    size=Size(704, 1280, 93),
    preconditioned=True,
    image_per_row=True,
    text_tokens=defaults.padded_text,
    latent_shape=_latent_shape,
    check=_check,
)
_COSMOS_2_IMAGE = replace(
    _COSMOS_2,
    name="cosmos-2-image",
    pipelines=("Cosmos2TextToImagePipeline",),
    image_per_row=False,
    size=Size(768, 1360, 1),
    check=_image_check,
)
_COSMOS_2_5 = replace(
    _COSMOS_2,
    name="cosmos-2.5",
    pipelines=("Cosmos2_5_PredictBasePipeline",),
    preconditioned=False,
    image_per_row=False,
    knows_schedule=True,
    check=_predict_check,
)

COSMOS = (_COSMOS_2, _COSMOS_2_IMAGE, _COSMOS_2_5)
"""Cosmos Predict 2, for videos and for images, and Cosmos Predict 2.5."""

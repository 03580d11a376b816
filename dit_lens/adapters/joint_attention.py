"""Families whose layers hold two streams, video and text, that meet in one attention.

A layer returns both streams, the video first, and so does its attention. Queries, keys and values therefore hold text
beside video, so that no attention maps are sites. Where a layer's feed-forward sees both streams in one sequence
(CogVideoX), or its attention leaves the output projection to the layer (the single-stream layers of HunyuanVideo),
that output is no site either: it would mean something else than in the other layers.
"""

from __future__ import annotations

from typing import Any

from dit_lens.adapters import defaults, pixels
from dit_lens.adapters.extents import check_video
from dit_lens.adapters.family import Family, Stack
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["JOINT_ATTENTION"]

_MOCHI_STEPS = 2


def _cogvideox_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    """Frames are added until patches of several frames fit; what is drawn from an image takes it as channels."""
    _, frames, rows, columns = defaults.latent_shape(pipeline, size)
    config = pipeline.transformer.config
    patch = config.patch_size_t or 1
    return int(config.out_channels), -(-frames // patch) * patch, rows, columns


def _hunyuan15_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    """The denoiser also takes a picture and a mask as channels."""
    return int(pipeline.num_channels_latents), *defaults.latent_shape(pipeline, size)[1:]


def _hunyuan15_check(pipeline: Any, request: Generation, size: Size) -> None:
    """Guidance belongs to the pipeline's guider there, and the call cannot change it."""
    check_video(pipeline, request, size)
    guider = pipeline.guider
    if type(guider).__name__ != "ClassifierFreeGuidance" or (guider._start, guider._stop) != (0.0, 1.0):
        raise BadRequest(
            f"the branches of this guider are not known; got {type(guider).__name__} from {guider._start} to "
            f"{guider._stop}, allowed ClassifierFreeGuidance from 0.0 to 1.0; set pipeline.guider to one"
        )
    scale = float(guider.guidance_scale) if guider._enabled else 1.0
    if request.guidance != scale:
        raise BadRequest(
            f"guidance differs from that of the pipeline's guider; got {request.guidance}, allowed {scale}; ask for "
            f"that, or set pipeline.guider = pipeline.guider.new(guidance_scale={request.guidance})"
        )


def _mochi_check(pipeline: Any, request: Generation, size: Size) -> None:
    check_video(pipeline, request, size)
    if request.steps < _MOCHI_STEPS:
        raise BadRequest(
            f"half of the steps follow another schedule; got {request.steps} steps, allowed {_MOCHI_STEPS} or more; "
            f"ask for {_MOCHI_STEPS}"
        )


_COGVIDEOX = Family(
    name="cogvideox",
    model="CogVideoXTransformer3DModel",
    pipelines=("CogVideoXPipeline", "CogVideoXImageToVideoPipeline"),
    stacks=(Stack("transformer_blocks", inside={"attn1": "attn1"}),),
    size=Size(480, 720, 49),
    guidance="batched",
    latent="b f c h w",
    image_per_row=True,
    knows_schedule=True,
    latent_shape=_cogvideox_shape,
    check=check_video,
)
_HUNYUAN_VIDEO = Family(
    name="hunyuan-video",
    model="HunyuanVideoTransformer3DModel",
    pipelines=("HunyuanVideoPipeline",),
    stacks=(
        Stack("transformer_blocks", inside={"attn1": "attn", "ffn": "ff"}),
        Stack("single_transformer_blocks"),
    ),
    size=Size(720, 1280, 129),
    guidance_argument="true_cfg_scale",  # guidance_scale is an input of the distilled denoiser and makes no branch
    check=check_video,
    decode=pixels.scaled,
)
_HUNYUAN_VIDEO_15 = Family(
    name="hunyuan-video-1.5",
    model="HunyuanVideo15Transformer3DModel",
    pipelines=("HunyuanVideo15Pipeline",),
    stacks=(Stack("transformer_blocks", inside={"attn1": "attn", "ffn": "ff"}),),
    size=Size(480, 848, 121),
    contexts={"pred_cond": "cond", "pred_uncond": "uncond"},
    copies_embeddings=False,
    latent_shape=_hunyuan15_shape,
    check=_hunyuan15_check,
    decode=pixels.scaled,
)
_MOCHI = Family(
    name="mochi",
    model="MochiTransformer3DModel",
    pipelines=("MochiPipeline",),
    stacks=(Stack("transformer_blocks", inside={"attn1": "attn1", "ffn": "ff"}),),
    size=Size(480, 848, 19),
    guidance="batched",
    tells_timestep=False,  # it counts the other way, 1000 - t
    check=_mochi_check,
    decode=pixels.normed,
)

JOINT_ATTENTION = (_COGVIDEOX, _HUNYUAN_VIDEO, _HUNYUAN_VIDEO_15, _MOCHI)
"""CogVideoX, HunyuanVideo, HunyuanVideo 1.5 and Mochi."""

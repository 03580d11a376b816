"""Families whose layers hold the video alone and read the text through cross-attention.

Self-attention sees the tokens of the video in their order, so that attention maps are sites.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from dit_lens.adapters import defaults, pixels
from dit_lens.adapters.extents import check_extent, check_video
from dit_lens.adapters.family import Family, Stack
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["CROSS_ATTENTION"]

_PARTS = {"attn1": "attn1", "attn2": "attn2", "ffn": "ff"}
_FURTHER = {"stg_scale": ("uncond_stg", 0.0), "modality_scale": ("uncond_modality", 1.0)}
"""Argument of LTX-2's pipeline to the branch that it adds, and the value at which it adds none."""


def _allegro_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    """An even number of frames is rounded up instead of losing one."""
    channels, _, rows, columns = defaults.latent_shape(pipeline, size)
    odd = size.frames % 2
    return channels, ceil((size.frames - odd) / pipeline.vae_scale_factor_temporal) + odd, rows, columns


def _kandinsky_heads(denoiser: Any) -> tuple[int, int]:
    channels = sum(denoiser.config.axes_dims)
    return int(denoiser.config.model_dim) // channels, channels


def _kandinsky_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    temporal, spatial = pipeline.vae_scale_factor_temporal, pipeline.vae_scale_factor_spatial
    channels = int(pipeline.transformer.config.in_visual_dim)
    return channels, (size.frames - 1) // temporal + 1, size.height // spatial, size.width // spatial


def _kandinsky_width(denoiser: Any) -> int:
    return int(denoiser.config.model_dim)


def _kandinsky_text(_pipeline: Any, request: Generation) -> int:
    """Prompts are not padded to one length, so that only embeddings of one length have one."""
    names = ("prompt_embeds_qwen", "negative_prompt_embeds_qwen") if request.guidance > 1 else ("prompt_embeds_qwen",)
    lengths = {request.extra[name].shape[1] if name in request.extra else 0 for name in names}
    return int(lengths.pop()) if len(lengths) == 1 else 0


def _kandinsky_check(pipeline: Any, request: Generation, size: Size) -> None:
    check_video(pipeline, request, size)
    kind = pipeline.transformer.config.attention_type
    if kind != "regular":
        raise BadRequest(
            f"the tokens of sparse attention lie in 8 x 8 patches, not row by row; got attention_type {kind}, allowed "
            f"regular; load a checkpoint with full attention"
        )


def _ltx2_scales(request: Generation, name: str, off: float) -> tuple[float, float]:
    """Of the video and of the audio, which follows the video's by default."""
    video = float(request.extra.get(name, off))
    audio = request.extra.get(f"audio_{name}")
    return video, video if audio is None else float(audio)


def _ltx2_branches(_family: Family, request: Generation) -> tuple[str, ...]:
    guided = max(_ltx2_scales(request, "guidance_scale", request.guidance)) > 1
    further = [branch for name, (branch, off) in _FURTHER.items() if max(_ltx2_scales(request, name, off)) > off]
    return ("cond", "uncond", *further) if guided else ("cond", *further)


def _ltx2_arguments(family: Family, pipeline: Any, request: Generation, size: Size) -> dict[str, Any]:
    """Further kinds of guidance are off unless ``extra`` asks for them; the audio follows the video."""
    kinds = {"guidance_scale": request.guidance, **{name: off for name, (_, off) in _FURTHER.items()}}
    quiet = {**kinds, **{f"audio_{name}": None for name in kinds}}
    return {**defaults.arguments(family, pipeline, request, size), **quiet, **request.extra}


_LTX = Family(
    name="ltx",
    model="LTXVideoTransformer3DModel",
    pipelines=("LTXPipeline",),
    stacks=(Stack("transformer_blocks", inside=_PARTS, probabilities=True),),
    size=Size(512, 704, 161),
    guidance="batched",
    latent="b (f h w) c",
    text_tokens=defaults.padded_text,
    check=check_video,
)
_LTX2 = Family(
    name="ltx2",
    model="LTX2VideoTransformer3DModel",
    pipelines=("LTX2Pipeline",),
    stacks=(Stack("transformer_blocks", inside=_PARTS, probabilities=True),),
    size=Size(512, 768, 121),
    guidance="batched",
    latent="b (f h w) c",
    branches=_ltx2_branches,
    text_tokens=defaults.padded_text,
    check=check_video,
    arguments=_ltx2_arguments,
)
_ALLEGRO = Family(
    name="allegro",
    model="AllegroTransformer3DModel",
    pipelines=("AllegroPipeline",),
    stacks=(Stack("transformer_blocks", inside=_PARTS, probabilities=True),),
    size=Size(720, 1280, 88),
    guidance="batched",
    knows_schedule=True,
    text_tokens=defaults.padded_text,
    latent_shape=_allegro_shape,
    check=check_extent,
)
_KANDINSKY5 = Family(
    name="kandinsky5",
    model="Kandinsky5Transformer3DModel",
    pipelines=("Kandinsky5T2VPipeline",),
    stacks=(
        Stack(
            "visual_transformer_blocks",
            argument="visual_embed",
            inside={"attn1": "self_attention", "attn2": "cross_attention", "ffn": "feed_forward"},
            probabilities=True,
        ),
    ),
    size=Size(512, 768, 121),
    latent="b f h w c",
    knows_schedule=True,
    width=_kandinsky_width,
    heads=_kandinsky_heads,
    text_tokens=_kandinsky_text,
    latent_shape=_kandinsky_shape,
    check=_kandinsky_check,
    decode=pixels.scaled_channels_last,
)

CROSS_ATTENTION = (_LTX, _LTX2, _ALLEGRO, _KANDINSKY5)
"""LTX-Video, LTX-2 (the video of it), Allegro and Kandinsky 5."""

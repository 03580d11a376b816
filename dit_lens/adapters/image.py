"""Families that draw one picture: their trace has a single frame.

Flux, Flux 2 and QwenImage step a sequence of packed places, two rows by two columns each, so that the sequence is
already one token after the other; Stable Diffusion 3 and PixArt step a latent picture. Image and text meet in one
attention everywhere but in PixArt, whose attention maps are therefore sites. A layer of Flux, Flux 2, Stable Diffusion
3 and QwenImage returns the text first, its attention the image first; the single-stream layers of Flux 2 return one
sequence with the text in front.
"""

from __future__ import annotations

from typing import Any

from dit_lens.adapters import defaults
from dit_lens.adapters.checks import check_frames, check_multiple, refuse_extra, refuse_image
from dit_lens.adapters.family import Family, Stack
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["IMAGE"]

_PACK = 2  # rows and columns of the latent in one token of all of these models, as released
_PACKED = "b (h w) (c p q)"
_JOINT = {"attn1": "attn", "ffn": "ff"}
_MEGAPIXEL = Size(1024, 1024, 1)


def _packed_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    """The denoiser's channels are those of all places of a token."""
    channels, *extents = defaults.latent_shape(pipeline, size)
    frames, rows, columns = extents
    return channels // _PACK**2, frames, rows, columns


def _packed_grid(_denoiser: Any, latent: tuple[int, int, int, int]) -> tuple[int, int, int]:
    _, frames, rows, columns = latent
    return frames, rows // _PACK, columns // _PACK


def _check(pipeline: Any, request: Generation, size: Size) -> None:
    refuse_image(pipeline, request)
    check_frames(size, 0)
    check_multiple(size, int(pipeline.vae_scale_factor) * _PACK)


def _klein_check(pipeline: Any, request: Generation, size: Size) -> None:
    _check(pipeline, request, size)
    if pipeline.config.is_distilled and request.guidance > 1:
        raise BadRequest(
            f"the distilled model runs without guidance; got {request.guidance}, allowed 1; ask for guidance 1"
        )


def _sd3_check(pipeline: Any, request: Generation, size: Size) -> None:
    _check(pipeline, request, size)
    refuse_extra(request, "skip_guidance_layers", "guidance by skipped layers calls the denoiser without a branch")


def _pixart_arguments(family: Family, pipeline: Any, request: Generation, size: Size) -> dict[str, Any]:
    """The size that was asked for, not the nearest of those that the model was trained on."""
    return {"use_resolution_binning": False, **defaults.arguments(family, pipeline, request, size)}


_FLUX = Family(
    name="flux",
    model="FluxTransformer2DModel",
    pipelines=("FluxPipeline",),
    stacks=(
        Stack("transformer_blocks", video=1, inside=_JOINT),
        Stack("single_transformer_blocks", video=1),
    ),
    size=_MEGAPIXEL,
    guidance_argument="true_cfg_scale",  # guidance_scale is an input of the distilled denoiser and makes no branch
    latent=_PACKED,
    latent_shape=_packed_shape,
    grid=_packed_grid,
    check=_check,
)
_FLUX_2 = Family(
    name="flux-2",
    model="Flux2Transformer2DModel",
    pipelines=("Flux2Pipeline",),
    stacks=(
        Stack("transformer_blocks", video=1, inside=_JOINT),
        Stack("single_transformer_blocks", text="prefix"),
    ),
    size=_MEGAPIXEL,
    guidance="none",
    latent=_PACKED,
    latent_shape=_packed_shape,
    grid=_packed_grid,
    check=_check,
)
_FLUX_2_KLEIN = Family(
    name="flux-2-klein",
    model="Flux2Transformer2DModel",
    pipelines=("Flux2KleinPipeline",),
    stacks=_FLUX_2.stacks,
    size=_MEGAPIXEL,
    latent=_PACKED,
    latent_shape=_packed_shape,
    grid=_packed_grid,
    check=_klein_check,
)
_SD3 = Family(
    name="sd3",
    model="SD3Transformer2DModel",
    pipelines=("StableDiffusion3Pipeline",),
    stacks=(Stack("transformer_blocks", video=1, inside=_JOINT),),
    size=_MEGAPIXEL,
    guidance="batched",
    latent="b c h w",
    copies_embeddings=False,
    check=_sd3_check,
)
_QWEN_IMAGE = Family(
    name="qwen-image",
    model="QwenImageTransformer2DModel",
    pipelines=("QwenImagePipeline",),
    stacks=(Stack("transformer_blocks", video=1, inside={"attn1": "attn", "ffn": "img_mlp"}),),
    size=_MEGAPIXEL,
    guidance_argument="true_cfg_scale",
    latent=_PACKED,
    latent_shape=_packed_shape,
    grid=_packed_grid,
    check=_check,
)
_PIXART = Family(
    name="pixart",
    model="PixArtTransformer2DModel",
    pipelines=("PixArtAlphaPipeline", "PixArtSigmaPipeline"),
    stacks=(Stack("transformer_blocks", inside={"attn1": "attn1", "attn2": "attn2", "ffn": "ff"}, probabilities=True),),
    size=_MEGAPIXEL,
    guidance="batched",
    latent="b c h w",
    learns_variance=True,
    knows_schedule=True,
    text_tokens=defaults.padded_text,
    check=_check,
    arguments=_pixart_arguments,
)

IMAGE = (_FLUX, _FLUX_2, _FLUX_2_KLEIN, _SD3, _QWEN_IMAGE, _PIXART)
"""Flux, Flux 2, Flux 2 Klein, Stable Diffusion 3, QwenImage and PixArt."""

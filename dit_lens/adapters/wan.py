"""Wan: text-to-video and image-to-video, with one expert or two.

The two experts of Wan 2.2 share the work by noise: ``transformer`` runs at timesteps of at least ``boundary_ratio``
times the number of training timesteps, ``transformer_2`` below. Guidance calls the denoiser twice a step, ``cond``
then ``uncond``. Tokens are frame-major: token n of frame f is number f * rows * columns + n.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

import inspect
from math import lcm
from typing import Any

import torch
from PIL import Image

from dit_lens.adapters.family import Family, Stack
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["WAN"]

_PIPELINE_MULTIPLE = 16  # check_inputs of the stock pipelines refuses other sizes whatever the autoencoder is


def _branches(request: Generation) -> tuple[str, ...]:
    return ("cond", "uncond") if request.guidance > 1 else ("cond",)


def _width(denoiser: Any) -> int:
    return int(denoiser.config.num_attention_heads * denoiser.config.attention_head_dim)


def _grid(denoiser: Any, latent: tuple[int, int, int, int]) -> tuple[int, int, int]:
    frames, rows, columns = (
        extent // patch for extent, patch in zip(latent[1:], denoiser.config.patch_size, strict=True)
    )
    return frames, rows, columns


def _latent_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    temporal, spatial = pipeline.vae_scale_factor_temporal, pipeline.vae_scale_factor_spatial
    return (
        int(pipeline.vae.config.z_dim),
        (size.frames - 1) // temporal + 1,
        size.height // spatial,
        size.width // spatial,
    )


def _expert_at(pipeline: Any, timestep: float) -> str:
    ratio = pipeline.config.boundary_ratio
    if ratio is None or timestep >= ratio * pipeline.scheduler.config.num_train_timesteps:
        return "transformer"
    return "transformer_2"


def _check(pipeline: Any, request: Generation, size: Size) -> None:
    _check_image(_takes_image(pipeline), request, type(pipeline).__name__)
    denoiser = next(iter(WAN.denoisers(pipeline).values()))
    _, *patch = denoiser.config.patch_size
    for axis, extent, tokens in zip(("height", "width"), (size.height, size.width), patch, strict=True):
        multiple = lcm(_PIPELINE_MULTIPLE, pipeline.vae_scale_factor_spatial * tokens)
        if extent < multiple or extent % multiple:
            below = max(extent // multiple, 1) * multiple
            raise BadRequest(
                f"the {axis} of the video does not fit the model; got {extent}, allowed multiples of {multiple}; "
                f"resize the picture to {below} or {below + multiple} pixels"
            )
    temporal = pipeline.vae_scale_factor_temporal
    if size.frames < 1 or (size.frames - 1) % temporal:
        below = max(size.frames - 1, 0) // temporal * temporal + 1
        raise BadRequest(
            f"the number of frames does not fit the model; got {size.frames}, allowed 1 and then every {temporal} "
            f"more; "
            f"ask for {below} or {below + temporal}"
        )
    if request.guidance_2 is not None and pipeline.config.boundary_ratio is None:
        raise BadRequest(
            f"guidance_2 needs a second expert; got {request.guidance_2}, allowed None for this model; leave it out"
        )


def _check_image(wanted: bool, request: Generation, pipeline: str) -> None:
    if wanted and not isinstance(request.image, Image.Image):
        raise BadRequest(
            f"{pipeline} draws from a first frame; got image {type(request.image).__name__}, allowed a PIL image; "
            f"give one"
        )
    if not wanted and request.image is not None:
        raise BadRequest(f"{pipeline} draws from text alone; got an image, allowed None; leave it out")


def _takes_image(pipeline: Any) -> bool:
    return "image" in inspect.signature(type(pipeline).__call__).parameters


def _arguments(_pipeline: Any, request: Generation, size: Size) -> dict[str, Any]:
    image = {"image": request.image.convert("RGB")} if request.image is not None else {}
    return {
        **image,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "height": size.height,
        "width": size.width,
        "num_frames": size.frames,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance,
        "guidance_scale_2": request.guidance_2,
    }


def _decode(pipeline: Any, latents_BCFHW: torch.Tensor) -> Any:
    """The same operations in the same order as at the end of the stock pipelines."""
    vae = pipeline.vae
    latents = latents_BCFHW.to(device=pipeline._execution_device, dtype=vae.dtype)
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
    scale = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
    video = vae.decode(latents / scale + mean, return_dict=False)[0]
    return pipeline.video_processor.postprocess_video(video, output_type="np")[0]


WAN = Family(
    name="wan",
    model="WanTransformer3DModel",
    pipelines=("WanPipeline", "WanImageToVideoPipeline"),
    stacks=(Stack("blocks"),),
    experts=("transformer", "transformer_2"),
    size=Size(480, 832, 81),
    branches=_branches,
    width=_width,
    grid=_grid,
    latent_shape=_latent_shape,
    check=_check,
    expert_at=_expert_at,
    arguments=_arguments,
    decode=_decode,
)
"""Wan 2.1 and 2.2."""

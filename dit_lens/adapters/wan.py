"""Wan 2.1 and 2.2: text, image or video to video and VACE, with one expert or two.

The two experts of Wan 2.2 share the work by noise: ``transformer`` runs at timesteps of at least ``boundary_ratio``
times the number of training timesteps, ``transformer_2`` below. Guidance calls the denoiser twice a step, ``cond``
then ``uncond``. Video to video starts at a later step and has only the steps that are left. VACE computes hints in
blocks of its own and adds them between blocks, so that the output of a block is not the input of the next; latents of
its reference images stand before the first frame. In TI2V-5B every token has a timestep of its own; with a first frame
its tokens have timestep 0, and the pipeline puts the frame back at the denoiser's input and at the end: what the
scheduler keeps of that frame in ``latent`` is not what the denoiser sees. Tokens are frame-major: token n of frame f is number f * rows * columns + n.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from math import lcm
from typing import Any

import torch
from PIL import Image

from dit_lens.adapters.defaults import arguments, padded_text
from dit_lens.adapters.family import Family, Stack
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["VACE", "WAN"]

_INSIDE = {"attn1": "attn1", "attn2": "attn2", "ffn": "ffn"}
_PIPELINE_MULTIPLE = 16  # check_inputs of the stock pipelines refuses other sizes whatever the autoencoder is


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
    _check_video(pipeline, request)
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


def _check_video(pipeline: Any, request: Generation) -> None:
    name = type(pipeline).__name__
    if "video" in _parameters(pipeline) and "strength" in _parameters(pipeline) and "video" not in request.extra:
        raise BadRequest(
            f"{name} draws from a video; got none, allowed a list of PIL images; give it as extra={{'video': [...]}}"
        )
    if _steps(pipeline, request) < 1:
        raise BadRequest(
            f"no step is left to {name}; got {request.steps} steps at strength {_strength(pipeline, request)}, allowed "
            f"steps x strength of 1 or more; raise one of them"
        )


def _takes_image(pipeline: Any) -> bool:
    return "image" in _parameters(pipeline)


def _parameters(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(type(pipeline).__call__).parameters


def _strength(pipeline: Any, request: Generation) -> float:
    """How much of the noise a video to start from gets; 1 where the pipeline starts from noise alone."""
    stated = _parameters(pipeline).get("strength")
    return float(request.extra.get("strength", stated.default)) if stated is not None else 1.0


def _steps(pipeline: Any, request: Generation) -> int:
    return min(int(request.steps * _strength(pipeline, request)), request.steps)


def _leading_frames(_pipeline: Any, request: Generation) -> int:
    """Latent frames of VACE's reference images: one image, a list, or a list with the list of the one video."""
    images = request.extra.get("reference_images")
    if images is None:
        return 0
    if isinstance(images, Image.Image):
        return 1
    return len(images[0]) if isinstance(images[0], (list, tuple)) else len(images)


def _arguments(family: Family, pipeline: Any, request: Generation, size: Size) -> dict[str, Any]:
    second = {} if request.guidance_2 is None else {"guidance_scale_2": request.guidance_2}
    video_to_video = "strength" in _parameters(pipeline)
    given = {**arguments(family, pipeline, request, size), **second}
    return {name: value for name, value in given.items() if not (video_to_video and name == "num_frames")}


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
    pipelines=("WanPipeline", "WanImageToVideoPipeline", "WanVideoToVideoPipeline"),
    stacks=(Stack("blocks", inside=_INSIDE, probabilities=True),),
    experts=("transformer", "transformer_2"),
    size=Size(480, 832, 81),
    knows_schedule=True,
    steps=_steps,
    text_tokens=padded_text,
    latent_shape=_latent_shape,
    check=_check,
    expert_at=_expert_at,
    arguments=_arguments,
    decode=_decode,
)
"""Wan 2.1 and 2.2 from text, image or video."""

VACE = replace(
    WAN,
    name="wan-vace",
    model="WanVACETransformer3DModel",
    pipelines=("WanVACEPipeline",),
    stacks=(*WAN.stacks, Stack("vace_blocks", video=1, argument="control_hidden_states", position=2)),
    leading_frames=_leading_frames,
)
"""Wan VACE; the layers of its hints are numbered after those of the video."""

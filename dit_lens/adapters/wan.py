"""Wan 2.1 and 2.2: text, image or video to video and VACE, with one expert or two.

The two experts of Wan 2.2 share the work by noise: ``transformer`` runs at timesteps of at least ``boundary_ratio``
times the number of training timesteps, ``transformer_2`` below. Guidance calls the denoiser twice a step, ``cond``
then ``uncond``. Video to video starts at a later step and has only the steps that are left. VACE computes hints in
blocks of its own and adds them between blocks, so that the output of a block is not the input of the next; latents of
its reference images stand before the first frame, as frames 0, 1 and so on of a trace. In TI2V-5B every token has a
timestep of its own; with a first frame its tokens have timestep 0, and the pipeline puts the frame back at the
denoiser's input and at the end: what the scheduler keeps of that frame in ``latent`` is not what the denoiser sees.
Tokens are frame-major: token n of frame f is number f * rows * columns + n.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from dit_lens.adapters.defaults import arguments, padded_text
from dit_lens.adapters.family import Family, Stack
from dit_lens.adapters.wan_checks import boundary, check, parameters, steps
from dit_lens.generation import Generation, Size

__all__ = ["VACE", "WAN"]

_INSIDE = {"attn1": "attn1", "attn2": "attn2", "ffn": "ffn"}


def _latent_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    temporal, spatial = pipeline.vae_scale_factor_temporal, pipeline.vae_scale_factor_spatial
    return (
        int(pipeline.vae.config.z_dim),
        (size.frames - 1) // temporal + 1,
        size.height // spatial,
        size.width // spatial,
    )


def _expert_at(pipeline: Any, timestep: float) -> str:
    ratio = boundary(pipeline)
    if ratio is None or timestep >= ratio * pipeline.scheduler.config.num_train_timesteps:
        return "transformer"
    return "transformer_2"


def _leading_frames(_pipeline: Any, request: Generation) -> int:
    """Latent frames of VACE's reference images: one image, a list, or a list with the list of the one video."""
    images = request.extra.get("reference_images")
    if images is None:
        return 0
    if isinstance(images, Image.Image):
        return 1
    return len(images[0]) if isinstance(images[0], (list, tuple)) else len(images)


def _pinned(pipeline: Any, request: Generation) -> tuple[int, ...]:
    """TI2V-5B puts its first frame back at every input, and at the end."""
    return (0,) if pipeline.config.get("expand_timesteps") and request.image is not None else ()


def _arguments(family: Family, pipeline: Any, request: Generation, size: Size) -> dict[str, Any]:
    second = {} if request.guidance_2 is None else {"guidance_scale_2": request.guidance_2}
    video_to_video = "strength" in parameters(pipeline)
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
    steps=steps,
    text_tokens=padded_text,
    latent_shape=_latent_shape,
    pinned=_pinned,
    check=check,
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
    stacks=(
        *WAN.stacks,
        Stack(
            "vace_blocks",
            video=1,
            argument="control_hidden_states",
            position=2,
            inside=_INSIDE,
            probabilities=True,
        ),
    ),
    leading_frames=_leading_frames,
    batches=False,
)
"""Wan VACE; the layers of its hints are numbered after those of the video."""

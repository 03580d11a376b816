"""What Wan's pipelines would round, ignore or fail at half-way, refused before anything runs.

Two of these would not even be noticed. The cross-attention of Wan 2.1 image to video takes the last 512 tokens for the
prompt, whatever the prompt was padded to; and TI2V-5B takes a last image and leaves it aside.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from math import lcm
from numbers import Real
from typing import Any

from PIL import Image

from dit_lens.adapters.defaults import padded_text
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["boundary", "check", "parameters", "steps"]

_PIPELINE_MULTIPLE = 16  # check_inputs of the stock pipelines refuses other sizes whatever the autoencoder is
_TEXT_BESIDE_IMAGE = 512  # hard-coded in diffusers' WanAttnProcessor


def check(pipeline: Any, request: Generation, size: Size) -> None:
    """Refuse what a Wan pipeline cannot draw.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    request : Generation
    size : Size

    Raises
    ------
    BadRequest
        Saying what to ask for instead.
    """
    found = (getattr(pipeline, name, None) for name in ("transformer", "transformer_2"))
    denoiser = next(model for model in found if model is not None)  # a compiled one has no truth value
    _check_start(pipeline, request)
    _check_image(pipeline, request)
    _check_video(pipeline, request, size)
    _check_references(pipeline, request)
    _check_size(pipeline, denoiser, size)
    _check_text(pipeline, denoiser, request)
    _check_experts(pipeline, request)


def parameters(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    """Those of the pipeline's call, by name.

    Examples
    --------
    >>> class TextToVideo:
    ...     def __call__(self, prompt): ...
    >>> "prompt" in parameters(TextToVideo())
    True
    """
    return inspect.signature(type(pipeline).__call__).parameters


def steps(pipeline: Any, request: Generation) -> int:
    """The steps that are left: a video to start from gets only some of the noise.

    Examples
    --------
    >>> class VideoToVideo:
    ...     def __call__(self, video, strength=0.8): ...
    >>> steps(VideoToVideo(), Generation(prompt="", seed=0, steps=10))
    8
    """
    return min(int(request.steps * _strength(pipeline, request)), request.steps)


def boundary(pipeline: Any) -> float | None:
    """Share of the timesteps from which on the first expert runs; None where there is one expert.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> boundary(SimpleNamespace(config={"boundary_ratio": 0.9})), boundary(SimpleNamespace(config={}))
    (0.9, None)
    """
    ratio: float | None = pipeline.config.get("boundary_ratio")
    return ratio


def _strength(pipeline: Any, request: Generation) -> Any:
    """How much of the noise a video to start from gets; 1 where the pipeline starts from noise alone."""
    stated = parameters(pipeline).get("strength")
    return request.extra.get("strength", stated.default) if stated is not None else 1.0


def _check_start(pipeline: Any, request: Generation) -> None:
    name, strength = type(pipeline).__name__, _strength(pipeline, request)
    if not isinstance(strength, Real) or not 0 <= float(strength) <= 1:
        raise BadRequest(
            f"{name} has no such strength; got {strength!r}, allowed 0 to 1; leave it out for the pipeline's own"
        )
    if steps(pipeline, request) < 1:
        raise BadRequest(
            f"no step is left to {name}; got {request.steps} steps at strength {strength}, allowed steps x strength "
            f"of 1 or more; raise one of them"
        )


def _check_image(pipeline: Any, request: Generation) -> None:
    name, wanted = type(pipeline).__name__, "image" in parameters(pipeline)
    if wanted and not isinstance(request.image, Image.Image):
        raise BadRequest(
            f"{name} draws from a first frame; got image {type(request.image).__name__}, allowed a PIL image; give one"
        )
    if not wanted and request.image is not None:
        raise BadRequest(f"{name} draws from text alone; got an image, allowed None; leave it out")
    if request.extra.get("last_image") is not None and pipeline.config.get("expand_timesteps"):
        raise BadRequest(
            "this model draws from a first frame alone, and would leave a last one aside; got last_image, allowed "
            "None; leave it out"
        )


def _check_video(pipeline: Any, request: Generation, size: Size) -> None:
    """A video is a list of pictures, and as long as the one that is drawn."""
    name, video = type(pipeline).__name__, request.extra.get("video")
    if video is None and not ("video" in parameters(pipeline) and "strength" in parameters(pipeline)):
        return
    if not isinstance(video, (list, tuple)) or not all(isinstance(frame, Image.Image) for frame in video):
        raise BadRequest(
            f"{name} draws from a video; got {'none' if video is None else type(video).__name__}, allowed a list of "
            f"PIL images; give it as extra={{'video': [...]}}"
        )
    if len(video) != size.frames:
        raise BadRequest(
            f"the video to draw from has another length than the one to draw; got {len(video)} frames, allowed "
            f"{size.frames}; give frames={len(video)}, or a video of that length"
        )


def _check_references(pipeline: Any, request: Generation) -> None:
    images = request.extra.get("reference_images")
    listed = [images] if isinstance(images, Image.Image) else images
    while isinstance(listed, (list, tuple)) and len(listed) == 1 and isinstance(listed[0], (list, tuple)):
        listed = listed[0]
    if images is not None and (not listed or not all(isinstance(image, Image.Image) for image in listed)):
        got = "an empty list" if not listed else type(images).__name__
        raise BadRequest(
            f"{type(pipeline).__name__} has no such reference_images; got {got}, allowed a PIL image or a list of "
            f"them; leave it out"
        )


def _check_size(pipeline: Any, denoiser: Any, size: Size) -> None:
    for axis, extent, tokens in zip(
        ("height", "width"), (size.height, size.width), denoiser.config.patch_size[1:], strict=True
    ):
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


def _check_text(pipeline: Any, denoiser: Any, request: Generation) -> None:
    if denoiser.config.get("image_dim") is None:
        return
    tokens = padded_text(pipeline, request)
    if tokens != _TEXT_BESIDE_IMAGE:
        raise BadRequest(
            f"this model's cross-attention would mix up the prompt and the image; got a prompt of {tokens} tokens, "
            f"allowed {_TEXT_BESIDE_IMAGE}; leave max_sequence_length out"
        )


def _check_experts(pipeline: Any, request: Generation) -> None:
    if boundary(pipeline) is None and request.guidance_2 is not None:
        raise BadRequest(
            f"guidance_2 needs a second expert; got {request.guidance_2}, allowed None for this model; leave it out"
        )
    if request.guidance_2 is not None and request.guidance <= 1:
        raise BadRequest(
            f"the pipeline guides neither expert when guidance is off; got guidance {request.guidance} with guidance_2 "
            f"{request.guidance_2}, allowed guidance above 1; raise guidance, or leave guidance_2 out"
        )
    missing = [name for name in ("transformer", "transformer_2") if getattr(pipeline, name, None) is None]
    if boundary(pipeline) is not None and missing:
        raise BadRequest(
            f"the pipeline shares its steps between two experts; got no {missing[0]}, allowed both; load it, or set "
            f"boundary_ratio to None"
        )

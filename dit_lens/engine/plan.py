"""Check a request against a pipeline and lay out the run: what can be refused is refused here.

The layout is asked of the pipeline's own parts: a copy of the scheduler for the steps, the denoisers for layers and
tokens, the autoencoder for the latents.
"""

from __future__ import annotations

import math
from typing import Any

from PIL import Image

from dit_lens.adapters.family import Family
from dit_lens.engine.errors import BadRequest, UnknownModel
from dit_lens.engine.layout import Layout
from dit_lens.engine.solver import Schedule, check_scheduler, schedule_of
from dit_lens.generation import Generation, Size
from dit_lens.sites import SITES

__all__ = ["check_request", "plan_layout", "plan_size"]

_SEEDS = 2**63
_STEPS_AT_MOST = 1000


def check_request(request: Generation) -> None:
    """Refuse what no model could run.

    Examples
    --------
    >>> check_request(Generation(prompt="", seed=0, steps=0))
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: the generation has no such steps; got 0, allowed 1 to 1000; ask for 20, say
    """
    if not isinstance(request, Generation):
        raise BadRequest(
            f"the request is none; got {type(request).__name__}, allowed a Generation; write Generation(prompt=..., "
            f"seed=0, steps=20)"
        )
    _check_number("steps", request.steps, 1, _STEPS_AT_MOST, "ask for 20, say")
    _check_number("seed", request.seed, 0, _SEEDS - 1, "choose one of those")
    for name in ("height", "width", "frames"):
        value = getattr(request, name)
        if value is not None:
            _check_number(name, value, 1, 2**16, "leave it out for the model's own")
    for name in ("guidance", "guidance_2"):
        value = getattr(request, name)
        if value is not None and not (isinstance(value, float) and math.isfinite(value)):
            raise BadRequest(f"the generation has no such {name}; got {value!r}, allowed a finite number; try 3.0")
    _check_words_and_image(request)


def plan_size(request: Generation, default: Size | None, family: Family) -> Size:
    """Height, width and frames of a run; an image must fit them exactly.

    Parameters
    ----------
    request : Generation
    default : Size or None
        The model's own size, if it was made for one.
    family : Family

    Returns
    -------
    Size

    Raises
    ------
    BadRequest
        If the image has another size.
    """
    image = request.image
    fallback = default or (Size(image.height, image.width, family.size.frames) if image is not None else family.size)
    size = Size(request.height or fallback.height, request.width or fallback.width, request.frames or fallback.frames)
    if image is not None and (image.height, image.width) != (size.height, size.width):
        raise BadRequest(
            f"the image does not have the size of the video; got {image.width} x {image.height} pixels (width x "
            f"height), "
            f"allowed {size.width} x {size.height}; resize the image, or give its own height and width"
        )
    return size


def plan_layout(pipeline: Any, family: Family, request: Generation, size: Size, batch: int = 1) -> Layout:
    """The layout of a run.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    request : Generation
    size : Size
    batch : int
        Samples in one call of the pipeline.

    Returns
    -------
    Layout

    Raises
    ------
    BadRequest, UnknownModel, Untraceable
    """
    check_scheduler(pipeline.scheduler)
    _check_batch(pipeline, family, batch)
    denoisers = family.denoisers(pipeline)
    _check_distinct(denoisers)
    denoiser = next(iter(denoisers.values()))
    channels, frames, *extent = family.latent_shape(pipeline, size)
    latent = (channels, frames + family.leading_frames(pipeline, request), extent[0], extent[1])
    tokens = family.grid(denoiser, latent)
    schedule = _schedule(pipeline, family, request)
    steps = _steps(pipeline, family, request)
    heads, head_channels = family.heads(denoiser)
    text_tokens = family.text_tokens(pipeline, request)
    return Layout(
        branches=family.branches(family, request),
        experts=tuple(family.expert_at(pipeline, at) for at in schedule.timesteps)
        if schedule
        else tuple(family.denoisers(pipeline)) * steps,
        timesteps=schedule.timesteps if schedule else None,
        sigmas=schedule.sigmas if schedule else None,
        layers=_depth(family, denoisers),
        tokens=tokens,
        channels=family.width(denoiser),
        latent=latent,
        video=(size.frames, size.height, size.width),
        dtype=str(denoiser.dtype).removeprefix("torch."),
        heads=heads,
        head_channels=head_channels,
        text_tokens=text_tokens,
        frame_stride=latent[1] // tokens[0],
        site_layers=_site_layers(family, denoiser, text_tokens),
        modules=tuple(path for _, path, _ in family.layers(denoiser)),
        batch=batch,
    )


def _steps(pipeline: Any, family: Family, request: Generation) -> int:
    """How often the scheduler steps: one of second order (Heun's) does so twice for every step but the last."""
    left = family.steps(pipeline, request)
    if getattr(pipeline.scheduler, "order", 1) == 1:
        return left
    return len(schedule_of(pipeline.scheduler, left).timesteps)


def _schedule(pipeline: Any, family: Family, request: Generation) -> Schedule | None:
    """The schedule, where it follows from the number of steps; a video to start from leaves out the first steps."""
    if not family.knows_schedule:
        return None
    whole = schedule_of(pipeline.scheduler, request.steps)
    first = (request.steps - family.steps(pipeline, request)) * getattr(pipeline.scheduler, "order", 1)
    return Schedule(whole.timesteps[first:], whole.sigmas[first:])


def _site_layers(family: Family, denoiser: Any, text_tokens: int) -> dict[str, tuple[int, ...]]:
    """The layers that have a site inside a block.

    A part that this denoiser was built without is no site, and nothing is one whose extent nobody can tell: tokens of
    prompts that have no fixed length.
    """
    found: dict[str, list[int]] = {}
    for number, (stack, _, layer) in enumerate(family.layers(denoiser)):
        for site in stack.sites:
            told = text_tokens > 0 or "text_token" not in SITES[site].value_dims
            if told and stack.part(layer, site.split(".")[0]) is not None:
                found.setdefault(site, []).append(number)
    return {site: tuple(layers) for site, layers in found.items()}


def _check_batch(pipeline: Any, family: Family, batch: int) -> None:
    if batch > 1 and not family.batches:
        raise BadRequest(
            f"{type(pipeline).__name__} draws one video at a time; got a batch of {batch}, allowed 1; trace the "
            f"requests one by one"
        )


def _check_distinct(denoisers: dict[str, Any]) -> None:
    """One module that is two experts would have every hook twice."""
    if len({id(model) for model in denoisers.values()}) != len(denoisers):
        raise UnknownModel(
            f"one denoiser is several experts; got the same module as {' and '.join(denoisers)}, allowed a module for "
            f"each; load a second one, or leave all but one out"
        )


def _depth(family: Family, denoisers: dict[str, Any]) -> int:
    depths = {expert: len(family.layers(denoiser)) for expert, denoiser in denoisers.items()}
    if len(set(depths.values())) != 1:
        got = ", ".join(f"{expert} with {depth}" for expert, depth in depths.items())
        raise UnknownModel(
            f"the experts share no layer axis; got {got} layers, allowed the same number; trace them as two pipelines"
        )
    return next(iter(depths.values()))


def _check_words_and_image(request: Generation) -> None:
    for name in ("prompt", "negative_prompt"):
        words = getattr(request, name)
        if not isinstance(words, str):
            raise BadRequest(
                f"the generation has no such {name}; got {type(words).__name__}, allowed one text; "
                f"trace one video at a time"
            )
    image: object = request.image
    if image is not None and not isinstance(image, Image.Image):
        raise BadRequest(
            f"the generation has no such image; got {type(image).__name__}, allowed a PIL image or None; "
            f"open it with PIL.Image.open or PIL.Image.fromarray"
        )


def _check_number(name: str, value: object, lowest: int, highest: int, remedy: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise BadRequest(f"the generation has no such {name}; got {value!r}, allowed {lowest} to {highest}; {remedy}")

"""Make up a small request that a pipeline accepts: two steps of the smallest video that tells its axes apart.

A family's check says what its pipeline refuses, so sizes are tried from small to large, with a first frame of noise or
a video of noise where the pipeline draws from one. Height and width differ where the model allows it, because a grid
with rows and columns exchanged looks right on a square.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import lcm
from typing import Any

import numpy as np
from PIL import Image

from dit_lens.adapters.defaults import compression
from dit_lens.adapters.family import Family
from dit_lens.engine.errors import BadRequest
from dit_lens.engine.plan import plan_layout
from dit_lens.generation import Generation, Size

__all__ = ["small_request"]

_PROMPT = "A red ball rolls to the left."
_STEPS = 2
_STEPS_AT_MOST = 12
_GUIDANCE = 3.0
_MULTIPLE = 32  # of pixels; every pipeline takes multiples of it, if of nothing smaller
_FRAMES_AT_MOST = 33


def small_request(
    pipeline: Any,
    family: Family,
    *,
    height: int | None = None,
    width: int | None = None,
    frames: int | None = None,
    size: Size | None = None,
) -> Generation:
    """The smallest request that a family's own check accepts.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    height, width, frames : int, optional
        Kept where they are given.
    size : Size, optional
        The size that the model was made for, which is tried last.

    Returns
    -------
    Generation
        With guidance if the family has any, and with as many steps as it takes for every expert to run.

    Raises
    ------
    BadRequest
        If none of those tried is accepted.
    """
    refusal: BadRequest | None = None
    for at in _sizes(pipeline, size or family.size, (height, width, frames)):
        for request in _requests(pipeline, at):
            try:
                family.check(pipeline, request, at)
            except BadRequest as error:
                refusal = refusal or error
            else:
                return _for_all_experts(pipeline, family, request, at)
    raise BadRequest(f"no request that was made up fits {family.name}: {refusal}") from refusal


def _sizes(pipeline: Any, made_for: Size, given: Sequence[int | None]) -> Iterator[Size]:
    temporal, spatial = compression(pipeline)
    several = (2 * temporal + 1, temporal + 1, *range(2, _FRAMES_AT_MOST), made_for.frames, 1)
    step = lcm(_MULTIPLE, spatial)
    extents = ((2 * step, 3 * step), (4 * step, 6 * step), (made_for.height, made_for.width))
    for (rows, columns), frames in product(extents, dict.fromkeys(several)):
        height, width, count = (fixed or free for fixed, free in zip(given, (rows, columns, frames), strict=True))
        yield Size(height, width, count)


def _requests(pipeline: Any, size: Size) -> Iterator[Generation]:
    """Without guidance last, and with a picture first where the pipeline cannot be called without one."""
    parameters = inspect.signature(type(pipeline).__call__).parameters
    guider = getattr(getattr(pipeline, "guider", None), "guidance_scale", _GUIDANCE)
    plain: dict[str, Any] = {"prompt": _PROMPT, "seed": 0, "steps": _STEPS}
    plain |= {"height": size.height, "width": size.width, "frames": size.frames}
    given: list[dict[str, Any]] = [{}]
    if "image" in parameters:
        needed = parameters["image"].default is inspect.Parameter.empty
        given.insert(0 if needed else 1, {"image": _noise(size, 0)})
    if "video" in parameters:
        given.append({"extra": {"video": [_noise(size, number) for number in range(size.frames)]}})
    for what, guidance in product(given, dict.fromkeys((_GUIDANCE, float(guider), 1.0))):
        yield Generation(**plain, **what, guidance=guidance)


def _noise(size: Size, seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(size.height, size.width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _for_all_experts(pipeline: Any, family: Family, request: Generation, size: Size) -> Generation:
    """More steps, until each expert has one of them."""
    experts = set(family.denoisers(pipeline))
    for steps in range(_STEPS, _STEPS_AT_MOST + 1):
        longer = replace(request, steps=steps)
        if set(plan_layout(pipeline, family, longer, size).experts) >= experts:
            return longer
    return request

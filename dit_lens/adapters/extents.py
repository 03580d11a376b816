"""What most video families refuse before anything runs.

Pipelines round heights, widths and numbers of frames down to what the autoencoder and the patches can hold, some with
a warning and some without: the trace would be of another video than the one that was asked for.
"""

from __future__ import annotations

import inspect
from typing import Any

from dit_lens.adapters.checks import check_frames, check_multiple, need_image, refuse_image
from dit_lens.adapters.defaults import compression
from dit_lens.generation import Generation, Size

__all__ = ["check_extent", "check_video"]


def check_extent(pipeline: Any, request: Generation, size: Size) -> None:
    """Height and width fill the patches, and there is a first frame exactly if the pipeline's call takes one.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    request : Generation
    size : Size

    Raises
    ------
    BadRequest
        If it is otherwise.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> class Pipeline:
    ...     transformer = SimpleNamespace(config=SimpleNamespace(patch_size=2))
    ...     vae_scale_factor_spatial = 8
    ...     def __call__(self, prompt): ...
    >>> check_extent(Pipeline(), Generation(prompt="", seed=0, steps=4), Size(64, 72, 5))
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: the width ... got 72, allowed multiples of 16; ask for 64 or 80
    """
    takes_image = "image" in inspect.signature(type(pipeline).__call__).parameters
    (need_image if takes_image else refuse_image)(pipeline, request)
    patch = pipeline.transformer.config.patch_size
    check_multiple(size, compression(pipeline)[1] * (patch if isinstance(patch, int) else patch[-1]))


def check_video(pipeline: Any, request: Generation, size: Size) -> None:
    """``check_extent``, and the frames fill the autoencoder's."""
    check_extent(pipeline, request, size)
    check_frames(size, compression(pipeline)[0])

"""What several families refuse before anything runs: what their pipeline would round, ignore or fail at half-way.

Each check raises ``BadRequest`` in one line that says what to ask for instead.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["check_frames", "check_multiple", "need_image", "refuse_extra", "refuse_image"]


def check_multiple(size: Size, multiple: int) -> None:
    """Height and width must be multiples of some number of pixels.

    Examples
    --------
    >>> check_multiple(Size(64, 90, 1), 16)
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: the width does not fit the model; got 90, ... of 16; ask for 80 or 96
    """
    for axis, extent in (("height", size.height), ("width", size.width)):
        if extent < multiple or extent % multiple:
            below = max(extent // multiple, 1) * multiple
            raise BadRequest(
                f"the {axis} does not fit the model; got {extent}, allowed multiples of {multiple}; "
                f"ask for {below} or {below + multiple}"
            )


def check_frames(size: Size, temporal: int) -> None:
    """The number of frames must be 1 and then every few more; ``temporal`` 0 allows 1 alone.

    Examples
    --------
    >>> check_frames(Size(64, 64, 8), 4)
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: ... got 8, allowed 1 and then every 4 more; ask for 5 or 9
    """
    if not temporal and size.frames != 1:
        raise BadRequest(f"the model draws one picture; got {size.frames} frames, allowed 1; ask for 1")
    if temporal and (size.frames < 1 or (size.frames - 1) % temporal):
        below = max(size.frames - 1, 0) // temporal * temporal + 1
        raise BadRequest(
            f"the number of frames does not fit the model; got {size.frames}, allowed 1 and then every {temporal} "
            f"more; ask for {below} or {below + temporal}"
        )


def need_image(pipeline: Any, request: Generation) -> None:
    """The first frame must be there.

    Examples
    --------
    >>> need_image(object(), Generation(prompt="", seed=0, steps=4))
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: object draws from a first frame; got image None, allowed a PIL image; give one
    """
    if not isinstance(request.image, Image.Image):
        kind = "None" if request.image is None else type(request.image).__name__
        raise BadRequest(
            f"{type(pipeline).__name__} draws from a first frame; got image {kind}, allowed a PIL image; give one"
        )


def refuse_image(pipeline: Any, request: Generation) -> None:
    """There must be no first frame.

    Examples
    --------
    >>> refuse_image(object(), Generation(prompt="", seed=0, steps=4, image=Image.new("RGB", (8, 8))))
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: object is traced from text alone; got an image, allowed None; leave it out
    """
    if request.image is not None or request.extra.get("image") is not None:
        raise BadRequest(
            f"{type(pipeline).__name__} is traced from text alone; got an image, allowed None; leave it out"
        )


def refuse_extra(request: Generation, name: str, why: str) -> None:
    """One further argument of the call must not be given.

    Examples
    --------
    >>> request = Generation(prompt="", seed=0, steps=4, extra={"skip_guidance_layers": [7]})
    >>> refuse_extra(request, "skip_guidance_layers", "it adds calls of the denoiser that have no branch")
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: it adds ... got skip_guidance_layers [7], allowed None; leave it out of extra
    """
    if request.extra.get(name) is not None:
        raise BadRequest(f"{why}; got {name} {request.extra[name]}, allowed None; leave it out of extra")

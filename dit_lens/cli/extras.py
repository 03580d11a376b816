"""Further arguments of a pipeline's call: ``--set NAME=VALUE`` and ``--video FILE``."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dit_lens.cli.failures import BadOption

if TYPE_CHECKING:
    from PIL.Image import Image

    from dit_lens import Lens

__all__ = ["check_settings", "read_settings", "read_video"]

_OPTIONS = {
    "prompt": "--prompt",
    "negative_prompt": "--negative-prompt",
    "image": "--image",
    "video": "--video",
    "height": "--height",
    "width": "--width",
    "num_frames": "--frames",
    "num_inference_steps": "--steps",
    "guidance_scale_2": "--guidance-2",
    "generator": "--seed",
}


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE``; a value that is JSON is read as such, anything else is text.

    Examples
    --------
    >>> read_settings(["strength=0.6", "max_sequence_length=64", "mode=fast"])
    {'strength': 0.6, 'max_sequence_length': 64, 'mode': 'fast'}
    """
    read: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (equals and name.isidentifier()):
            raise BadOption(f"--set cannot be read; got {setting!r}, allowed NAME=VALUE; write it as strength=0.6")
        if name in read:
            raise BadOption(f"--set names {name} more than once; got {setting!r}, allowed each name once; remove one")
        if name in _OPTIONS:
            raise BadOption(f"--set names what has an option; got {setting!r}, allowed {_OPTIONS[name]}; use it")
        read[name] = _value(value)
    return read


def check_settings(lens: Lens, settings: Mapping[str, Any]) -> None:
    """Refuse what the call of a pipeline does not have, or what a trace needs for itself, by the option's name.

    Raises
    ------
    BadRequest
    """
    from dit_lens.adapters.extra import check_extra

    for name, value in settings.items():
        check_extra(lens.pipeline, lens.family, {name: value}, "--video" if name == "video" else "--set")


def read_video(path: Path) -> list[Image]:
    """All frames of a video, or of an animated picture."""
    import imageio.v3 as imageio
    from PIL import Image

    try:
        frames = [Image.fromarray(frame[..., :3]) for frame in imageio.imiter(path)]
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise _unreadable(path) from error
    if not frames:
        raise _unreadable(path)
    return frames


def _unreadable(path: Path) -> BadOption:
    reason = "not a video that can be read" if path.is_file() else "no such file"
    return BadOption(
        f"--video cannot be used; got '{path}' ({reason}), allowed an MP4, WebM or GIF file; check the path"
    )


def _value(text: str) -> Any:
    try:
        return json_module.loads(text)
    except ValueError:
        return text

"""Further arguments of a pipeline's call: ``--set NAME=VALUE`` and ``--video FILE``."""

from __future__ import annotations

import inspect
import json as json_module
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dit_lens.cli.failures import BadOption
from dit_lens.errors import close_match

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_names", "read_settings", "read_video"]

_OPTIONS = {
    "prompt": "--prompt",
    "negative_prompt": "--negative-prompt",
    "image": "--image",
    "video": "--video",
    "height": "--height",
    "width": "--width",
    "num_frames": "--frames",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "guidance_scale_2": "--guidance-2",
    "generator": "--seed",
}
_OURS = ("output_type", "return_dict", "callback_on_step_end", "callback_on_step_end_tensor_inputs", "latents")


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


def check_names(pipeline: Any, names: Iterable[str]) -> None:
    """Refuse names that the call of a pipeline does not have, or that a trace needs for itself.

    Raises
    ------
    BadOption
    """
    parameters = inspect.signature(type(pipeline).__call__).parameters
    allowed = [name for name in parameters if name not in ("self", *_OURS, *_OPTIONS)]
    for name in names:
        option = "--video" if name == "video" else "--set"
        if name not in parameters or name in _OURS:
            hint = close_match(name, allowed) or "; leave it out"
            raise BadOption(
                f"{option} names no argument of {type(pipeline).__name__}; got {name!r}, allowed "
                f"{', '.join(allowed)}{hint}"
            )


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

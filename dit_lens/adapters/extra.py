"""What ``Generation.extra`` may hold: further arguments of the pipeline's call, and none that a trace decides itself.

An argument that the generation names in a field of its own would say two things at once, of which the manifest holds
one; copies of a prompt would be rows without a request; and what a pipeline returns belongs to the engine. All of it
is known from the signature of the call, so that nothing is written before it is refused.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dit_lens.engine.errors import BadRequest
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens.adapters.family import Family

__all__ = ["allowed_names", "check_extra"]

_FIELDS = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "image": "image",
    "height": "height",
    "width": "width",
    "num_frames": "frames",
    "video_length": "frames",
    "frames": "frames",
    "num_inference_steps": "steps",
    "guidance_scale_2": "guidance_2",
    "generator": "seed",
}
"""Argument of a pipeline's call to the field of a generation that decides it; guidance has another name by family."""
_ENGINE = re.compile(r"output_type|return_dict|callback.*|num_(videos|images)_per_prompt")
_TENSOR = re.compile(r"(audio_)?latents|image_embeds|.*prompt_(.*_)?(embeds|mask|cu_seqlens)(_.*)?")
_ONE_ROW = re.compile(r"(audio_)?latents|.*prompt_embeds(_.*)?")
_PICTURE = re.compile(r"last_image|(negative_)?ip_adapter_image|mask_image")
_COUNT = "max_sequence_length"
_TOKENS_AT_MOST = 65536  # tokenizers end the whole process where they cannot have the memory


def allowed_names(pipeline: Any, family: Family) -> list[str]:
    """Arguments of a pipeline's call that ``extra`` may hold.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> class Pipeline:
    ...     def __call__(self, prompt, guidance_scale, strength, output_type): ...
    >>> allowed_names(Pipeline(), SimpleNamespace(guidance_argument="guidance_scale"))
    ['strength']
    """
    owned = {"self", family.guidance_argument, *_FIELDS}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(type(pipeline).__call__).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind in named]
    return [name for name in names if name not in owned and not _ENGINE.fullmatch(name)]


def check_extra(pipeline: Any, family: Family, extra: object, where: str = "extra") -> None:
    """Refuse further arguments that the call does not have, that are decided elsewhere, or of another kind.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    extra : object
        ``Generation.extra``, whatever it is.
    where : str
        For the message.

    Raises
    ------
    BadRequest

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> class Pipeline:
    ...     def __call__(self, prompt, strength): ...
    >>> check_extra(Pipeline(), SimpleNamespace(guidance_argument="guidance_scale"), {"prompt": "x"})
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: extra names what the ... got 'prompt', allowed strength; give prompt itself
    """
    if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
        shown = type(extra).__name__ if not isinstance(extra, Mapping) else f"keys {', '.join(map(repr, extra))}"
        raise BadRequest(
            f"{where} is no set of named arguments; got {shown}, allowed a mapping with names as keys; write it as "
            f"{{'max_sequence_length': 64}}"
        )
    for name, value in extra.items():
        _check_name(pipeline, family, name, value, where)
        _check_value(name, value, where)


def _check_name(pipeline: Any, family: Family, name: str, value: object, where: str) -> None:
    allowed = allowed_names(pipeline, family)
    if name in allowed or (value is None and name in ("prompt", "negative_prompt")):  # None: embeddings stand for it
        return
    field = "guidance" if name == family.guidance_argument else _FIELDS.get(name)
    got = f"got {name!r}, allowed {', '.join(allowed) or 'none'}"
    if field is not None:
        raise BadRequest(f"{where} names what the generation says itself; {got}; give {field} itself")
    if _ENGINE.fullmatch(name):
        raise BadRequest(f"{where} names what a trace decides itself; {got}; leave it out")
    hint = close_match(name, allowed) or "; leave it out"
    raise BadRequest(f"{where} names no argument of {type(pipeline).__name__}; {got}{hint}")


def _check_value(name: str, value: Any, where: str) -> None:
    """Kinds that pipelines do not look at before they fail over them."""
    if value is None:
        return
    if _TENSOR.fullmatch(name) and not isinstance(value, torch.Tensor):
        raise _another_kind(where, name, type(value).__name__, "a tensor or None", "give it in Python, or leave it out")
    if _ONE_ROW.fullmatch(name) and (value.ndim < 2 or value.shape[0] != 1):
        shape = f"shape {tuple(value.shape)}"
        raise _another_kind(where, name, shape, "one row, shape (1, ...)", "trace one prompt at a time")
    if _PICTURE.fullmatch(name) and isinstance(value, (str, Path, bool, int, float)):
        raise _another_kind(where, name, repr(value), "a PIL image or None", "open it with PIL.Image.open in Python")
    if name.endswith("_kwargs") and not isinstance(value, Mapping):
        raise _another_kind(where, name, repr(value), "a mapping", "write it as {'scale': 1.0}")
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if name == _COUNT and not (whole and 1 <= value <= _TOKENS_AT_MOST):
        remedy = "leave it out for the pipeline's own"
        raise _another_kind(where, name, repr(value), f"1 to {_TOKENS_AT_MOST} tokens", remedy)


def _another_kind(where: str, name: str, got: str, allowed: str, remedy: str) -> BadRequest:
    return BadRequest(f"{where} has no such {name}; got {got}, allowed {allowed}; {remedy}")

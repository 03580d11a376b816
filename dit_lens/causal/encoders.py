"""While probes run a model again and again, its encoders answer what they were asked before.

The runs of one question differ in edits, not in first frame and prompt, and both are encoded anew by every call of a
pipeline: for a small model that takes longer than a step. An encoder draws nothing at random, so its answer to the
same arguments is the same to the bit, and a copy of the first answer stands for it. Only the last few are kept. A
module that diffusers moves between devices is left alone.
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

__all__ = ["remembering_encoders"]

_KEPT = 4
"""Answers of each encoder: first frame and condition, prompt and negative prompt of a pair of runs."""
_METHODS: Mapping[str, str] = {
    "vae": "encode",
    "text_encoder": "forward",
    "text_encoder_2": "forward",
    "image_encoder": "forward",
}


@contextmanager
def remembering_encoders(pipeline: Any) -> Iterator[None]:
    """While inside, an encoder that is asked again gives a copy of its answer.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> vae = torch.nn.Linear(2, 2)
    >>> vae.encode = lambda x: print("encodes") or vae(x)
    >>> with remembering_encoders(SimpleNamespace(vae=vae)), torch.no_grad():
    ...     torch.equal(vae.encode(torch.ones(2)), vae.encode(torch.ones(2)))
    encodes
    True
    """
    with ExitStack() as stack:
        for name, method in _METHODS.items():
            module = getattr(pipeline, name, None)
            if isinstance(module, torch.nn.Module) and hasattr(module, method) and not hasattr(module, "_hf_hook"):
                stack.enter_context(_remembering(module, method))
        yield


@contextmanager
def _remembering(module: torch.nn.Module, method: str) -> Iterator[None]:
    before = module.__dict__.get(method)
    object.__setattr__(module, method, _remembered(getattr(module, method)))
    try:
        yield
    finally:
        object.__delattr__(module, method)
        if before is not None:
            object.__setattr__(module, method, before)


def _remembered(stock: Callable[..., Any]) -> Callable[..., Any]:
    answers: OrderedDict[str, Any] = OrderedDict()

    def encode(*args: Any, **kwargs: Any) -> Any:
        key = _key((args, sorted(kwargs.items())))
        if key is None or torch.is_grad_enabled():
            return stock(*args, **kwargs)
        if key not in answers:
            answers[key] = stock(*args, **kwargs)
        answers.move_to_end(key)
        while len(answers) > _KEPT:
            answers.popitem(last=False)
        return copy.deepcopy(answers[key])  # whoever gets it may change it

    return encode


def _key(value: Any) -> str | None:
    """A digest of arguments, or None if there is anything among them that cannot be told apart."""
    digest = hashlib.sha256()
    return digest.hexdigest() if _add(digest, value) else None


def _add(digest: Any, value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)} {value.device}".encode())
        digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).cpu().numpy().data)
        return True
    if isinstance(value, (tuple, list)):
        digest.update(f"{len(value)}(".encode())
        return all(_add(digest, item) for item in value)
    digest.update(repr(value).encode())
    return value is None or isinstance(value, (bool, int, float, str))

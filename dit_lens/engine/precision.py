"""Products in full precision, whatever the user lets the model round.

A user may run the model under autocast, or let matrix products of float32 go through TF32 or bfloat16
(``torch.set_float32_matmul_precision``, ``torch.backends.cuda.matmul.allow_tf32``, and since torch 2.9
``fp32_precision`` of a backend, which the older two set as well). What is measured of the model must not depend on
that, and the model must not notice that something was measured: the settings are for the whole process, so they are
put back at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch

__all__ = ["full_precision"]

_FULL = ("none", "ieee")


def full_precision(device: str) -> AbstractContextManager[object]:
    """While inside, nothing is multiplied in less than its own precision.

    Where nothing would be, nothing is set: to turn off what is off takes longer than many a reduction.

    Parameters
    ----------
    device : str
        Type of the device that multiplies.

    Examples
    --------
    >>> torch.set_float32_matmul_precision("medium")
    >>> with full_precision("cpu"):
    ...     torch.get_float32_matmul_precision()
    'highest'
    >>> torch.get_float32_matmul_precision()
    'medium'
    >>> torch.set_float32_matmul_precision("highest")
    """
    autocast, rounded = torch.is_autocast_enabled(device), _rounds()
    if not autocast and not rounded:
        return nullcontext()
    stack = ExitStack()
    if autocast:
        stack.enter_context(torch.autocast(device, enabled=False))
    if rounded:
        stack.enter_context(_highest())
    return stack


def _rounds() -> bool:
    backends = _backends()
    if not backends:
        return torch.get_float32_matmul_precision() != "highest"
    return any(backend.fp32_precision not in _FULL for backend in backends)


def _backends() -> list[Any]:
    """The settings of torch 2.9 and later, one for every backend; none in an older torch."""
    found = torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)
    return [backend for backend in found if hasattr(backend, "fp32_precision")]


@contextmanager
def _highest() -> Iterator[None]:
    backends = _backends()
    own, whole = [backend.fp32_precision for backend in backends], _whole()
    try:
        if whole is not None:
            torch.set_float32_matmul_precision("highest")
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        if whole is not None:
            torch.set_float32_matmul_precision(whole)
        for backend, before in zip(backends, own, strict=True):
            _restore(backend, before)


def _whole() -> str | None:
    """The setting over all backends; None if it contradicts theirs, when torch does not tell it."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _restore(backend: Any, before: str) -> None:
    """A backend without a setting of its own reports the one that it inherits, and is left to inherit it."""
    backend.fp32_precision = "none"
    if backend.fp32_precision != before:
        backend.fp32_precision = before

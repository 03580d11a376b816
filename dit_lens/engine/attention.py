"""See the attention that a module computes: what reaches ``scaled_dot_product_attention`` while the module runs.

Queries and keys after the rotary embedding exist only inside an attention processor, between two function calls; no
module boundary shows them. So a ``TorchFunctionMode`` is entered in the module's forward pre-hook and left in its
forward hook: torch hands it every function call in between, it keeps a reference to the arguments of an attention and
passes all calls on untouched. The forward hook is always called, also after an exception; and ours is entered last and
left first of all hooks, so that nothing outside of the module is seen. What bypasses the torch function (a flash or
sage kernel, attention split over devices) is refused by name beforehand, and a module of which nothing was seen ends
the run.

Shapes: B rows of the batch, H heads, N query tokens, M key tokens, D channels of a head.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dit_lens.engine.errors import Untraceable
from dit_lens.engine.probabilities import AttentionCall

__all__ = ["AttentionCall", "SeenAttention", "check_backend", "observed_attention"]

_FUNCTION = functional.scaled_dot_product_attention
_REACHING = frozenset({"native", "_native_cudnn", "_native_efficient", "_native_flash", "_native_math"})
"""The backends of diffusers that are torch's own function, with one kernel chosen or none."""


@dataclass(frozen=True)
class SeenAttention:
    """The arguments of one attention, as they were passed; the tensors are the model's own, not copies.

    Attributes
    ----------
    q_BHND, k_BHMD, v_BHMD : Tensor
        After the norms and the rotary embedding. Keys and values may have fewer heads (grouped queries).
    scale : float
        By which the products of queries and keys are multiplied.
    mask : Tensor or None
        Boolean (where attention may go) or added to the scores; of any shape that broadcasts to (B, H, N, M).
    causal : bool
        A token sees no later token.

    Examples
    --------
    >>> tokens = torch.zeros(2, 4, 6, 8)
    >>> SeenAttention(tokens, tokens, tokens, scale=0.5).row(1).q_HND.shape
    torch.Size([4, 6, 8])
    """

    q_BHND: torch.Tensor
    k_BHMD: torch.Tensor
    v_BHMD: torch.Tensor
    scale: float
    mask: torch.Tensor | None = None
    causal: bool = False

    def row(self, i: int) -> AttentionCall:
        """One row of the batch; what is shared by all rows is shared, not copied."""
        k_HMD, v_HMD = (shared[i if len(shared) > 1 else 0] for shared in (self.k_BHMD, self.v_BHMD))
        return AttentionCall(self.q_BHND[i], k_HMD, v_HMD, self.scale, self._mask_of(i), self.causal)

    def _mask_of(self, i: int) -> torch.Tensor | None:
        if self.mask is None:
            return None
        mask_BHNM = self.mask[(None,) * (4 - self.mask.ndim)]
        return mask_BHNM[i if len(mask_BHNM) > 1 else 0]


@contextmanager
def observed_attention(
    module: Any, on_calls: Callable[[tuple[SeenAttention, ...]], None], name: str = ""
) -> Iterator[None]:
    """While inside, every forward of a module ends by handing over the attentions that it computed.

    Parameters
    ----------
    module : torch.nn.Module
        It should hold the attention and little else, because everything that it runs is looked at.
    on_calls : callable
        Called once after every forward that did not fail, with all attentions in the order in which they came (in
        Wan's image-to-video cross-attention that over the image comes first). It may raise.
    name : str, optional
        What messages call the module; its class, if it is not given.

    Raises
    ------
    Untraceable
        By the module's forward, if nothing was seen, or an attention with dropout or not of four dimensions.

    Examples
    --------
    >>> class Attention(torch.nn.Module):
    ...     def forward(self, x_BHND):
    ...         return functional.scaled_dot_product_attention(x_BHND, x_BHND, x_BHND)
    >>> module = Attention()
    >>> with observed_attention(module, lambda calls: seen.extend(calls)):
    ...     seen = []
    ...     _ = module(torch.ones(1, 2, 3, 4))
    >>> seen[0].q_BHND.shape, seen[0].scale
    (torch.Size([1, 2, 3, 4]), 0.5)
    """
    watch = _Watch(on_calls, name or type(module).__name__)
    handles = (
        module.register_forward_pre_hook(watch.enter),
        module.register_forward_hook(watch.leave, prepend=True, always_call=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        watch.close()


def check_backend(module: Any, name: str = "") -> None:
    """Refuse a module whose attention would not be seen.

    Parameters
    ----------
    module : torch.nn.Module
        An attention module of diffusers; one without a processor, or whose processor knows no backends, passes.
    name : str, optional
        What messages call the module; its class, if it is not given.

    Raises
    ------
    Untraceable
        Naming the backend and the remedy.

    Examples
    --------
    >>> check_backend(torch.nn.Linear(2, 2))
    """
    processor = getattr(module, "processor", None)
    if not hasattr(processor, "_attention_backend"):
        return
    name = name or type(module).__name__
    backend = str(getattr(_backend(processor), "value", _backend(processor)))
    if backend not in _REACHING:
        raise Untraceable(
            f"the attention of {name} cannot be seen; got attention backend '{backend}', allowed "
            f'{", ".join(sorted(_REACHING))}; call set_attention_backend("native") on the denoiser'
        )
    if getattr(processor, "_parallel_config", None) is not None:
        raise Untraceable(
            f"the attention of {name} is split over devices; got context parallelism, allowed one device that sees all "
            f"tokens; load the denoiser without parallel_config"
        )


def _backend(processor: Any) -> Any:
    """The processor's own backend, or the one that is active for all that have none."""
    if processor._attention_backend is not None:
        return processor._attention_backend
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    return _AttentionBackendRegistry.get_active_backend()[0]


class _Listener(TorchFunctionMode):
    """Keeps the arguments of every attention, and changes nothing."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.within = sys.exception()  # that somebody is just handling, if the model is called in an except clause
        self.seen: list[tuple[SeenAttention, tuple[int, ...]]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _FUNCTION:
            seen = _seen(self.name, *args, **kwargs)
            self.seen.append((seen, _versions(seen)))
        return func(*args, **kwargs)

    def calls(self) -> tuple[SeenAttention, ...]:
        """Everything that was seen, if it is still what it was."""
        if not self.seen:
            raise Untraceable(
                f"nothing was seen of the attention of {self.name}; got no call, allowed one or more of "
                f"torch.nn.functional.scaled_dot_product_attention; use the family's default attention processor"
            )
        if any(_versions(seen) != versions for seen, versions in self.seen):
            raise Untraceable(
                f"{self.name} wrote over its own queries, keys or values; got changed tensors, allowed tensors that "
                f"stay until the module ends; use the family's default attention processor"
            )
        return tuple(seen for seen, _ in self.seen)


class _Watch:
    """The two hooks; a module that calls itself has several listeners open, the last one innermost."""

    def __init__(self, on_calls: Callable[[tuple[SeenAttention, ...]], None], name: str) -> None:
        self._on_calls = on_calls
        self._name = name
        self._open: list[_Listener] = []

    def enter(self, _module: Any, _args: Any) -> None:
        listener = _Listener(self._name)
        listener.__enter__()  # type: ignore[no-untyped-call]
        self._open.append(listener)

    def leave(self, _module: Any, _args: Any, _output: Any) -> None:
        if not self._open:  # another hook failed before ours was called
            return
        listener = self._leave()
        if sys.exception() is listener.within:
            self._on_calls(listener.calls())

    def close(self) -> None:
        """Leave what an interrupt left open: torch calls no hooks after it."""
        while self._open:
            self._leave()

    def _leave(self) -> _Listener:
        listener = self._open.pop()
        listener.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        return listener


def _seen(
    name: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> SeenAttention:
    if dropout_p:
        raise Untraceable(
            f"the attention of {name} is random; got dropout {dropout_p}, allowed 0; call eval() on the denoiser"
        )
    if any(tensor.ndim != 4 for tensor in (query, key, value)):
        raise Untraceable(
            f"the attention of {name} has no batch or no heads; got query {tuple(query.shape)} and key "
            f"{tuple(key.shape)}, allowed (batch, heads, tokens, channels); use the family's default attention "
            f"processor"
        )
    mask = None if attn_mask is None else attn_mask.detach()
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return SeenAttention(query.detach(), key.detach(), value.detach(), scale, mask, is_causal)


def _versions(seen: SeenAttention) -> tuple[int, ...]:
    """How often each tensor was written to; torch does not count that in inference mode."""
    tensors = (seen.q_BHND, seen.k_BHMD, seen.v_BHMD)
    return tuple(0 if tensor.is_inference() else tensor._version for tensor in tensors)

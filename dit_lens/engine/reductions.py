"""What is kept of a tensor: computed where the tensor lives, then moved to the host once, always as a copy.

``energy`` must never square in bfloat16 (a third of a percent is lost), nor let torch widen the whole tensor (on a
CPU that is about thirteen times slower than it need be): rows are widened a few hundred at a time into float32 and
their norm taken. On a GPU one fused kernel reads the tensor once.

Shapes: N rows, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["REDUCERS", "energy", "raw", "to_host"]

_ROWS = 512
"""Rows widened at a time: their float32 copy stays in the processor's cache."""


def raw(values: torch.Tensor, dim: int) -> torch.Tensor:
    """The values themselves.

    Examples
    --------
    >>> raw(torch.ones(2, 3), dim=1).shape
    torch.Size([2, 3])
    """
    return values.detach()


def energy(values: torch.Tensor, dim: int) -> torch.Tensor:
    """L2 norm along a dimension, in float32 whatever the dtype.

    Examples
    --------
    >>> energy(torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16), dim=1)
    tensor([5.])
    """
    values = values.detach()
    if values.is_cuda or values.dtype == torch.float32:
        norms: torch.Tensor = torch.linalg.vector_norm(values, dim=dim, dtype=torch.float32)
        return norms
    moved = values.movedim(dim, -1)
    rows_NC = moved.reshape(-1, moved.shape[-1])
    norms_N = torch.empty(len(rows_NC), dtype=torch.float32, device=values.device)
    for start in range(0, len(rows_NC), _ROWS):
        chunk = slice(start, start + _ROWS)
        torch.linalg.vector_norm(rows_NC[chunk].float(), dim=-1, out=norms_N[chunk])
    return norms_N.reshape(moved.shape[:-1])


REDUCERS: Mapping[str, Callable[[torch.Tensor, int], torch.Tensor]] = MappingProxyType({"raw": raw, "energy": energy})
"""The function of every reduction in ``dit_lens.captures.REDUCTIONS``: (values, feature dimension) to values."""


def to_host(values: torch.Tensor) -> npt.NDArray[np.float32]:
    """A float32 copy on the host; bfloat16 and float16 widen exactly, and move before they widen.

    Examples
    --------
    >>> tensor = torch.zeros(2)
    >>> array = to_host(tensor)
    >>> array[0] = 1
    >>> tensor[0].item()
    0.0
    """
    host = values.to("cpu", copy=True).to(torch.float32)
    copied: npt.NDArray[np.float32] = host.numpy()
    return copied

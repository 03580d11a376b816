"""Norms, means, deviations and largest channels, each at the speed of memory.

Nothing may square or sum in bfloat16 (a third of a percent is lost), nor let torch widen the whole tensor (on a CPU
that is about thirteen times slower than it need be, and twice the memory): rows are widened a few hundred at a time
into float32. On a GPU one fused kernel reads the tensor once, where there is one.

Shapes: N rows, H what is kept beside them, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import torch

__all__ = ["energy", "mean", "row_chunks", "std", "top"]

_ROWS_HOST = 512
"""Rows widened at a time: their float32 copy stays in the processor's cache."""
_ROWS_DEVICE = 8192


def row_chunks(rows: torch.Tensor) -> Iterator[slice]:
    """Cut rows so that the float32 copy of a piece stays small.

    Examples
    --------
    >>> [(piece.start, piece.stop) for piece in row_chunks(torch.zeros(1000, 2))]
    [(0, 512), (512, 1024)]
    """
    step = _ROWS_HOST if rows.device.type == "cpu" else _ROWS_DEVICE
    return (slice(start, start + step) for start in range(0, len(rows), step))


def energy(values: torch.Tensor, dim: int) -> torch.Tensor:
    """L2 norm along a dimension, in float32 whatever the dtype.

    Examples
    --------
    >>> energy(torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16), dim=1)
    tensor([5.])
    """
    norms: torch.Tensor
    if values.dtype == torch.float32:
        norms = torch.linalg.vector_norm(values, dim=dim)  # to name a dtype costs a tenth of a small norm
        return norms
    if values.is_cuda:
        norms = torch.linalg.vector_norm(values, dim=dim, dtype=torch.float32)
        return norms
    moved = values.movedim(dim, -1)
    rows_NC = moved.reshape(-1, moved.shape[-1])
    norms_N = torch.empty(len(rows_NC), dtype=torch.float32, device=values.device)
    for piece in row_chunks(rows_NC):
        torch.linalg.vector_norm(rows_NC[piece].float(), dim=-1, out=norms_N[piece])
    return norms_N.reshape(moved.shape[:-1])


def mean(values: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Mean over dimensions, in float32 whatever the dtype.

    Examples
    --------
    >>> mean(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), dims=[0])
    tensor([3., 5.])
    """
    if values.is_cuda or values.dtype == torch.float32:
        return values.mean(tuple(dims), dtype=torch.float32)
    return _total(values, dims, lambda part, _: part) / _count(values, dims)


def std(values: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Population standard deviation over dimensions, in float32: the mean first, then the squared distances from it.

    Examples
    --------
    >>> std(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), dims=[0, 1])
    tensor(2.2361)
    """
    centre = mean(values, dims)
    for dim in sorted(dims):
        centre = centre.unsqueeze(dim)

    def squared(part: torch.Tensor, number: int) -> torch.Tensor:
        return (part - centre[number if len(centre) > 1 else 0]).square_()

    return (_total(values, dims, squared) / _count(values, dims)).sqrt_()


def top(rows_NHC: torch.Tensor, count: int) -> torch.Tensor:
    """Channels of largest root mean square over the rows: their numbers, root mean squares and shares of the squares.

    Parameters
    ----------
    rows_NHC : Tensor
    count : int

    Returns
    -------
    Tensor
        (H, count, 3); of equal channels the lower number comes first.

    Examples
    --------
    >>> top(torch.tensor([[[1.0, 3.0]], [[1.0, -3.0]]]), 1)
    tensor([[[1.0000, 3.0000, 0.9000]]])
    """
    total_HC = torch.zeros(rows_NHC.shape[1:], dtype=torch.float32, device=rows_NHC.device)
    for piece in row_chunks(rows_NHC):
        total_HC += rows_NHC[piece].to(torch.float32).square().sum(0)
    sorted_HC, channels_HC = total_HC.sort(dim=-1, descending=True, stable=True)
    whole_H1 = total_HC.sum(-1, keepdim=True)
    shares_HC = sorted_HC / torch.where(whole_H1 > 0, whole_H1, 1)
    columns = (channels_HC.to(torch.float32), (sorted_HC / len(rows_NHC)).sqrt(), shares_HC)
    return torch.stack([column[:, :count] for column in columns], dim=-1)


def _count(values: torch.Tensor, dims: Sequence[int]) -> int:
    return prod(values.shape[dim] for dim in dims)


def _total(
    values: torch.Tensor, dims: Sequence[int], term: Callable[[torch.Tensor, int], torch.Tensor]
) -> torch.Tensor:
    """Sum of a term over dimensions, one slice of the first dimension widened at a time."""
    inner = tuple(dim - 1 for dim in dims if dim > 0)
    parts = (term(part.to(torch.float32), number) for number, part in enumerate(values))
    summed = (part.sum(inner) if inner else part for part in parts)
    if 0 not in dims:
        return torch.stack(list(summed))
    total = next(summed).clone()
    for part in summed:
        total += part
    return total

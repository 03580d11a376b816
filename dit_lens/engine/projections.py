"""Random projections of the channels, and Gram matrices of minibatches of tokens.

Rows are centred in float32 before they are multiplied: a Gram matrix of rows that lie far from the origin has lost
what it was made for, in bfloat16 entirely. The tokens of a minibatch are drawn from a permutation of all of them: a
frame is the natural minibatch and the wrong one, because what its tokens share is what centring takes away.

Shapes: N rows, H what is kept beside them, C channels, K components, M minibatches, B tokens in each.
"""

from __future__ import annotations

import torch

from dit_lens.engine.precision import full_precision
from dit_lens.engine.statistics import row_chunks

__all__ = ["grams", "project"]

_GATHERED_BYTES = 64 * 2**20
"""Float32 copies of tokens that are made at a time, at least one minibatch."""


def project(rows_NHC: torch.Tensor, matrix_CK: torch.Tensor) -> torch.Tensor:
    """Rows times a matrix, in float32.

    Examples
    --------
    >>> project(torch.ones(2, 1, 3), torch.eye(3)[:, :2]).shape
    torch.Size([2, 1, 2])
    """
    shape = (*rows_NHC.shape[:-1], matrix_CK.shape[1])
    out_NHK = torch.empty(shape, dtype=torch.float32, device=rows_NHC.device)
    with full_precision(rows_NHC.device.type):
        for piece in row_chunks(rows_NHC):
            torch.matmul(rows_NHC[piece].to(torch.float32), matrix_CK, out=out_NHK[piece])
    return out_NHK


def grams(rows_NHC: torch.Tensor, tokens_MB: torch.Tensor) -> torch.Tensor:
    """Gram matrices of the centred rows of every minibatch, in float32.

    Parameters
    ----------
    rows_NHC : Tensor
    tokens_MB : Tensor
        Row numbers of every minibatch.

    Returns
    -------
    Tensor
        (H, M, B, B).

    Examples
    --------
    >>> grams(torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([[0, 1]]))
    tensor([[[[ 1., -1.],
              [-1.,  1.]]]])
    """
    batches, size = tokens_MB.shape
    _, kept, channels = rows_NHC.shape
    out_HMBB = torch.empty((kept, batches, size, size), dtype=torch.float32, device=rows_NHC.device)
    step = max(1, _GATHERED_BYTES // (4 * size * kept * channels))
    for start in range(0, batches, step):
        some_MB = tokens_MB[start : start + step]
        some_NHC = rows_NHC.index_select(0, some_MB.flatten()).to(torch.float32)
        rows_HMBC = some_NHC.reshape(*some_MB.shape, kept, channels).permute(2, 0, 1, 3)
        rows_HMBC -= rows_HMBC.mean(2, keepdim=True)  # a copy already
        with full_precision(rows_HMBC.device.type):
            out_HMBB[:, start : start + step] = rows_HMBC @ rows_HMBC.mT
    return out_HMBB

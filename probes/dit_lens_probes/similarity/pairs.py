"""Products of all pairs of long vectors: blocks in float32, their sum in float64.

One float32 product over millions of terms loses four digits; over 32 thousand it loses none that matter, and costs the
same. CKA is such a product of vectors of length one. Nothing is clipped: a value outside -1 to 1, or a negative one, is
what the data say, or a fault that has to be seen.

Shapes: R, S representations, P numbers of each, G groups of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from dit_lens.engine.precision import full_precision
from dit_lens.probing import BadParams
from dit_lens_probes.similarity.batches import token_batches
from dit_lens_probes.similarity.grams import Estimator, least_length, packed_rows
from dit_lens_probes.similarity.rows import Normalise, Rows, as_rows, prepare_rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["KC", "cka", "pair_products", "row_products", "same_tokens", "unit"]

KC = 32768
"""Terms of a sum in float32, at most."""


def pair_products(left_RP: torch.Tensor, right_SP: torch.Tensor, edges: Sequence[int] = ()) -> torch.Tensor:
    """All products of the rows of two matrices.

    Parameters
    ----------
    left_RP, right_SP : torch.Tensor of float32
    edges : sequence of int
        Where a new group begins; by default there is one.

    Returns
    -------
    torch.Tensor of float64, shape (G, R, S)
        Of every group; their sum is the product.

    Examples
    --------
    >>> pair_products(torch.ones(2, 100_000), torch.ones(1, 100_000)).tolist()
    [[[100000.0], [100000.0]]]
    """
    ends = [0, *edges, left_RP.shape[1]]
    shape = (len(ends) - 1, left_RP.shape[0], right_SP.shape[0])
    out_GRS = torch.zeros(shape, dtype=torch.float64, device=left_RP.device)
    with full_precision(left_RP.device.type):
        for group in range(len(ends) - 1):
            for start in range(ends[group], ends[group + 1], KC):
                block = slice(start, min(start + KC, ends[group + 1]))
                out_GRS[group] += (left_RP[:, block] @ right_SP[:, block].T).double()
    return out_GRS


def row_products(left_RP: torch.Tensor, right_RP: torch.Tensor, edges: Sequence[int] = ()) -> torch.Tensor:
    """The products of the rows of two matrices, one by one, in float64.

    Parameters
    ----------
    left_RP, right_RP : torch.Tensor of float32
    edges : sequence of int
        Where a new group begins.

    Returns
    -------
    torch.Tensor of float64, shape (G, R)

    Examples
    --------
    >>> row_products(torch.ones(2, 5), torch.ones(2, 5)).tolist()
    [[5.0, 5.0]]
    """
    ends = [0, *edges, left_RP.shape[1]]
    out_GR = torch.zeros((len(ends) - 1, len(left_RP)), dtype=torch.float64, device=left_RP.device)
    for group in range(len(ends) - 1):
        for start in range(ends[group], ends[group + 1], KC):
            block = slice(start, min(start + KC, ends[group + 1]))
            out_GR[group] += (left_RP[:, block] * right_RP[:, block]).sum(1).double()
    return out_GR


def unit(packed_P: torch.Tensor) -> tuple[torch.Tensor, float]:
    """A vector of length 1, and the length that it had; zeros and 0 where there is none.

    Examples
    --------
    >>> unit(torch.tensor([3.0, 4.0]))
    (tensor([0.6000, 0.8000]), 5.0)
    """
    length = float(row_products(packed_P[None], packed_P[None]).sqrt())
    return (packed_P / length, length) if length > 0 else (packed_P, 0.0)


def cka(
    left_NC: Rows,
    right_NC: Rows,
    estimator: Estimator = "debiased",
    minibatch: int | None = None,
    normalise: Normalise = "none",
    seed: int = 0,
) -> float:
    """Linear CKA of two representations of the same tokens.

    Parameters
    ----------
    left_NC, right_NC : torch.Tensor or numpy.ndarray
        Tokens by channels; channels may differ.
    estimator : {"debiased", "biased"}
    minibatch : int, optional
        Tokens in a minibatch of permuted tokens; exact by default, with memory for two matrices of tokens by tokens.
    normalise : {"none", "token_ln", "channel_z", "drop_first"}
    seed : int
        Of the permutation.

    Returns
    -------
    float
        NaN where there is nothing to say, see ``prepare_rows``; never clipped.

    Raises
    ------
    BadParams
        If the rows are not the same tokens, or an option is unknown.

    Examples
    --------
    >>> rows_NC = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    >>> round(cka(rows_NC, rows_NC), 6), abs(cka(rows_NC, rows_NC.flip(0))) < 0.02
    (1.0, True)
    """
    left, right = as_rows(left_NC), as_rows(right_NC)
    same_tokens([left, right])
    batches_MB = token_batches(left.shape[0], minibatch, seed)
    ends = [_packed(rows, batches_MB, estimator, normalise) for rows in (left, right)]
    product = float(row_products(ends[0][0][None], ends[1][0][None]))
    return product if all(length > 0 for _, length in ends) else float("nan")


def same_tokens(representations: Sequence[torch.Tensor]) -> None:
    """Refuse representations that do not have the same number of tokens.

    Raises
    ------
    BadParams

    Examples
    --------
    >>> same_tokens([torch.ones(2, 1), torch.ones(2, 5)])
    """
    counts = sorted({rows.shape[0] for rows in representations})
    if len(counts) != 1:
        raise BadParams(
            f"representations of other tokens cannot be compared; got {' and '.join(map(str, counts)) or 'no'} "
            f"tokens, allowed the same in each; give rows of the same tokens in the same order"
        )


def _packed(
    rows_NC: torch.Tensor, batches_MB: npt.NDArray[np.int64], estimator: Estimator, normalise: Normalise
) -> tuple[torch.Tensor, float]:
    ready_NC, facts = prepare_rows(rows_NC, normalise)
    packed_P, length = unit(packed_rows(ready_NC, batches_MB, estimator))
    rounded = length <= least_length(torch.linalg.vector_norm(ready_NC, dim=1).square())
    return packed_P, 0.0 if facts.reason or rounded else length

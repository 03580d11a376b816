"""Gram matrices as vectors: centred in the way of the estimator, and one triangle of each, end to end.

CKA is the cosine between two centred Gram matrices. The *biased* form centres rows and columns. The *debiased* form
leaves the diagonal out and centres so that independent representations have 0 on average however few tokens there are
(U-centring: Székely and Rizzo 2014; it is the estimator of Song et al. 2012). Both are symmetric, so a triangle says
all. Of minibatches, the numerators and denominators are summed before they are divided (Nguyen et al. 2020), which is
the cosine between the vectors of all minibatches end to end.

Shapes: N tokens, C channels, M minibatches, B tokens in each, P numbers of a packed representation.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.engine.precision import full_precision
from dit_lens.probing import BadParams
from dit_lens_probes.similarity.rows import middle

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "centred_grams",
    "check_estimator",
    "least_length",
    "packed_grams",
    "packed_rows",
    "shuffle_places",
]

Estimator = Literal["debiased", "biased"]
ESTIMATORS: tuple[Estimator, ...] = ("debiased", "biased")
_GATHERED_BYTES = 64 * 2**20
_ROUNDED = 1e-6


def packed_rows(rows_NC: torch.Tensor, batches_MB: npt.NDArray[np.int64], estimator: Estimator) -> torch.Tensor:
    """The packed Gram matrices of centred rows.

    Parameters
    ----------
    rows_NC : torch.Tensor
        Of ``prepare_rows``.
    batches_MB : numpy.ndarray of int
        Row numbers of every minibatch.
    estimator : {"debiased", "biased"}

    Returns
    -------
    torch.Tensor of float32, shape (P,)
        Its product with another one is the sum of the estimator's numerators over the minibatches.

    Examples
    --------
    >>> rows_NC = torch.tensor([[0.0], [1.0], [2.0], [5.0]])
    >>> packed_rows(rows_NC, np.array([[0, 1, 2, 3]]), "debiased").shape
    torch.Size([6])
    """
    count, size = batches_MB.shape
    order_MB = torch.from_numpy(batches_MB).to(rows_NC.device)
    step = max(1, _GATHERED_BYTES // (4 * size * max(rows_NC.shape[1], size)))
    parts = []
    for start in range(0, count, step):
        some_MB = order_MB[start : start + step]
        some_MBC = rows_NC.index_select(0, some_MB.flatten()).reshape(*some_MB.shape, -1)
        some_MBC -= middle(some_MBC)
        with full_precision(rows_NC.device.type):
            grams_MBB = some_MBC @ some_MBC.mT
        parts.append(packed_grams(grams_MBB, estimator))
    return torch.cat(parts)


def packed_grams(grams_MBB: torch.Tensor, estimator: Estimator) -> torch.Tensor:
    """Centre Gram matrices as the estimator has it, and pack them.

    Parameters
    ----------
    grams_MBB : torch.Tensor
        Such as a ``gram`` capture holds.
    estimator : {"debiased", "biased"}

    Returns
    -------
    torch.Tensor of float32, shape (P,)

    Examples
    --------
    >>> packed_grams(torch.eye(4)[None], "biased").shape
    torch.Size([10])
    """
    centred_MBB = centred_grams(grams_MBB.float(), estimator)
    offset = 1 if estimator == "debiased" else 0
    size = centred_MBB.shape[1]
    row, column = torch.triu_indices(size, size, offset=offset, device=centred_MBB.device)
    packed = centred_MBB[:, row, column]
    if estimator == "biased":
        packed[:, row != column] *= sqrt(2)
    else:
        packed *= sqrt(2)
    return packed.flatten()


def least_length(squares_N: torch.Tensor) -> float:
    """The length of packed Gram matrices below which they are the rounding of float32.

    If all tokens are equally far from each other, the debiased matrix is 0, and what is left in its place is no number.

    Parameters
    ----------
    squares_N : torch.Tensor
        Squared lengths of the rows.

    Examples
    --------
    >>> least_length(torch.ones(100)) < 1e-4
    True
    """
    return _ROUNDED * float(squares_N.double().norm()) * sqrt(len(squares_N))


def centred_grams(grams_MBB: torch.Tensor, estimator: Estimator) -> torch.Tensor:
    """Centre rows and columns; in the debiased form without the diagonal, which becomes 0.

    Examples
    --------
    >>> centred_grams(torch.ones(1, 4, 4), "biased").abs().max()
    tensor(0.)
    """
    check_estimator(estimator)
    size = grams_MBB.shape[1]
    if estimator == "biased":
        rows_MB1 = grams_MBB.mean(2, keepdim=True)
        return grams_MBB - rows_MB1 - rows_MB1.mT + rows_MB1.mean(1, keepdim=True)
    open_MBB = grams_MBB.clone()
    open_MBB.diagonal(dim1=1, dim2=2).zero_()
    rows_MB1 = open_MBB.sum(2, keepdim=True)
    whole_M11 = rows_MB1.sum(1, keepdim=True)
    open_MBB -= rows_MB1 / (size - 2)
    open_MBB -= rows_MB1.mT / (size - 2)
    open_MBB += whole_M11 / ((size - 1) * (size - 2))
    open_MBB.diagonal(dim1=1, dim2=2).zero_()
    return open_MBB


@lru_cache(maxsize=2)
def shuffle_places(count: int, size: int, estimator: Estimator, seed: int) -> npt.NDArray[np.int64]:
    """Where each number of a packed representation comes from if the tokens of every minibatch are permuted.

    Parameters
    ----------
    count, size : int
        Minibatches, and tokens in each.
    estimator : {"debiased", "biased"}
    seed : int

    Returns
    -------
    numpy.ndarray of int, shape (P,)

    Examples
    --------
    >>> sorted(shuffle_places(1, 4, "debiased", seed=0).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    row, column = np.triu_indices(size, k=1 if estimator == "debiased" else 0)
    place_BB = np.zeros((size, size), dtype=np.int64)
    place_BB[row, column] = place_BB[column, row] = np.arange(len(row))
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(size) for _ in range(count))
    parts = [batch * len(row) + place_BB[order[row], order[column]] for batch, order in enumerate(orders)]
    return np.concatenate(parts)


def check_estimator(estimator: str) -> None:
    """Refuse an estimator that is not known.

    Raises
    ------
    BadParams

    Examples
    --------
    >>> check_estimator("debiased")
    """
    if estimator not in ESTIMATORS:
        raise BadParams(f"no such estimator; got {estimator!r}, allowed {', '.join(ESTIMATORS)}; choose one of them")

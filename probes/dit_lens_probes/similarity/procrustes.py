"""Procrustes similarity: how much of one representation the best rotation brings onto the other.

With both centred and of length 1, it is the sum of the singular values of their product; its arc cosine is a metric
(Williams et al. 2021). It weighs directions by their standard deviation where CKA weighs them by their variance, so
small ones count for more. It is found in float64, on the shorter side, for one pair at a time: a measure for few
channels or few pairs.

Shapes: R, S representations, N tokens, C channels.
"""

from __future__ import annotations

import torch

from dit_lens_probes.similarity.pairs import same_tokens
from dit_lens_probes.similarity.rows import Normalise, Rows, as_rows, prepare_rows

__all__ = ["long_one", "nuclear", "procrustes"]


def procrustes(left_NC: Rows, right_NC: Rows, normalise: Normalise = "none") -> float:
    """Procrustes similarity of two representations of the same tokens, 0 to 1.

    Parameters
    ----------
    left_NC, right_NC : torch.Tensor or numpy.ndarray
        Channels may differ.
    normalise : {"none", "token_ln", "channel_z", "drop_first"}

    Returns
    -------
    float
        NaN where there is nothing to say. It is not debiased: with fewer tokens than channels it is large for
        representations that have nothing in common.

    Raises
    ------
    BadParams
        If the rows are not the same tokens.

    Examples
    --------
    >>> rows_NC = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    >>> round(procrustes(rows_NC, 2 * rows_NC.flip(1) + 5), 6)
    1.0
    """
    left, right = as_rows(left_NC), as_rows(right_NC)
    same_tokens([left, right])
    ends = [prepare_rows(rows, normalise) for rows in (left, right)]
    if any(facts.reason for _, facts in ends):
        return float("nan")
    return nuclear(*(long_one(rows)[0] for rows, _ in ends))


def long_one(rows_NC: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Rows centred and of length one, in float64, and the length that they had.

    Examples
    --------
    >>> long_one(torch.tensor([[1.0], [5.0]]))[1] ** 2
    8.0...
    """
    exact_NC = rows_NC.double()
    exact_NC = exact_NC - exact_NC.mean(0)
    length = float(exact_NC.norm())
    return exact_NC / (length or 1.0), length


def nuclear(left_NC: torch.Tensor, right_NC: torch.Tensor) -> float:
    """The sum of the singular values of ``left.T @ right``, in float64.

    Examples
    --------
    >>> nuclear(torch.eye(3), torch.eye(3))
    3.0
    """
    left, right = left_NC.double(), right_NC.double()
    if left.shape[0] < max(left.shape[1], right.shape[1]):  # the same values, of a matrix of tokens by tokens
        left, right = (torch.linalg.qr(rows.T).R.T for rows in (left, right))
    return float(torch.linalg.svdvals(left.T @ right).sum())

"""Mutual nearest neighbours: of the k tokens nearest to a token in one representation, how many are nearest in another.

It asks for the small distances alone, where CKA hears the large ones: an outlier token or a scale does not move it.
Chance is k / (tokens - 1). Distances are Euclidean, between centred rows, in float32; the lower number wins a tie.

Shapes: N tokens, C channels, K neighbours.
"""

from __future__ import annotations

import torch

from dit_lens.engine.precision import full_precision
from dit_lens.probing import BadParams
from dit_lens_probes.similarity.pairs import same_tokens
from dit_lens_probes.similarity.rows import Normalise, Rows, as_rows, prepare_rows

__all__ = ["mutual_neighbours", "nearest", "shared"]

_TILE_BYTES = 64 * 2**20


def mutual_neighbours(left_NC: Rows, right_NC: Rows, neighbours: int = 10, normalise: Normalise = "none") -> float:
    """The share of nearest neighbours that two representations of the same tokens have in common.

    Parameters
    ----------
    left_NC, right_NC : torch.Tensor or numpy.ndarray
        Channels may differ.
    neighbours : int
    normalise : {"none", "token_ln", "channel_z", "drop_first"}

    Returns
    -------
    float
        0 to 1; NaN where there is nothing to say.

    Raises
    ------
    BadParams
        If the rows are not the same tokens, or there are not more of them than neighbours.

    Examples
    --------
    >>> rows_NC = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    >>> mutual_neighbours(rows_NC, 2 * rows_NC + 5), mutual_neighbours(rows_NC, rows_NC.flip(0)) < 0.25
    (1.0, True)
    """
    left, right = as_rows(left_NC), as_rows(right_NC)
    same_tokens([left, right])
    ends = [prepare_rows(rows, normalise) for rows in (left, right)]
    if any(facts.reason for _, facts in ends):
        return float("nan")
    one, other = (nearest(rows, neighbours) for rows, _ in ends)
    return shared(one, other) / one.numel()


def nearest(rows_NC: torch.Tensor, neighbours: int) -> torch.Tensor:
    """The numbers of the nearest tokens of every token, itself left out, rising.

    Examples
    --------
    >>> nearest(torch.tensor([[0.0], [1.0], [3.0]]), 1).tolist()
    [[1], [0], [1]]
    """
    tokens = rows_NC.shape[0]
    if not 1 <= neighbours < tokens:
        raise BadParams(
            f"tokens do not have so many neighbours; got {neighbours} neighbours of {tokens} tokens, allowed 1 to "
            f"{tokens - 1}; set fewer"
        )
    squares_N = rows_NC.square().sum(1)
    found = []
    step = max(1, _TILE_BYTES // (4 * tokens))
    for start in range(0, tokens, step):
        some = slice(start, start + step)
        with full_precision(rows_NC.device.type):
            far_BN = squares_N - 2 * (rows_NC[some] @ rows_NC.T)
        own = torch.arange(far_BN.shape[0], device=rows_NC.device)
        far_BN[own, start + own] = torch.inf
        found.append(far_BN.sort(dim=1, stable=True).indices[:, :neighbours].sort(dim=1).values)
    return torch.cat(found).to(torch.int32)


def shared(left_NK: torch.Tensor, right_NK: torch.Tensor) -> int:
    """How many neighbours two tables have in common, over all tokens.

    Examples
    --------
    >>> shared(torch.tensor([[1, 2], [0, 2]]), torch.tensor([[2, 3], [1, 3]]))
    1
    """
    both_N2K = torch.cat([left_NK, right_NK], dim=1).sort(dim=1).values
    return int((both_N2K[:, 1:] == both_N2K[:, :-1]).sum())

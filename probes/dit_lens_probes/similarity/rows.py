"""Rows made ready: float32, optionally normalised, centred before anything is multiplied, and looked at.

Activations of a transformer lie far from the origin: a Gram matrix of rows as they are holds the square of their mean
in every entry, and float32 has no digits left for what is asked. So it goes first, and twice: the second time takes
what the rounding of the first has left. What makes a similarity say little (one token or one channel that carries
most of the spread) is measured here, where all values are at hand.

Shapes: N tokens, C channels, M minibatches, F parts of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

import numpy as np
import torch

from dit_lens.probing import BadParams

__all__ = ["NORMALISE", "Facts", "Normalise", "Rows", "as_rows", "middle", "prepare_rows"]

Normalise = Literal["none", "token_ln", "channel_z", "drop_first"]
NORMALISE: tuple[Normalise, ...] = ("none", "token_ln", "channel_z", "drop_first")
"""Nothing; every token to mean 0 and variance 1; every channel likewise; without the first principal component."""

Rows = torch.Tensor | np.ndarray
_RESOLVED = 1e-6
"""Spread over mean below which float32 holds rounding and no representation."""
_AT_ONCE = 256
"""Rows whose squares are held at a time: they stay in a cache, and their memory is used again."""
_SAFE = 1e12
"""Sizes within which no sum of squares overflows."""
_OUTLIER = 25.0
"""Squared distance from the mean, over the median one, from which a token draws the mean away from the others."""


@dataclass(frozen=True)
class Facts:
    """What is known of one representation.

    Attributes
    ----------
    tokens, channels : int
    mean_ratio : float
        Length of the mean over the square root of the total variance, of the rows as they came.
    top_token, top_channel : float
        The largest share of the total variance that one token and one channel have, after normalisation.
    scale : float
        Root mean square that the rows had before they were brought to 1.
    reason : str
        Why nothing can be said of it; empty if something can.
    """

    tokens: int
    channels: int
    mean_ratio: float = float("nan")
    top_token: float = float("nan")
    top_channel: float = float("nan")
    scale: float = 1.0
    reason: str = ""


def as_rows(rows_NC: Rows, device: str | torch.device | None = None) -> torch.Tensor:
    """A matrix in float32.

    Parameters
    ----------
    rows_NC : torch.Tensor or numpy.ndarray
    device : str or torch.device, optional

    Returns
    -------
    torch.Tensor

    Raises
    ------
    BadParams
        If it is no matrix.

    Examples
    --------
    >>> as_rows(np.ones((2, 3), dtype=np.float16)).dtype
    torch.float32
    """
    tensor = torch.from_numpy(np.ascontiguousarray(rows_NC)) if isinstance(rows_NC, np.ndarray) else rows_NC
    if tensor.dim() != 2:
        shape = "x".join(map(str, tensor.shape)) or "a number"
        raise BadParams(
            f"a representation cannot be compared; got the shape {shape}, allowed tokens x channels; reshape it"
        )
    return tensor.detach().to(device=device, dtype=torch.float32)


def prepare_rows(
    rows_NC: Rows, normalise: Normalise = "none", least: int = 4, out_NC: torch.Tensor | None = None
) -> tuple[torch.Tensor, Facts]:
    """Normalise and centre, and say what was found.

    Parameters
    ----------
    rows_NC : torch.Tensor or numpy.ndarray
        Any float dtype.
    normalise : str
        One of ``NORMALISE``.
    least : int
        Tokens below which there is nothing to say.
    out_NC : torch.Tensor of float32, optional
        Where the rows are written; other memory than that of ``rows_NC``.

    Returns
    -------
    rows_NC : torch.Tensor of float32
        A new tensor, with the origin in the middle of the tokens and a root mean square of 1. The middle is not the
        mean where a few tokens lie far from all others: the rest would lose digits. What centres Gram matrices, or
        rows in float64, comes after.
    facts : Facts

    Raises
    ------
    BadParams
        If it is no matrix, or the normalisation is unknown.

    Examples
    --------
    >>> rows_NC, facts = prepare_rows(torch.tensor([[1.0, 5.0], [3.0, 5.0], [1.0, 5.0], [3.0, 5.0]]))
    >>> rows_NC[:, 0].tolist(), round(facts.mean_ratio, 2), facts.top_channel
    ([-1.41..., 1.41..., -1.41..., 1.41...], 5.39, 1.0)
    >>> prepare_rows(torch.ones(9, 2))[1].reason
    'constant: all tokens are equal'
    """
    if normalise not in NORMALISE:
        raise BadParams(
            f"rows cannot be normalised so; got {normalise!r}, allowed {', '.join(NORMALISE)}; choose one of them"
        )
    given_NC = as_rows(rows_NC)
    out_NC = torch.empty_like(given_NC) if out_NC is None else out_NC
    looked = _look(given_NC, least, out_NC)
    if isinstance(looked, Facts):
        return out_NC.zero_(), looked
    made_NC, (tokens, channels) = _normalised(looked, normalise), given_NC.shape
    squares_N, squares_C = _squares(made_NC) if normalise != "none" else (looked.squares_N, looked.squares_C)
    total, before = float(squares_C.sum()), float(looked.squares_C.sum())
    if total <= _RESOLVED**2 * (before if normalise == "drop_first" else made_NC.numel()):
        reason = f"constant: nothing is left after {normalise}"
        return out_NC.zero_(), Facts(tokens, channels, looked.mean_ratio, reason=reason)
    scale = (total / made_NC.numel()) ** 0.5
    torch.mul(made_NC, 1 / scale, out=out_NC)
    top_token, top_channel = (float(squares.max()) / total for squares in (squares_N, squares_C))
    own = looked.size if normalise in ("none", "drop_first") else 1.0
    return out_NC, Facts(tokens, channels, looked.mean_ratio, top_token, top_channel, scale * own)


@dataclass(frozen=True)
class _Looked:
    """Rows of which something can be said: as they came, with the mean taken away, and what was measured on the way.

    ``centred_NC`` lies where the result will.
    """

    given_NC: torch.Tensor
    mean_C: torch.Tensor
    centred_NC: torch.Tensor
    squares_N: torch.Tensor
    squares_C: torch.Tensor
    mean_ratio: float
    size: float


def _look(given_NC: torch.Tensor, least: int, room_NC: torch.Tensor) -> _Looked | Facts:
    """What there is, or why there is nothing.

    Each pass over the values costs as much as a good part of a product, and one into new memory five times that.
    """
    tokens, channels = given_NC.shape
    if tokens < least:
        return Facts(tokens, channels, reason=f"too few tokens: {tokens}, allowed {least} or more")
    if channels == 0:
        return Facts(tokens, channels, reason="no channels")
    low, high = given_NC.aminmax()
    size = float(torch.maximum(-low, high))
    if not isfinite(size):
        return Facts(tokens, channels, reason="not finite: holds NaN or infinity")
    if size > 0 and not 1 / _SAFE < size < _SAFE:
        given_NC = given_NC / size
    else:
        size = 1.0
    mean_C = given_NC.mean(0)
    centred_NC = torch.sub(given_NC, mean_C, out=room_NC)
    squares_N, squares_C = _squares(centred_NC)
    spread, mean = (float(part.sum()) ** 0.5 for part in (squares_C / tokens, mean_C.double().square()))
    mean_ratio = mean / spread if spread > 0 else inf
    if spread <= _RESOLVED * mean:
        reason = "constant: all tokens are equal" + ("" if spread == 0 else " to the precision of float32")
        return Facts(tokens, channels, mean_ratio, reason=reason)
    return _Looked(given_NC, mean_C, centred_NC, squares_N, squares_C, mean_ratio, size)


def _squares(rows_NC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of squares of every token and of every channel, in float64."""
    few = [rows_NC[start : start + _AT_ONCE] for start in range(0, len(rows_NC), _AT_ONCE)]
    sums_FC = [part.new_ones(len(part)) @ part.square() for part in few]  # a norm over rows takes ten times as long
    return torch.linalg.vector_norm(rows_NC, dim=1).double().square(), torch.stack(sums_FC).double().sum(0)


def middle(rows_MNC: torch.Tensor) -> torch.Tensor:
    """A point in the middle of the tokens: the mean of that half of them which lies nearest to the mean of all.

    Where the origin lies changes nothing in what is centred afterwards, only in how many digits that costs. One outlier
    token draws the mean away from all others, and every entry would be a small difference of large numbers.

    Examples
    --------
    >>> middle(torch.tensor([[[0.0], [1.0], [2.0], [997.0]]])).flatten()
    tensor([1.5000])
    """
    mean_M1C = rows_MNC.mean(1, keepdim=True)
    far_MN = (rows_MNC - mean_M1C).square().sum(2)
    near_M1N = (far_MN <= far_MN.median(1, keepdim=True).values).to(rows_MNC.dtype)[:, None]
    return near_M1N @ rows_MNC / near_M1N.sum(2, keepdim=True)


def _normalised(looked: _Looked, normalise: Normalise) -> torch.Tensor:
    if normalise == "token_ln":
        given_NC = looked.given_NC
        return _centred(_over_deviation(given_NC - given_NC.mean(1, keepdim=True), 1))
    if normalise == "channel_z":
        return _centred(_over_deviation(looked.centred_NC, 0))
    return _without_first(looked.centred_NC) if normalise == "drop_first" else _near(looked)


def _near(looked: _Looked) -> torch.Tensor:
    """The origin at the mean, or in the middle of the others where some tokens lie far from all of them."""
    squares_N = looked.squares_N
    half = squares_N.median()
    if float(squares_N.max()) <= _OUTLIER * float(half):
        return looked.centred_NC
    near_N = (squares_N <= half).float()
    return looked.given_NC - (looked.mean_C + near_N @ looked.centred_NC / near_N.sum())


def _centred(rows_NC: torch.Tensor) -> torch.Tensor:
    return rows_NC - rows_NC.mean(0)


def _over_deviation(centred_NC: torch.Tensor, dim: int) -> torch.Tensor:
    """Zero where there is no spread, and not the rounding of it blown up."""
    deviation = centred_NC.square().mean(dim, keepdim=True).sqrt()
    dead = deviation <= _RESOLVED * deviation.amax()
    return torch.where(dead, torch.zeros_like(centred_NC), centred_NC / torch.where(dead, 1.0, deviation))


def _without_first(centred_NC: torch.Tensor) -> torch.Tensor:
    """Take the first principal component out, found in float64 on the shorter side."""
    exact_NC = centred_NC.double()
    wide = exact_NC.shape[0] < exact_NC.shape[1]
    square = exact_NC @ exact_NC.T if wide else exact_NC.T @ exact_NC
    first = torch.linalg.eigh(square).eigenvectors[:, -1]
    if wide:
        return (exact_NC - torch.outer(first, first @ exact_NC)).float()
    return (exact_NC - torch.outer(exact_NC @ first, first)).float()

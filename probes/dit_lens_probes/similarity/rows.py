"""Rows made ready: float32, optionally normalised, centred before anything is multiplied, and looked at.

Activations of a transformer lie far from the origin: a Gram matrix of rows as they are holds the square of their mean
in every entry, and float32 has no digits left for what is asked. So it goes first, and twice: the second time takes
what the rounding of the first has left. What makes a similarity say little (one token or one channel that carries
most of the spread) is measured here, where all values are at hand.

Shapes: N tokens, C channels, M minibatches.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    reason : str
        Why nothing can be said of it; empty if something can.
    """

    tokens: int
    channels: int
    mean_ratio: float = float("nan")
    top_token: float = float("nan")
    top_channel: float = float("nan")
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


def prepare_rows(rows_NC: Rows, normalise: Normalise = "none", least: int = 4) -> tuple[torch.Tensor, Facts]:
    """Normalise and centre, and say what was found.

    Parameters
    ----------
    rows_NC : torch.Tensor or numpy.ndarray
        Any float dtype.
    normalise : str
        One of ``NORMALISE``.
    least : int
        Tokens below which there is nothing to say.

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
    tokens, channels = given_NC.shape
    if reason := _unusable(given_NC, least):
        return torch.zeros_like(given_NC), Facts(tokens, channels, reason=reason)
    size = given_NC.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)
    scaled_NC = given_NC / size  # so that no square overflows
    plain_NC = _centred(scaled_NC)
    spread, mean = _rms(plain_NC), float(scaled_NC.mean(0).square().mean().sqrt())
    mean_ratio = mean / spread if spread > 0 else float("inf")
    if spread <= _RESOLVED * mean or spread == 0:
        reason = "constant: all tokens are equal" + ("" if spread == 0 else " to the precision of float32")
        return torch.zeros_like(given_NC), Facts(tokens, channels, mean_ratio, reason=reason)
    made_NC = _normalised(scaled_NC, plain_NC, normalise)
    left = _rms(made_NC)
    if left <= _RESOLVED * (spread if normalise == "drop_first" else 1):
        reason = f"constant: nothing is left after {normalise}"
        return torch.zeros_like(given_NC), Facts(tokens, channels, mean_ratio, reason=reason)
    made_NC /= left
    return made_NC, Facts(tokens, channels, mean_ratio, *_shares(_centred(made_NC)))


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


def _unusable(rows_NC: torch.Tensor, least: int) -> str:
    if rows_NC.shape[0] < least:
        return f"too few tokens: {rows_NC.shape[0]}, allowed {least} or more"
    if rows_NC.shape[1] == 0:
        return "no channels"
    return "" if bool(torch.isfinite(rows_NC).all()) else "not finite: holds NaN or infinity"


def _centred(rows_NC: torch.Tensor) -> torch.Tensor:
    centred_NC = rows_NC - rows_NC.mean(0)
    centred_NC -= centred_NC.mean(0)
    return centred_NC


def _rms(rows_NC: torch.Tensor) -> float:
    return float(rows_NC.square().mean().sqrt())


def _normalised(scaled_NC: torch.Tensor, centred_NC: torch.Tensor, normalise: Normalise) -> torch.Tensor:
    if normalise == "token_ln":
        own_NC = scaled_NC - scaled_NC.mean(1, keepdim=True)
        return _centred(_over_deviation(own_NC, 1))
    if normalise == "channel_z":
        return _centred(_over_deviation(centred_NC, 0))
    return _without_first(centred_NC) if normalise == "drop_first" else _near(scaled_NC)


def _near(rows_NC: torch.Tensor) -> torch.Tensor:
    """The origin into the middle, as near as it can be, before any digit is lost."""
    near_NC = rows_NC - middle(rows_NC[None])[0]
    near_NC -= middle(near_NC[None])[0]
    return near_NC


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


def _shares(rows_NC: torch.Tensor) -> tuple[float, float]:
    squares_NC = rows_NC.square()
    token, channel = squares_NC.sum(1), squares_NC.sum(0)
    return float(token.max() / token.sum()), float(channel.max() / channel.sum())

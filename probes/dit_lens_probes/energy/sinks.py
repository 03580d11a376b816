"""Sinks and massive channels: the few tokens, and the few channels, that hold most of the energy.

A token *dominates* a layer if its energy is many times the median of all tokens of that layer and step; a *sink* is a
token that dominates in most layers. Both are words about size alone: that a token is loud does not say what it does.
A *massive* channel holds a large share of the sum of squares of all channels, over all tokens. Energies are sums over
channels and cannot show it, so it is looked for only where a capture does: ``block.out:top:K`` or ``block.out:raw``.

Shapes: B branches, S steps, L layers, F frames, T tokens, K channels that are named.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

__all__ = ["MASSIVE_DIMS", "dominance", "massive_channels", "without_sinks"]

MASSIVE_DIMS = ("branch", "step", "layer", "rank")
_TOKEN = ("frame", "y", "x")


def dominance(energy: xr.DataArray, ratio: float) -> xr.DataArray:
    """In which share of the layers a token has at least ``ratio`` times the median energy of the layer.

    Parameters
    ----------
    energy : xarray.DataArray
        Dimensions ``layer``, ``frame``, ``y``, ``x`` and any others; NaN where there is no token.
    ratio : float

    Returns
    -------
    xarray.DataArray
        Without ``layer``; NaN where there is no token.

    Examples
    --------
    >>> energy = xr.DataArray(np.ones((2, 1, 1, 4)), dims=("layer", "frame", "y", "x"))
    >>> energy[:, 0, 0, 2] = 50
    >>> dominance(energy, ratio=10).values.ravel().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    median = energy.median(_TOKEN, skipna=True)
    known = energy.notnull()
    share = ((energy >= ratio * median) & known).sum("layer") / known.sum("layer").where(lambda count: count > 0)
    return share.astype(np.float32)


def without_sinks(energy: xr.DataArray, share: xr.DataArray) -> xr.DataArray:
    """Energies with NaN in place of sinks: of tokens that dominate in more than half of the layers.

    Examples
    --------
    >>> energy = xr.DataArray(np.ones((2, 1, 1, 2)), dims=("layer", "frame", "y", "x"))
    >>> share = xr.DataArray([[[0.5, 0.6]]], dims=("frame", "y", "x"))
    >>> without_sinks(energy, share).isel(layer=0).values.tolist()
    [[[1.0, nan]]]
    """
    return energy.where(~(share > 0.5)).transpose(*energy.dims)


def massive_channels(array: xr.DataArray, count: int) -> xr.Dataset:
    """The channels that hold the largest shares of the sum of squares.

    Parameters
    ----------
    array : xarray.DataArray
        Of a ``top`` capture, dimensions (..., rank, quantity), or raw, (..., frame, token, channel).
    count : int
        How many.

    Returns
    -------
    xarray.Dataset
        ``channel`` and ``channel_share`` by rank.

    Examples
    --------
    >>> raw = xr.DataArray([[[[[[1.0, 3.0]]]]]], dims=("branch", "step", "layer", "frame", "token", "channel"))
    >>> found = massive_channels(raw, 1)
    >>> int(found["channel"].item()), round(float(found["channel_share"].item()), 3)
    (1, 0.9)
    """
    if "quantity" in array.dims:
        ranked = array.isel(rank=slice(0, count)).transpose("branch", "step", "layer", "rank", "quantity")
        channel, share = (ranked.sel(quantity=name, drop=True).values for name in ("channel", "share"))
        known = np.isfinite(channel)
        return _dataset(array, np.where(known, channel, -1).astype(np.int64), share)
    values = array.transpose("branch", "step", "layer", "frame", "token", "channel").values.astype(np.float64)
    squares_BSLK = (values**2).sum((3, 4))
    order = np.argsort(-squares_BSLK, axis=-1, kind="stable")[..., :count]
    total = squares_BSLK.sum(-1, keepdims=True)
    shares = squares_BSLK / np.where(total > 0, total, np.nan)
    labels = array["channel"].values if "channel" in array.coords else np.arange(array.sizes["channel"])
    channel = np.where(np.isfinite(shares).all(-1, keepdims=True), labels[order], -1)
    return _dataset(array, channel, np.take_along_axis(shares, order, axis=-1))


def _dataset(array: xr.DataArray, channel: npt.NDArray[np.integer], share: npt.NDArray[np.floating]) -> xr.Dataset:
    coords = {dim: array[dim].values for dim in ("branch", "step", "layer") if dim in array.coords}
    return xr.Dataset(
        {"channel": (MASSIVE_DIMS, channel), "channel_share": (MASSIVE_DIMS, share.astype(np.float32))},
        coords={**coords, "rank": np.arange(channel.shape[-1])},
    )

"""From the energies of a flat run of tokens to maps, raw and robust.

The store keeps tokens in the model's own order with their ``y`` and ``x``; a map puts each at its place, and leaves NaN
where the capture holds no token. A residual stream grows with depth and has a few tokens of enormous norm, so raw maps
of different layers share no scale. The robust map of one (trace, branch, step, layer) clips its energies to two
percentiles and then counts in standard deviations from the mean, over all frames and tokens of that layer at once:
frames stay comparable, layers become so. All arithmetic is float64.

Shapes: B branches, S steps (one in a chunk), L layers, F frames, T tokens of a frame, Y rows, X columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

__all__ = ["grid_map", "robust_map"]

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def grid_map(energy: xr.DataArray) -> xr.DataArray:
    """Put every token at its place in the frame.

    Parameters
    ----------
    energy : xarray.DataArray
        Dimensions (..., token), with the coordinates ``y`` and ``x`` on ``token``.

    Returns
    -------
    xarray.DataArray
        Dimensions (..., y, x); NaN where there was no token.

    Examples
    --------
    >>> tokens = {"y": ("token", [0, 0, 1]), "x": ("token", [4, 5, 4])}
    >>> grid_map(xr.DataArray([1.0, 2.0, 3.0], dims="token", coords=tokens)).values
    array([[ 1.,  2.],
           [ 3., nan]])
    """
    *lead, token = energy.dims
    values = energy.transpose(*lead, token).values
    (y, row_T), (x, column_T) = (np.unique(energy[name].values, return_inverse=True) for name in ("y", "x"))
    placed = np.full((*values.shape[:-1], len(y), len(x)), np.nan, dtype=values.dtype)
    placed[..., row_T, column_T] = values
    coords = {name: coord for name, coord in energy.coords.items() if token not in coord.dims}
    return xr.DataArray(placed, dims=(*lead, "y", "x"), coords={**coords, "y": y, "x": x}, name=energy.name)


def robust_map(values: Values, low: float, high: float, axes: int = 3) -> npt.NDArray[np.float64]:
    """Clip to two percentiles, then count in standard deviations from the mean.

    Parameters
    ----------
    values : numpy.ndarray
        NaN is left out of the statistics and stays NaN.
    low, high : float
        Percentiles, 0 to 100, interpolated linearly.
    axes : int
        How many trailing axes form one map: (frame, y, x) by default.

    Returns
    -------
    numpy.ndarray of float64
        Zero where all values of a map are equal.

    Examples
    --------
    >>> robust_map(np.array([[[0.0, 1.0, 2.0, 1e6]]]), 0, 75).round(2)  # the 75th percentile is 250001.5
    array([[[-0.58, -0.58, -0.58,  1.73]]])
    """
    over = tuple(range(-axes, 0))
    exact = values.astype(np.float64)
    edges = np.nanpercentile(exact, [low, high], axis=over, keepdims=True)
    clipped = np.clip(exact, edges[0], edges[1])
    centred = clipped - np.nanmean(clipped, axis=over, keepdims=True)
    spread = np.nanstd(clipped, axis=over, keepdims=True)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))

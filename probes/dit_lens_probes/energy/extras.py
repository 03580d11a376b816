"""What the energy probe adds to its maps when it is asked to: sinks, massive channels, the share on a mask, curves.

Each is a variable beside the maps of the same step, so it is merged and laid out as they are. All of them are of sizes:
they say where energy is, never what it is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dit_lens.captures import Capture
from dit_lens.probing import BadParams, MissingCapture
from dit_lens.puzzles import recognise
from dit_lens_probes.energy.sinks import MASSIVE_DIMS, dominance, massive_channels, without_sinks
from dit_lens_probes.masks import as_answered, puzzle_mask, token_shares

if TYPE_CHECKING:
    from dit_lens_probes.energy.params import EnergyParams

__all__ = ["add_extras", "channel_capture"]

_TOKEN = ("frame", "y", "x")
_DEFAULT_RANKS = 4


def channel_capture(channels: str) -> Capture | None:
    """The capture that massive channels are read from; None if they are not looked for.

    Raises
    ------
    BadParams

    Examples
    --------
    >>> str(channel_capture("top:4")), channel_capture("")
    ('block.out:top:4', None)
    """
    if not channels:
        return None
    capture = Capture.parse(f"block.out:{channels}")
    if capture.reduction not in ("raw", "top"):
        raise BadParams(
            f"energy.channels names a capture that shows no channels; got '{channels}', allowed raw or top:K; "
            f"take top:4, or leave energy.channels out"
        )
    return capture


def add_extras(maps: xr.Dataset, chunk: xr.Dataset, params: EnergyParams) -> xr.Dataset:
    """Add to ``energy`` whatever the parameters ask for.

    Parameters
    ----------
    maps : xarray.Dataset
        Holds ``energy`` (branch, step, layer, frame, y, x).
    chunk : xarray.Dataset
        What it was made from.
    params : EnergyParams

    Returns
    -------
    xarray.Dataset
    """
    energy = maps["energy"]
    if params.sinks != "none":
        share = dominance(energy, params.sink_ratio)
        attrs = {"long_name": "share of the layers in which the token dominates", "ratio": params.sink_ratio}
        maps["dominance"] = share.assign_attrs(attrs, masked=int(params.sinks == "mask"))
        energy = without_sinks(energy, share) if params.sinks == "mask" else energy
    if capture := channel_capture(params.channels):
        maps = maps.assign(_channels(maps, chunk, capture).data_vars)
    if params.mask:
        maps = maps.assign(_shares(energy, chunk, params.mask))
    if params.curves:
        maps = maps.assign(_curves(energy))
    return maps


def _channels(maps: xr.Dataset, chunk: xr.Dataset, capture: Capture) -> xr.Dataset:
    """The largest channels; of steps, branches and layers that their capture does not hold, -1 with NaN."""
    count = int(capture.argument or _DEFAULT_RANKS)
    wanted = {dim: maps[dim].values for dim in ("branch", "step", "layer")}
    shape = (*(len(labels) for labels in wanted.values()), count)
    found = xr.Dataset(
        {"channel": (MASSIVE_DIMS, np.full(shape, -1)), "channel_share": (MASSIVE_DIMS, np.full(shape, np.nan, "f4"))},
        coords={**wanted, "rank": np.arange(count)},
    )
    if capture.array in chunk:
        held = massive_channels(chunk[capture.array], count)
        found = held.reindex({**wanted, "rank": np.arange(count)}, fill_value={"channel": -1, "channel_share": np.nan})
    found["channel"].attrs = {"long_name": "channel with the largest share of the sum of squares, by rank"}
    found["channel_share"].attrs = {"long_name": "share of the sum of squares that the channel holds"}
    return found


def _curves(energy: xr.DataArray) -> dict[str, xr.DataArray]:
    """One number a layer and step: the mean energy, the median, and the largest over the median."""
    median = energy.median(_TOKEN, skipna=True)
    largest = energy.max(_TOKEN) / median.where(median > 0)
    return {
        "mean": energy.mean(_TOKEN, dtype=np.float64).assign_attrs(long_name="mean energy of a token"),
        "median": median.assign_attrs(long_name="median energy of a token"),
        "peak": largest.assign_attrs(long_name="largest energy of a token over the median"),
    }


def _shares(energy: xr.DataArray, chunk: xr.Dataset, name: str) -> dict[str, xr.DataArray]:
    """The share of the energy that lies on a mask, and the share that it would have if all tokens had the same."""
    weight = _weights(energy, chunk, name).where(energy.notnull())
    on_mask = (energy.astype(np.float64) * weight).sum(_TOKEN)
    total = energy.sum(_TOKEN, dtype=np.float64)
    even = weight.mean(_TOKEN, dtype=np.float64)
    return {
        "mask_share": (on_mask / total.where(total > 0)).assign_attrs(long_name=f"share of the energy on '{name}'"),
        "mask_even": even.assign_attrs(long_name=f"share of '{name}' if all tokens had the same energy"),
    }


def _weights(energy: xr.DataArray, chunk: xr.Dataset, name: str) -> xr.DataArray:
    """Of every token, the share of its pixels in the mask, in the video frames of its latent frame."""
    trace, manifest = str(chunk.attrs["trace_id"]), chunk.attrs["manifest"]
    puzzle, grid = recognise(trace, manifest), manifest.get("tokens")
    if puzzle is None or not grid:
        message = f"trace '{trace}' is not of a shipped puzzle, so it has no mask '{name}'; got another first frame, "
        raise BadParams(f"{message}prompt or name, allowed traces of 'dit-lens trace --task'; leave energy.mask out")
    if "video" not in chunk:
        raise MissingCapture(f"trace '{trace}' lost its video; got none, allowed one; leave energy.mask out")
    video = chunk["video"].transpose("video_frame", "video_y", "video_x", "rgb").values
    mask = puzzle_mask(as_answered(puzzle, np.asarray(video)), name, "energy.mask")
    shares = token_shares(mask, (int(grid[0]), int(grid[1]), int(grid[2])))
    every = {dim: np.arange(size) for dim, size in zip(_TOKEN, shares.shape, strict=True)}
    held = {dim: energy[dim].values for dim in _TOKEN}
    return xr.DataArray(shares, dims=_TOKEN, coords=every).sel(held)

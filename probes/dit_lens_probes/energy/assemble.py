"""From the pieces that the chunks leave to one dataset over all traces.

A piece is the maps of one step of one trace. Pieces are keyed by (trace, step), so merging them is a union, whose order
cannot matter. Traces need not agree: the result carries the union of their labels and NaN where a trace holds nothing.
``sigma``, ``timestep`` and ``expert`` lie along ``step`` while all traces agree on them, and along (trace, step) when
they do not, because then one step index means two noise levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xarray as xr

__all__ = ["Pieces", "assemble", "merge"]

_STEP_COORDS = ("sigma", "timestep", "expert")
_MAP_DIMS = ("trace", "branch", "step", "layer", "frame", "y", "x")
_DIMS = (*_MAP_DIMS, "rank")


@dataclass(frozen=True)
class Pieces:
    """What has been computed so far.

    Attributes
    ----------
    maps : dict
        From (trace, step) to a dataset of ``energy``, ``robust`` and whatever else was asked for, with a step axis of
        length one.
    videos : dict
        From trace to the decoded frames that its maps lie over; empty without overlay.
    """

    maps: Mapping[tuple[str, int], xr.Dataset] = field(default_factory=dict)
    videos: Mapping[str, xr.DataArray] = field(default_factory=dict)


def merge(pieces: Sequence[Pieces]) -> Pieces:
    """Unite pieces.

    Examples
    --------
    >>> merge([Pieces(), Pieces()])
    Pieces(maps={}, videos={})
    """
    return Pieces(
        maps={key: value for piece in pieces for key, value in piece.maps.items()},
        videos={key: value for piece in pieces for key, value in piece.videos.items()},
    )


def assemble(pieces: Pieces) -> xr.Dataset:
    """Lay all maps out in one dataset.

    Parameters
    ----------
    pieces : Pieces
        At least one.

    Returns
    -------
    xarray.Dataset
        ``energy`` and ``robust`` (trace, branch, step, layer, frame, y, x), what else the maps hold, each along its own
        of these dimensions, and ``video`` if there are videos.

    Examples
    --------
    >>> one = xr.DataArray(np.ones((1, 1, 1, 1, 2, 2)), dims=_MAP_DIMS[1:], coords={"branch": ["cond"], "step": [3]})
    >>> one = one.assign_coords(layer=[0], frame=[0], y=[0, 1], x=[0, 1], sigma=("step", [0.5]))
    >>> both = xr.Dataset({"energy": one, "robust": 0 * one})
    >>> assemble(Pieces({("a", 3): both})).sizes["trace"]
    1
    """
    traces, steps = sorted({trace for trace, _ in pieces.maps}), sorted({step for _, step in pieces.maps})
    first = next(iter(pieces.maps.values()))
    held = [dim for dim in _DIMS if dim in first.dims]
    labels = {dim: _union(pieces, dim) for dim in held if dim != "step"}
    labels = {"trace": np.array(traces, dtype=object), "step": np.array(steps), **labels}
    variables = {str(name): _fill(pieces, str(name), labels) for name in first.data_vars}
    coords = {name: _along_step(pieces, name, traces, steps) for name in _STEP_COORDS if name in first.coords}
    result = xr.Dataset(variables, coords={**{dim: labels[dim] for dim in _DIMS if dim in labels}, **coords})
    return result.assign(video=_videos(pieces, traces, labels["frame"])) if pieces.videos else result


def _union(pieces: Pieces, dim: str) -> npt.NDArray[np.generic]:
    labels = sorted({label for piece in pieces.maps.values() for label in piece[dim].values.tolist()})
    return np.array(labels, dtype=object if isinstance(labels[0], str) else None)


def _fill(pieces: Pieces, name: str, labels: Mapping[str, npt.NDArray[np.generic]]) -> xr.Variable:
    """One variable of all pieces; NaN, or -1 of whole numbers, where a trace holds nothing."""
    example = next(iter(pieces.maps.values()))[name]
    dims = [dim for dim in _DIMS[1:] if dim in example.dims]
    at = {dim: {label: index for index, label in enumerate(values.tolist())} for dim, values in labels.items()}
    shape, whole = [len(labels[dim]) for dim in ("trace", *dims)], example.dtype.kind == "i"
    filled = np.full(shape, -1 if whole else np.nan, dtype=np.int64 if whole else np.float32)
    for (trace, _), piece in pieces.maps.items():
        values = piece[name].transpose(*dims)
        places = [[at[dim][label] for label in piece[dim].values.tolist()] for dim in dims]
        filled[np.ix_([at["trace"][trace]], *places)] = values.values
    return xr.Variable(("trace", *dims), filled, example.attrs)


def _along_step(pieces: Pieces, name: str, traces: Sequence[str], steps: Sequence[int]) -> xr.Variable:
    """A coordinate along step, or along (trace, step) if the traces do not agree."""
    known = {key: piece[name] for key, piece in pieces.maps.items() if name in piece.coords}
    example = next(iter(known.values()))
    blank: object = np.nan if example.dtype.kind == "f" else -1 if example.dtype.kind in "iu" else ""
    table = [[known[t, s].item() if (t, s) in known else blank for s in steps] for t in traces]
    dtype = example.dtype if example.dtype.kind in "fiu" else np.dtype(object)
    shared = [next((row[i] for row in table if row[i] is not blank), blank) for i in range(len(steps))]
    if all(value is blank or value == shared[i] for row in table for i, value in enumerate(row)):
        return xr.Variable(("step",), np.array(shared, dtype=dtype), example.attrs)
    return xr.Variable(("trace", "step"), np.array(table, dtype=dtype), example.attrs)


def _videos(pieces: Pieces, traces: Sequence[str], frames: npt.NDArray[np.generic]) -> xr.DataArray:
    known = [pieces.videos[trace] for trace in traces]
    height, width = (max(video.sizes[dim] for video in known) for dim in ("video_y", "video_x"))
    filled = np.zeros((len(traces), len(frames), height, width, 3), dtype=np.uint8)
    for index, video in enumerate(known):
        rows = np.searchsorted(frames, video["frame"].values)
        filled[index, rows, : video.sizes["video_y"], : video.sizes["video_x"]] = video.values
    attrs = {"long_name": "last decoded video frame of each latent frame"}
    return xr.DataArray(filled, dims=("trace", "frame", "video_y", "video_x", "rgb"), attrs=attrs)

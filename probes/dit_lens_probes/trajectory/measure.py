"""Everything that is measured of one trace: what its latents say alone, and what they show once decoded.

The guided x0 comes first on the axis ``branch``, as ``guided``; the branches of the model stand behind it if they were
asked for. What needs a scorer is NaN (or empty) where there is none, and ``no_scorer`` says why.

Shapes: S steps, C latent channels, F latent frames, H, W latent height and width, P places of a sketch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens_probes.trajectory.decoding import Decoders
from dit_lens_probes.trajectory.distances import changes, over_frames, scale_of, to_last
from dit_lens_probes.trajectory.order import centre, frame_order, settled, spread
from dit_lens_probes.trajectory.params import TrajectoryParams
from dit_lens_probes.trajectory.question import name_of_question, puzzle_of, question_key
from dit_lens_probes.trajectory.seeds import sketch
from dit_lens_probes.trajectory.shown import FILL, show

__all__ = ["BRANCHES", "GUIDED", "Piece", "latent_measures", "measure", "paths_of"]

GUIDED, BRANCHES = "x0.guided.raw", "x0.raw"
_DIMS = ("step", "latent_channel", "frame", "h", "w")
_STEP_COORDS = ("sigma", "timestep", "expert")


@dataclass(frozen=True)
class Piece:
    """What one trace leaves.

    Attributes
    ----------
    values : xarray.Dataset
        Over (branch, step, frame) and less.
    sketches : dict
        From (branch, step) to some values of x0, and
    scale : float
        the root mean square of the last guided x0, to hold seeds against each other.
    key, name : str
        Of the question.
    """

    values: xr.Dataset
    sketches: Mapping[tuple[str, int], npt.NDArray[np.float32]]
    scale: float
    key: str
    name: str


def measure(chunk: xr.Dataset, params: TrajectoryParams, decoders: Decoders) -> Piece:
    """Measure one trace.

    Parameters
    ----------
    chunk : xarray.Dataset
        ``x0.guided.raw``, perhaps ``x0.raw`` and ``video``.
    params : TrajectoryParams
    decoders : Decoders

    Returns
    -------
    Piece

    Raises
    ------
    MissingDecoder
    """
    trace_id, manifest = str(chunk.attrs["trace_id"]), chunk.attrs["manifest"]
    paths = paths_of(chunk, params.branches)
    guided = next(iter(paths.values()))
    rows = {name: latent_measures(path, params.settled) for name, path in paths.items()}
    shared = xr.Dataset()
    if params.decode:
        shown = show(chunk, paths, params, decoders.of(trace_id, manifest), puzzle_of(trace_id, manifest))
        rows = {name: xr.merge([row, shown.branches[name]], join="exact") for name, row in rows.items()}
        shared = shown.shared
    values = _side_by_side(rows).merge(shared).assign(_along_step(chunk))
    key = question_key(manifest)
    scale = scale_of(guided.transpose(*_DIMS).values)
    return Piece(values, _sketches(paths), scale, key, name_of_question(trace_id, key))


def paths_of(chunk: xr.Dataset, branches: bool) -> dict[str, xr.DataArray]:
    """The clean latents by branch, ``guided`` first, each with the steps that it holds."""
    paths = {"guided": chunk[GUIDED]}
    if branches:
        paths |= {str(name): chunk[BRANCHES].sel(branch=name) for name in chunk[BRANCHES]["branch"].values}
    return {name: path.transpose(*_DIMS).dropna("step", how="all") for name, path in paths.items()}


def latent_measures(path: xr.DataArray, share: float) -> xr.Dataset:
    """What the latents of one branch say alone.

    Parameters
    ----------
    path : xarray.DataArray
        Over (step, latent_channel, frame, h, w).
    share : float
        See ``order.settled``.

    Returns
    -------
    xarray.Dataset
        ``distance`` and ``change`` (step, frame); ``distance_whole``, ``change_spread`` and ``change_centre`` (step);
        ``settled_step`` (frame); ``frame_order``.

    Examples
    --------
    >>> x = xr.DataArray(np.array([3.0, 1.0, 2.0]).reshape(3, 1, 1, 1, 1), dims=_DIMS)
    >>> latent_measures(x.assign_coords(step=[0, 1, 2], frame=[0]), 0.1)["settled_step"].values
    array([2.])
    """
    x_SCFHW = path.values
    distance_SF, change_SF = to_last(x_SCFHW), changes(x_SCFHW)
    settled_F = settled(distance_SF, share)
    variables = {
        "distance": (("step", "frame"), distance_SF, _attrs("distance to the last x0")),
        "distance_whole": (("step",), over_frames(distance_SF), _attrs("distance to the last x0, all frames")),
        "change": (("step", "frame"), change_SF, _attrs("change since the step before")),
        "change_spread": (("step",), spread(change_SF), _attrs("share of the frames that take part in the change")),
        "change_centre": (("step",), centre(change_SF), _attrs("middle of the change", "latent frames")),
        "settled_step": (
            ("frame",),
            path["step"].values[settled_F].astype(float),
            _attrs("step from which on a frame stays near its last x0", "steps"),
        ),
        "frame_order": ((), frame_order(settled_F), _attrs("rank correlation of frame and settled step")),
    }
    return xr.Dataset(variables, coords={"step": path["step"].values, "frame": path["frame"].values})


def _attrs(name: str, units: str = "1") -> dict[str, str]:
    return {"long_name": name, "units": units}


def _side_by_side(rows: Mapping[str, xr.Dataset]) -> xr.Dataset:
    labels = xr.Variable(("branch",), np.array(list(rows), dtype=object))
    joined = xr.concat(
        list(rows.values()),
        dim="branch",
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        fill_value=FILL,
    )
    return joined.assign_coords(branch=labels)


def _along_step(chunk: xr.Dataset) -> dict[str, Any]:
    """Sigma, timestep and expert of every step, as variables that may differ between traces."""
    found = {name: chunk[name] for name in _STEP_COORDS if name in chunk.coords}
    return {
        name: ("step", value.values.astype(object if value.dtype.kind in "OUT" else value.dtype), value.attrs)
        for name, value in found.items()
    }


def _sketches(paths: Mapping[str, xr.DataArray]) -> dict[tuple[str, int], npt.NDArray[np.float32]]:
    return {
        (name, int(step)): sketch(path.sel(step=step).values)
        for name, path in paths.items()
        for step in path["step"].values
    }

"""Decoded videos as pictures that are small enough to keep, and as GIF or MP4, one for each step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens.figures import FilmFormat, write_film
from dit_lens.probing import BadParams
from dit_lens.video_frames import last_video_frames

__all__ = ["film_of", "kept_frames", "write_films"]

Video = npt.NDArray[np.uint8]
_UNSAFE = re.compile(r"[^\w.-]+")
"""In a file name: a trace of several stores is called STORE/ID, and what is in a result may come from anywhere."""


def kept_frames(latent_frames: int, video_frames: int, which: Literal["latent", "all"]) -> npt.NDArray[np.int64]:
    """Numbers of the video frames that are kept.

    Examples
    --------
    >>> kept_frames(5, 17, "latent"), len(kept_frames(5, 17, "all"))
    (array([ 0,  4,  8, 12, 16]), 17)
    """
    if which == "all":
        return np.arange(video_frames)
    return last_video_frames(np.arange(latent_frames), latent_frames, video_frames)


def write_films(
    result: xr.Dataset,
    folder: str | Path,
    trace: str | None = None,
    branch: str | None = None,
    formats: Sequence[FilmFormat] = ("gif",),
    rate: float = 8.0,
    enlarge: int = 1,
) -> list[Path]:
    """Write the pictures of each step as one film, ``TRACE-BRANCH-step-NN.gif``.

    A probe that ran with ``frames=latent`` has one picture for each latent frame, one with ``frames=all`` every one.

    Parameters
    ----------
    result : xarray.Dataset
        Of the trajectory probe.
    folder : str or pathlib.Path
        Made if it is not there.
    trace, branch : str, optional
        Which one; the first by default.
    formats : sequence of {"gif", "mp4"}
    rate : float
        Pictures a second.
    enlarge : int
        How many pixels along each side a pixel becomes.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    BadParams
        If the result has no pictures, or no such trace, branch or format.
    """
    film = film_of(result, trace, branch)
    if unknown := [name for name in formats if name not in ("gif", "mp4")]:
        raise BadParams(f"films have no such format; got {unknown[0]!r}, allowed gif, mp4; choose one of them")
    Path(folder).mkdir(parents=True, exist_ok=True)
    stem = _UNSAFE.sub("-", f"{film['trace'].item()}-{film['branch'].item()}")
    return [
        write_film(film.sel(step=step).values, Path(folder) / f"{stem}-step-{step:02d}.{name}", rate, enlarge)
        for step in film["step"].values.tolist()
        for name in formats
    ]


def film_of(result: xr.Dataset, trace: str | None, branch: str | None) -> xr.DataArray:
    """The pictures of one trace and branch, at the steps that it holds.

    Raises
    ------
    BadParams
        If the result has no pictures, or no such trace or branch.
    """
    if "film" not in result:
        raise BadParams("the result has no pictures; got decode=false, allowed decode=true; run the probe again")
    film = result["film"]
    for dim, wanted in (("trace", trace), ("branch", branch)):
        held = film[dim].values.tolist()
        if wanted is not None and wanted not in held:
            raise BadParams(f"the result has no such {dim}; got {wanted!r}, allowed {', '.join(held)}; choose one")
        film = film.sel({dim: held[0] if wanted is None else wanted})
    held_by_trace = result["distance_whole"].sel(trace=film["trace"], branch=film["branch"]).notnull()
    return film.isel(step=held_by_trace.values).transpose("step", "video_frame", "video_y", "video_x", "rgb")

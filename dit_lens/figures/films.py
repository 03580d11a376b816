"""Moving pictures: a GIF or MP4 of uint8 frames, small ones enlarged so that a pixel can be seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from dit_lens.figures.errors import BadFigure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["FILM_FORMATS", "RATE", "FilmFormat", "enlargement", "film_places", "is_film", "write_film"]

FilmFormat = Literal["gif", "mp4"]
FILM_FORMATS: tuple[FilmFormat, ...] = ("gif", "mp4")
RATE = 8.0
"""Pictures a second."""
_SIDE = 256

Video = npt.NDArray[np.uint8]


def write_film(video: Video, path: Path, rate: float = RATE, enlarge: int = 1) -> Path:
    """Write one film; the ending of the path says as what.

    Parameters
    ----------
    video : numpy.ndarray of uint8, shape (frames, height, width, 3)
    path : pathlib.Path
        Ending in ``.gif`` or ``.mp4``.
    rate : float
        Pictures a second.
    enlarge : int
        How many pixels along each side a pixel becomes.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    BadFigure
        If the path ends otherwise.

    Examples
    --------
    >>> path = write_film(np.zeros((2, 8, 8, 3), np.uint8), getfixture("tmp_path") / "a.gif")
    >>> path.read_bytes()[:6]
    b'GIF89a'
    """
    large = np.asarray(video).repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    if path.suffix == ".gif":
        _write_gif(large, path, rate)
    elif path.suffix == ".mp4":
        _write_mp4(large, path, rate)
    else:
        raise BadFigure(f"films have no such format; got {path.suffix!r}, allowed .gif, .mp4; choose one of them")
    return path


def enlargement(side: int) -> int:
    """How often a pixel is repeated so that a picture is about 256 pixels wide.

    Examples
    --------
    >>> enlargement(64), enlargement(480)
    (4, 1)
    """
    return max(1, _SIDE // side)


def film_places(films: xr.DataArray, folder: Path, ending: str) -> list[Path]:
    """A file for each film, by its label if that is a number of its own, by its place otherwise.

    Labels of a stranger's films may be words or halves; they are kept in the data beside the films.

    Examples
    --------
    >>> import xarray as xr
    >>> films = xr.DataArray(np.zeros((2, 1, 8, 8, 3), np.uint8), dims=("step", "frame", "y", "x", "rgb"))
    >>> [place.name for place in film_places(films.assign_coords(step=[0, 4]), Path(), "gif")]
    ['step-00.gif', 'step-04.gif']
    >>> [place.name for place in film_places(films.assign_coords(step=[0.1, 0.2]), Path(), "gif")]
    ['step-00.gif', 'step-01.gif']
    """
    over = str(films.dims[0])
    labels = films[over].values
    counted = labels.dtype.kind in "iu" and len(set(labels.tolist())) == len(labels) and labels.min() >= 0
    numbers = labels.tolist() if counted else range(len(labels))
    return [folder / f"{over}-{number:02d}.{ending}" for number in numbers]


def is_film(name: str) -> bool:
    """Whether that is the name of a film in a folder, and no path that leads out of it.

    Examples
    --------
    >>> is_film("step-00.gif"), is_film("films.csv"), is_film("../step-00.gif")
    (True, False, False)
    """
    return "/" not in name and "\\" not in name and name.rpartition(".")[2] in FILM_FORMATS


def _write_gif(video: Video, path: Path, rate: float) -> None:
    from PIL import Image

    first, *others = [Image.fromarray(frame) for frame in video]
    first.save(path, save_all=True, append_images=others, duration=round(1000 / rate), loop=0)


def _write_mp4(video: Video, path: Path, rate: float) -> None:
    import imageio

    imageio.mimwrite(path, list(video), fps=rate, macro_block_size=2)

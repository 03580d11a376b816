"""Moving pictures: a GIF or MP4 of uint8 frames, small ones enlarged so that a pixel can be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from dit_lens.figures.errors import BadFigure

__all__ = ["FILM_FORMATS", "RATE", "FilmFormat", "enlargement", "write_film"]

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


def _write_gif(video: Video, path: Path, rate: float) -> None:
    from PIL import Image

    first, *others = [Image.fromarray(frame) for frame in video]
    first.save(path, save_all=True, append_images=others, duration=round(1000 / rate), loop=0)


def _write_mp4(video: Video, path: Path, rate: float) -> None:
    import imageio

    imageio.mimwrite(path, list(video), fps=rate, macro_block_size=2)

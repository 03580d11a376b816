"""Pictures that are in the page itself: frames of a video side by side, and regions of a grid."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from dit_lens_stores.html import Html, element

__all__ = ["grid_picture", "video_picture"]

_FRAMES = 6
_HEIGHT = 96
_CELL = 6


def video_picture(video: npt.NDArray[np.uint8]) -> Html:
    """A few frames of a video, evenly chosen, the first and the last among them.

    Parameters
    ----------
    video : numpy.ndarray of uint8, shape (frames, height, width, 3)

    Returns
    -------
    Html

    Examples
    --------
    >>> video_picture(np.zeros((17, 64, 64, 3), np.uint8))[-46:]
    'alt="frames 0, 3, 6, 10, 13, 16 of the video">'
    """
    count = len(video)
    chosen = sorted({round(at) for at in np.linspace(0, count - 1, min(_FRAMES, count))})
    height, width = video.shape[1:3]
    size = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
    frames = [np.asarray(Image.fromarray(video[at]).resize(size, Image.Resampling.BOX)) for at in chosen]
    return _picture(np.concatenate(frames, axis=1), f"frames {', '.join(map(str, chosen))} of the video")


def grid_picture(region: npt.NDArray[np.bool_]) -> Html:
    """Where an edit acts: a square for each frame, its places light and those that are changed dark.

    Parameters
    ----------
    region : numpy.ndarray of bool, shape (frames, rows, columns)

    Returns
    -------
    Html

    Examples
    --------
    >>> grid_picture(np.ones((1, 2, 2), bool))[-44:]
    'alt="4 of 4 places in 1 frames are changed">'
    """
    gap = np.ones((region.shape[1], 1), bool)
    columns = [part for frame in region for part in (frame, gap)][:-1]
    kinds = np.concatenate([np.where(part, 60, 215).astype(np.uint8) for part in columns], axis=1)
    kinds[:, region.shape[2] :: region.shape[2] + 1] = 255
    grey = np.repeat(np.repeat(kinds, _CELL, axis=0), _CELL, axis=1)
    return _picture(grey, f"{int(region.sum())} of {region.size} places in {len(region)} frames are changed")


def _picture(pixels: npt.NDArray[np.uint8], what: str) -> Html:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return element("img", src=f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}", alt=what)

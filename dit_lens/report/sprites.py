"""Many small pictures as one: a sheet of tiles of one size, which a page cuts up again."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dit_lens.report.quantise import Blobs
from dit_lens.video_frames import smaller

__all__ = ["as_images", "notes_on_size"]

_LOSSLESS_BYTES = 1_000_000  # a sheet that takes more is written again with losses
_QUALITY = 85
_LEAST = 32
_SIDE = 16_000  # pixels along a side that WebP can have, about
Picture = npt.NDArray[np.uint8]


def as_images(
    pictures: Sequence[Picture], blobs: Blobs, side: int, most: float = float("inf")
) -> tuple[dict[str, Any], bool]:
    """Write pictures of one size to one sheet.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray of uint8, shape (height, width, 3)
    blobs : Blobs
        Gets the sheet.
    side : int
        Pixels along the longer side of a tile; larger pictures are made smaller.
    most : float
        Bytes that the sheet may take; tiles are made smaller still until it does, or they are very small.

    Returns
    -------
    tuple of dict and bool
        How the page finds them, and whether no pixel of a tile was changed.

    Examples
    --------
    >>> images, exact = as_images([np.zeros((4, 8, 3), np.uint8)] * 5, Blobs(), 96)
    >>> images["columns"], images["count"], exact
    (2, 5, True)
    """
    whole = np.stack(pictures)
    images, data, exact = _sheet(smaller(whole, side))
    while len(data) > most and side > _LEAST:
        side //= 2
        images, data, exact = _sheet(smaller(whole, side))
    return {"blob": blobs.add(data), **images}, exact


def notes_on_size(sizes: Mapping[str, tuple[Picture, Mapping[str, Any]]]) -> list[str]:
    """Say which pictures are shown smaller than they are.

    Parameters
    ----------
    sizes : mapping
        By what is shown: one of its pictures, and its sheet.

    Returns
    -------
    list of str

    Examples
    --------
    >>> notes_on_size({"Frames of a": (np.zeros((480, 832, 3), np.uint8), {"width": 256, "height": 148})})
    ['Frames of a are shown at 256 x 148 of 832 x 480 pixels.']
    """
    found: dict[str, list[str]] = {}
    for name, (picture, images) in sizes.items():
        height, width = picture.shape[:2]
        if images["width"] < width:
            words = f"{images['width']} x {images['height']} of {width} x {height} pixels"
            found.setdefault(words, []).append(name)
    return [f"{'; '.join(names)} are shown at {words}." for words, names in found.items()]


def _sheet(pictures: Picture) -> tuple[dict[str, Any], bytes, bool]:
    """Where the tiles are, and the file."""
    from PIL import Image

    height, width = pictures.shape[1:3]
    columns = min(max(1, round(math.sqrt(len(pictures) * height / width))), _SIDE // width)
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), dtype=np.uint8)
    for at, picture in enumerate(pictures):
        row, column = divmod(at, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    data, exact = _written(Image.fromarray(sheet))
    images = {"mime": "image/webp", "width": width, "height": height, "columns": columns, "count": len(pictures)}
    return images, data, exact


def _written(sheet: Any) -> tuple[bytes, bool]:
    file = io.BytesIO()
    sheet.save(file, "WEBP", lossless=True, method=4)
    if file.tell() <= _LOSSLESS_BYTES:
        return file.getvalue(), True
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=_QUALITY, method=4)
    return file.getvalue(), False

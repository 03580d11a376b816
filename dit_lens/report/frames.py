"""The frames that maps lie on: one picture for each latent frame, with the labels of the frames and what they are.

A capture may hold some latent frames only, so a picture is found by the label of its frame, never by its place. What
was decoded from a step in the middle of a run is no final video, so the page says what it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Frames", "Pictures"]

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Frames:
    """Pictures of latent frames.

    Attributes
    ----------
    pictures : numpy.ndarray of uint8, shape (frame, height, width, 3)
    labels : list of int
        The latent frame of each.
    words : str
        What they are, such as ``final video``.

    Examples
    --------
    >>> frames = Frames(np.zeros((2, 4, 8, 3), np.uint8), [1, 3], "final video")
    >>> frames.labels.index(3)
    1
    """

    pictures: Pictures
    labels: list[Any]
    words: str

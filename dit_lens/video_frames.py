"""Frames of a decoded video: which of them stand for which latent frames, and how they are made smaller."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["last_video_frames", "smaller"]


def last_video_frames(frames: npt.NDArray[np.int64], latent_frames: int, video_frames: int) -> npt.NDArray[np.int64]:
    """The last video frame that each latent frame decodes to.

    A causal video autoencoder decodes latent frame 0 to one video frame and every other to the same number of frames.

    Parameters
    ----------
    frames : numpy.ndarray of int
        Latent frame numbers.
    latent_frames, video_frames : int
        How many there are in all.

    Returns
    -------
    numpy.ndarray of int

    Examples
    --------
    >>> last_video_frames(np.arange(5), latent_frames=5, video_frames=17)
    array([ 0,  4,  8, 12, 16])
    """
    stride = (video_frames - 1) // max(latent_frames - 1, 1)
    return frames * stride


def smaller(video: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Frames whose longer side has at most ``side`` pixels: each the mean of those that it covers.

    Examples
    --------
    >>> smaller(np.zeros((2, 64, 128, 3), np.uint8), 32).shape
    (2, 16, 32, 3)
    """
    from PIL import Image

    height, width = video.shape[1:3]
    if max(height, width) <= side:
        return video
    size = tuple(max(1, round(length * side / max(height, width))) for length in (width, height))
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in video])

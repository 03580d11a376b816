"""Which frames of a decoded video stand for which latent frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["last_video_frames"]


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

"""Where a clip changes after its first frame, which alone is given: what a model has to make, and what is small.

A ball that moves takes a fiftieth of the picture, so an error there is a fiftieth of the loss unless it weighs more.

Shapes: B batch, Z latent channels, f latent frames, h, w latent height and width.
"""

from __future__ import annotations

import torch

__all__ = ["changing"]

_CHANGING = 0.5  # standard deviations of a latent, the mean over its channels, between its frames


def changing(clip_BZfhw: torch.Tensor, weight: float) -> torch.Tensor:
    """``weight`` at places whose latent changes after the first frame, 1 at the others, of shape (B, 1, f, h, w).

    Parameters
    ----------
    clip_BZfhw : torch.Tensor
        Latents of clean clips, in standard deviations.
    weight : float

    Returns
    -------
    torch.Tensor
    """
    after_BZfhw = clip_BZfhw[:, :, min(1, clip_BZfhw.shape[2] - 1) :]  # of one frame itself, which does not change
    moved_B1hw = (after_BZfhw.amax(2) - after_BZfhw.amin(2)).mean(1, keepdim=True) > _CHANGING
    return 1 + (weight - 1) * moved_B1hw[:, :, None].expand(-1, -1, clip_BZfhw.shape[2], -1, -1).float()

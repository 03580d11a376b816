"""What an edit does to the values of one address: an operation on what is there and what its sources give.

Sums are made in float32 (or better), and rounded once. What lies outside the region is what was there, bit for bit.

Shapes: F frames, N tokens of a frame, C channels; H, W latent height and width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import torch

from dit_lens.edits.edit import Op
from dit_lens.edits.sources import Noise

__all__ = ["operate", "region_of"]


def operate(
    op: Op,
    current: torch.Tensor,
    given: Iterator[torch.Tensor],
    region: torch.Tensor | None,
    noise: Noise | None = None,
) -> torch.Tensor:
    """What shall be in the place of ``current``.

    Parameters
    ----------
    op : str
    current : torch.Tensor
    given : iterator of torch.Tensor
        What the sources give, one after the other, so that one is held at a time.
    region : torch.Tensor of bool or None
        What is changed, broadcasting to ``current``; everything if None.
    noise : Noise, optional
        The source of the op ``noise``.

    Returns
    -------
    torch.Tensor
        Of the shape and dtype of ``current``, which is left as it was.

    Examples
    --------
    >>> operate("add", torch.ones(3), iter([torch.tensor(2.0)]), torch.tensor([True, False, True]))
    tensor([3., 1., 3.])
    >>> operate("mean", torch.ones(2), iter([torch.zeros(2), torch.ones(2)]), None)
    tensor([0.5000, 0.5000])
    """
    wide = torch.promote_types(current.dtype, torch.float32)
    if op == "zero":
        new = torch.zeros_like(current)
    elif op == "scale":
        new = current * float(next(given))
    elif op == "mean":
        new = _mean(given, wide)
    elif op == "add":
        new = current.to(wide) + next(given).to(current.device, wide)
    elif op == "noise" and noise is not None:
        new = current.to(wide) + noise.scale * _rms(current.to(wide), region) * next(given).to(current.device, wide)
    else:
        new = next(given)
    new = new.to(current.device, current.dtype).expand(current.shape)
    return new if region is None else torch.where(region.to(current.device), new, current)


def region_of(region: npt.NDArray[Any], in_layers: bool) -> torch.Tensor | None:
    """A region as it broadcasts to (F, N, C) or (C, F, H, W); None if it is everything."""
    if region.all():
        return None
    places = torch.from_numpy(region.copy())
    return places.flatten(1)[..., None] if in_layers else places[None]


def _mean(given: Iterator[torch.Tensor], wide: torch.dtype) -> torch.Tensor:
    total, count = next(given).to(wide), 1
    for values in given:
        total, count = total + values.to(wide), count + 1
    return total if count == 1 else total / count


def _rms(values: torch.Tensor, region: torch.Tensor | None) -> torch.Tensor:
    """Root mean square of what is in the region."""
    chosen = values if region is None else values[region.to(values.device).expand(values.shape)]
    return chosen.square().mean().sqrt()

"""The tensor that counts in what a module returns, taken out and put back, and the tokens of it by frames.

Shapes: B rows of the batch, F frames, N tokens of a frame, C channels.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from einops import EinopsError

from dit_lens.adapters.family import Stack
from dit_lens.engine.clock import Clock
from dit_lens.engine.errors import UnexpectedVisit
from dit_lens.engine.layout import Layout

__all__ = ["first_of", "frames_of", "with_first"]


def first_of(output: Any) -> torch.Tensor:
    """The first item of a tuple or model output, or the tensor itself."""
    values: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return values


def with_first(output: Any, values: torch.Tensor) -> Any:
    """What a module returned with another first item: the inverse of ``first_of``.

    Examples
    --------
    >>> with_first((1, "text"), 2)
    (2, 'text')
    >>> from diffusers.models.modeling_outputs import Transformer2DModelOutput
    >>> with_first(Transformer2DModelOutput(sample=1), 2).sample
    2
    """
    if isinstance(output, torch.Tensor):
        return values
    if isinstance(output, (tuple, list)):
        return type(output)((values, *output[1:]))
    return type(output)(**{**output, next(iter(output)): values})


def frames_of(values: torch.Tensor, kind: Stack, number: int, site: str, layout: Layout, clock: Clock) -> torch.Tensor:
    """The tokens of a layer as (B, F, N, C).

    Raises
    ------
    UnexpectedVisit
        If they do not fill the planned grid.
    """
    try:
        return kind.frames(values, layout.tokens)
    except EinopsError:
        address = clock.address(None, number, site)
        raise UnexpectedVisit(
            f"the run came with another shape than planned to {address}; got {tuple(values.shape)}, allowed "
            f"{len(clock.rows)} rows of {prod(layout.tokens)} tokens and {layout.channels} channels; correct the "
            f"adapter's grid, or the fold and text of its stack",
            (address,),
        ) from None

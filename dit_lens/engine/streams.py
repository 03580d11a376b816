"""The tensor that counts in what a module returns, taken out and put back, and the tokens of it by frames.

Shapes: B rows of the batch, F frames, N tokens of a frame, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeVar

import torch
from einops import EinopsError

from dit_lens.adapters.family import Stack
from dit_lens.engine.clock import Clock
from dit_lens.engine.errors import UnexpectedVisit
from dit_lens.engine.layout import Layout

__all__ = ["first_of", "frames_of", "rows_of", "with_first"]

_Tokens = TypeVar("_Tokens")


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
    return _on_grid(kind.frames, values, number, site, layout, clock)


def rows_of(
    values: torch.Tensor, kind: Stack, number: int, site: str, layout: Layout, clock: Clock
) -> Sequence[torch.Tensor]:
    """The tokens of a layer as (F, N, C), row by row of the batch.

    Raises
    ------
    UnexpectedVisit
        If they do not fill the planned grid.
    """
    return _on_grid(kind.rows, values, number, site, layout, clock)


def _on_grid(
    read: Callable[[torch.Tensor, tuple[int, int, int]], _Tokens],
    values: torch.Tensor,
    number: int,
    site: str,
    layout: Layout,
    clock: Clock,
) -> _Tokens:
    try:
        return read(values, layout.tokens)
    except EinopsError:
        address = clock.address(None, number, site)
        raise UnexpectedVisit(
            f"the run came with another shape than planned to {address}; got {tuple(values.shape)}, allowed "
            f"{len(clock.rows)} rows of {prod(layout.tokens)} tokens and {layout.channels} channels; correct the "
            f"adapter's grid, or the fold and text of its stack",
            (address,),
        ) from None

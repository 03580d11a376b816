"""What must come to an address, what it fills, and whether it came.

Everything that is known of an event before it comes is worked out once, beforehand: between two layers of a small model
each line of Python costs several times what it costs in a loop, because the layer has emptied the processor's caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from dit_lens.address import Address
from dit_lens.engine.errors import UnexpectedVisit
from dit_lens.engine.reductions import Reducer
from dit_lens.selection import Term

__all__ = ["Call", "Expected", "Place", "Sink", "check_shape"]

Place = tuple[int | None, str]
"""Layer and site."""
Call = tuple[str, str | None, int]
"""Expert, branch and step."""


@dataclass(frozen=True, slots=True)
class Sink:
    """One array that is filled, and the dtypes in which it came."""

    array: str
    reducer: Reducer
    encoding: str
    dtypes: set[torch.dtype] = field(default_factory=set)


@dataclass(slots=True)
class Expected:
    """An address that must come; that of a step itself fills nothing.

    Attributes
    ----------
    address : Address
    shape : tuple of int
        Of what comes.
    kept : bool
        Whether an earlier run left what it fills, so that the visit is only counted.
    fills : list of (Sink, dict)
        What it fills: of each array the event's labels.
    seen : bool
        Whether it came.

    Examples
    --------
    >>> expected = Expected(Address("transformer", None, 0, None, "latent"), (2, 4))
    >>> expected.visit()
    >>> expected.visit()
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.UnexpectedVisit: ...; got transformer/step 0/latent again, allowed once; ...
    """

    address: Address
    shape: tuple[int, ...] = ()
    kept: bool = False
    fills: list[tuple[Sink, dict[str, Term]]] = field(default_factory=list)
    seen: bool = False

    def visit(self) -> None:
        """Note that it came.

        Raises
        ------
        UnexpectedVisit
            If it came before.
        """
        if self.seen:
            raise UnexpectedVisit(
                f"the run came to an address twice; got {self.address} again, allowed once; "
                "trace a pipeline that calls every layer once a branch and step",
                (self.address,),
            )
        self.seen = True


def check_shape(
    address: Address, tensor: torch.Tensor, planned: Sequence[int], wrong: str = "grid, width or latent shape"
) -> None:
    """Refuse a tensor of another shape: reshaped or selected from, it would be recorded under wrong labels.

    Raises
    ------
    UnexpectedVisit
        Naming both shapes.

    Examples
    --------
    >>> check_shape(Address("transformer", None, 0, None, "latent"), torch.zeros(2, 3), (2, 4))
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.UnexpectedVisit: ...transformer/step 0/latent; got (2, 3), allowed (2, 4); ...
    """
    if tensor.shape != planned:
        raise UnexpectedVisit(
            f"the run came with another shape than planned to {address}; got {tuple(tensor.shape)}, allowed {planned}; "
            f"correct the adapter's {wrong}",
            (address,),
        )

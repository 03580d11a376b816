"""The same-norm control: noise in the place of what the donor brings, token by token as large.

A swap moves every token from what it was to what the donor's is. This control moves it as far, in a random direction:
what it does, any damage of that size does, whatever the donor knew.

Shapes: F frames, N tokens of a frame, C channels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dit_lens_stores import open_store

if TYPE_CHECKING:
    from dit_lens import Address

__all__ = ["SameNorm"]


@dataclass(frozen=True)
class SameNorm:
    """The function of an edit; it reads both runs at the address that it is called for.

    Attributes
    ----------
    store : pathlib.Path
    own, donor : str
        Traces with ``block.out``.
    seed : int
    """

    store: Path = field(repr=False)
    own: str
    donor: str
    seed: int

    def __call__(self, address: Address, tensor: torch.Tensor) -> torch.Tensor:
        """What the run had there, moved at random as far as the donor's lies away."""
        own_FNC, donor_FNC = (self._event(trace, address) for trace in (self.own, self.donor))
        far_FN1 = (donor_FNC - own_FNC).norm(dim=-1, keepdim=True)
        drawn_FNC = torch.randn(own_FNC.shape, generator=self._generator(address), dtype=own_FNC.dtype)
        moved_FNC = own_FNC + far_FN1 * drawn_FNC / drawn_FNC.norm(dim=-1, keepdim=True)
        given: torch.Tensor = moved_FNC.to(tensor.device, tensor.dtype)
        return given

    @cached_property
    def _traces(self) -> dict[str, Any]:
        store = open_store(self.store)
        return {name: store[name]["block.out.raw"] for name in (self.own, self.donor)}

    def _event(self, trace: str, address: Address) -> torch.Tensor:
        at = {"branch": address.branch, "step": address.step, "layer": address.layer}
        return torch.from_numpy(self._traces[trace].sel(at).values).to(torch.float32)

    def _generator(self, address: Address) -> torch.Generator:
        words = f"{self.seed}/{address.branch}/{address.step}/{address.layer}"
        seed = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1
        return torch.Generator("cpu").manual_seed(seed)

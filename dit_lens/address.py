"""An address names one recorded event: which expert, which branch, which step, which layer, which site.

Positions inside the event (frame, token, and from the token y and x) are axes of the array, not part of the address.
An address is ordered and prints as a path, so that an error can name it and a reader can find it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Address"]


@dataclass(frozen=True)
class Address:
    """Where one event happened.

    Attributes
    ----------
    expert : str
        The denoiser that ran: ``transformer`` or ``transformer_2``.
    branch : str or None
        ``cond``, ``uncond``, ...; None for what the branches share.
    step : int
        Denoising step, from 0.
    layer : int or None
        Transformer layer, from 0; None for sites outside the layers.
    site : str
        Name of the site, see ``dit_lens.captures.SITES``.

    Examples
    --------
    >>> print(Address("transformer", "cond", 3, 7, "block.out"))
    transformer/cond/step 3/layer 7/block.out
    >>> print(Address("transformer_2", None, 12, None, "latent"))
    transformer_2/step 12/latent
    >>> Address("transformer", "cond", 3, 7, "block.out") < Address("transformer", "cond", 10, None, "latent")
    True
    """

    expert: str
    branch: str | None
    step: int
    layer: int | None
    site: str

    def __str__(self) -> str:
        layer = None if self.layer is None else f"layer {self.layer}"
        parts = (self.expert, self.branch, f"step {self.step}", layer, self.site)
        return "/".join(part for part in parts if part is not None)

    def __lt__(self, other: Address) -> bool:
        """Order of the run: by step, then branch, layer and site; an absent branch or layer comes first."""
        return self._order() < other._order()

    def _order(self) -> tuple[int, str, int, str, str]:
        layer = -1 if self.layer is None else self.layer
        return self.step, self.branch or "", layer, self.site, self.expert

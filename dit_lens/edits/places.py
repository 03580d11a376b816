"""Where an edit may act: a table beside that of the sites, with the level at which each place lies.

The levels are different experiments. A **state** edit changes the latents that the solver carries from step to step; a
**view** edit only what the denoiser sees at its input, while the solver goes on with its own; a **site** edit changes
what flows inside the denoiser, or comes out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dit_lens.selection import AXES
from dit_lens.sites import SITES

__all__ = ["PLACES", "Level", "Place"]

Level = Literal["state", "view", "site"]


@dataclass(frozen=True)
class Place:
    """A place that can be edited.

    Attributes
    ----------
    name : str
    level : {"state", "view", "site"}
    site : str
        The site whose values are there, and which a stored trace gives by default.
    event_dims : tuple of str
        Dimensions that one address fixes.
    meaning : str

    Examples
    --------
    >>> PLACES["block.out"].axes
    ('step', 'layer', 'branch', 'expert', 'frame', 'token', 'y', 'x')
    >>> PLACES["state"].axes
    ('step', 'expert', 'frame', 'y', 'x')
    """

    name: str
    level: Level
    site: str
    event_dims: tuple[str, ...]
    meaning: str

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that a selection may restrict; ``y`` and ``x`` are rows and columns of tokens, or of the latent."""
        there = {*self.event_dims, *SITES[self.site].value_dims, "expert", "y", "x"}
        return tuple(axis for axis in AXES if axis in there)

    @property
    def in_layers(self) -> bool:
        """Whether its values are tokens of a layer, not latents."""
        return "layer" in self.event_dims


def _site(name: str) -> Place:
    return Place(name, "site", name, SITES[name].event_dims, SITES[name].meaning)


_TABLE = (
    Place("state", "state", "latent", ("step",), "the latents that a step starts from, as the solver carries them"),
    Place("view", "view", "latent", ("branch", "step"), "the latents as one call of the denoiser sees them"),
    *(_site(name) for name in ("block.out", "attn1.out", "attn2.out", "ffn.out", "velocity", "velocity.guided")),
)

PLACES: Mapping[str, Place] = MappingProxyType({place.name: place for place in _TABLE})
"""Every place that can be edited, by its name."""

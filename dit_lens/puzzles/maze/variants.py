"""The distributions that mazes and forks are drawn from: what each is called, its sizes, its routes and its prompt.

What the shipped model was trained on is in-domain. A route longer than any of the trained ones, or a maze that fills
the canvas, is out-of-domain: there one pass through the layers may not be enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dit_lens.puzzles.contract import Split

__all__ = ["LONGEST_TRAINED_ROUTE", "VARIANTS", "Kind", "Variant", "variants_of"]

LONGEST_TRAINED_ROUTE = 20
"""Cells of the longest route of an in-domain puzzle, start and goal included."""

Kind = Literal["maze", "fork"]

_SIZES = (3, 4, 5, 6, 7)
_SIZE_SHARES = (0.10, 0.16, 0.26, 0.24, 0.24)


@dataclass(frozen=True)
class Variant:
    """One distribution.

    Attributes
    ----------
    split : {"in-domain", "out-of-domain"}
    sizes : tuple of int
        Cells along a side.
    shares : tuple of float or None
        How often each size is drawn; None for equally often.
    routes : int
        Routes of equal length.
    shortest, longest : int or None
        Bounds on the cells of a route; None for the size, and for no bound.
    chosen_by : {"chance", "prompt", "cue"}
        What says which route is right; under chance all are, and the clip takes one at random.
    """

    split: Split
    sizes: tuple[int, ...]
    shares: tuple[float, ...] | None = None
    routes: int = 1
    shortest: int | None = None
    longest: int | None = None
    chosen_by: Literal["chance", "prompt", "cue"] = "chance"


VARIANTS: dict[tuple[Kind, str], Variant] = {
    ("maze", "plain"): Variant("in-domain", _SIZES, _SIZE_SHARES, longest=LONGEST_TRAINED_ROUTE),
    ("maze", "large"): Variant("out-of-domain", (8,)),
    ("maze", "long"): Variant("out-of-domain", (6, 7), shortest=LONGEST_TRAINED_ROUTE + 1),
    ("fork", "free"): Variant("in-domain", _SIZES, _SIZE_SHARES, 2, longest=LONGEST_TRAINED_ROUTE),
    ("fork", "three"): Variant("in-domain", (5, 6, 7), None, 3, longest=LONGEST_TRAINED_ROUTE),
    ("fork", "prompt"): Variant("in-domain", _SIZES, None, 2, longest=LONGEST_TRAINED_ROUTE, chosen_by="prompt"),
    ("fork", "cue"): Variant("in-domain", _SIZES, None, 2, longest=LONGEST_TRAINED_ROUTE, chosen_by="cue"),
    ("fork", "large"): Variant("out-of-domain", (8,), None, 2),
}
"""By task and name; the first of each task is its default, and the order is part of every puzzle's random numbers."""


def variants_of(task: Kind) -> dict[str, Variant]:
    """The variants of one task, the default first.

    Examples
    --------
    >>> list(variants_of("maze"))
    ['plain', 'large', 'long']
    """
    return {name: variant for (kind, name), variant in VARIANTS.items() if kind == task}

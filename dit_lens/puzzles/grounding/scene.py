"""What stands on the floor of a grounding puzzle: which objects, and where.

Objects come as the corners of a rectangle in the table of colours and shapes: red circle, red square, blue circle,
blue square. So each object shares its colour with one and its shape with another, neither word alone names it, and
nothing but the prompt tells which one is meant. A scene of three leaves one corner out; a crowded scene adds others.

Four pairs of colour and shape, one for each shape, are held out of every scene that a model is trained on. Two of them
with the corners between them make the scenes in which only a held-out pair is asked for.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Literal

import numpy as np

from dit_lens.puzzles.canvas import CANVAS_CELLS, CELL_PIXELS

__all__ = [
    "HELD_OUT",
    "OBJECT_COLOURS",
    "PLACE_CELLS",
    "PLACE_PIXELS",
    "SHAPES",
    "SHIFT_PIXELS",
    "Pair",
    "Pairs",
    "Shape",
    "Thing",
    "choose_pairs",
    "choose_places",
    "shares_both",
]

Shape = Literal["circle", "square", "triangle", "cross"]
Pair = tuple[str, Shape]
Pairs = tuple[Pair, ...]

OBJECT_COLOURS = ("red", "green", "blue", "yellow", "purple")
SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle", "cross")
HELD_OUT: Pairs = (("green", "circle"), ("yellow", "square"), ("blue", "triangle"), ("purple", "cross"))
"""Pairs of colour and shape that no in-domain scene shows."""
PLACE_CELLS = 2
PLACE_PIXELS = PLACE_CELLS * CELL_PIXELS
SHIFT_PIXELS = CELL_PIXELS // 2

_PLAIN: Pairs = tuple(pair for pair in product(OBJECT_COLOURS, SHAPES) if pair not in HELD_OUT)
_SPARE = "red"  # the colour of which no pair is held out: it fits any shapes
_OTHERS_WEIGHT = 3  # rectangles without it are drawn three times as often; then all colours are equally frequent


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes
    ----------
    colour, shape : str
    place : tuple of int
        Pixel (y, x) of the upper left corner of its place of 16 x 16 pixels.
    """

    colour: str
    shape: Shape
    place: tuple[int, int]

    @property
    def pair(self) -> Pair:
        """Colour and shape."""
        return self.colour, self.shape

    @property
    def name(self) -> str:
        """What a prompt calls it.

        Examples
        --------
        >>> Thing("red", "circle", (0, 0)).name
        'red circle'
        """
        return f"{self.colour} {self.shape}"


def shares_both(pair: Pair, others: Pairs) -> bool:
    """Whether one of the others has its colour and one its shape, so that both words are needed to name it.

    Examples
    --------
    >>> shares_both(("red", "circle"), (("red", "circle"), ("red", "square"), ("blue", "circle")))
    True
    >>> shares_both(("red", "square"), (("red", "circle"), ("red", "square"), ("blue", "circle")))
    False
    """
    rest = [other for other in others if other != pair]
    return any(colour == pair[0] for colour, _ in rest) and any(shape == pair[1] for _, shape in rest)


def choose_pairs(rng: np.random.Generator, variant: str, count: int, without: Set[Pair] = frozenset()) -> Pairs:
    """Colours and shapes of ``count`` objects that all differ, in random order, none of them in ``without``.

    Whatever is chosen, another scene of the variant is left that shares no object with it.

    Examples
    --------
    >>> pairs = choose_pairs(np.random.default_rng(0), "plain", 4)
    >>> len(set(pairs)), set(pairs) & set(HELD_OUT), all(shares_both(pair, pairs) for pair in pairs)
    (4, set(), True)
    """
    rectangles = [corners for corners in _rectangles(variant) if not without & set(corners)]
    weights = np.array([1 if _SPARE in {c for c, _ in corners} else _OTHERS_WEIGHT for corners in rectangles])
    corners = rectangles[rng.choice(len(rectangles), p=weights / weights.sum())]
    more = [pair for pair in _PLAIN if pair not in corners and pair not in without]
    while True:
        pairs = [corners[i] for i in rng.permutation(len(corners))[:count]]
        pairs += [more[i] for i in rng.permutation(len(more))[: count - len(pairs)]]
        if any(not set(pairs) & set(other) for other in _rectangles(variant)):
            return tuple(pairs[i] for i in rng.permutation(count))


def choose_places(rng: np.random.Generator, variant: str, count: int) -> tuple[tuple[int, int], ...]:
    """Upper left pixels of ``count`` places that share no cell.

    Examples
    --------
    >>> len(choose_places(np.random.default_rng(0), "crowded", 6))
    6
    """
    shift = SHIFT_PIXELS if variant == "shifted" else 0
    starts = CANVAS_CELLS - PLACE_CELLS + (shift == 0)
    # One place rules out at most 9 starts, itself among them: 5 leave some of 49 open, 3 some of 36.
    open_starts = [divmod(int(i), starts) for i in rng.permutation(starts**2)]
    places: list[tuple[int, int]] = []
    while len(places) < count:
        row, col = open_starts[0]
        places.append((row * CELL_PIXELS + shift, col * CELL_PIXELS + shift))
        open_starts = [(r, c) for r, c in open_starts if max(abs(r - row), abs(c - col)) >= PLACE_CELLS]
    return tuple(places)


@cache
def _rectangles(variant: str) -> tuple[Pairs, ...]:
    """Two shapes in two colours: with two held-out pairs for the variant that asks for them, else with none."""
    held_out = 2 if variant == "pairs" else 0
    corners = (tuple(product(*two)) for two in product(combinations(OBJECT_COLOURS, 2), combinations(SHAPES, 2)))
    return tuple(pairs for pairs in corners if len(set(pairs) & set(HELD_OUT)) == held_out)

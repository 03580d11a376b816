"""What is painted where in one frame of a maze: borders, cells, routes, and how far the paint runs over everything.

A cell or a border on a route is painted when most of its middle is blue; off the route a quarter of it is already too
much. Paint that is everywhere is no route: once it covers most of the walls, of the passages that lie on no route, or
of the floor beside the maze, it counts for less, down to nothing for a picture that is all blue.

Shapes: H height, W width; R rows and C columns of cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from dit_lens.puzzles.canvas import CANVAS_CELLS, Classes, colour_index
from dit_lens.puzzles.maze.draw import INSIDE, MIDDLE
from dit_lens.puzzles.maze.pixels import PAINTED, STRAY, at, border_shares, cell_shares
from dit_lens.puzzles.maze.routes import Cell, Passage, Route, own_cells, passages_of, route_name

if TYPE_CHECKING:
    from dit_lens.puzzles.maze.puzzle import Maze

__all__ = ["Paint"]

_SPILT = 0.75  # share of what is not on a route that paint may cover and still be read in full
_CANVAS = frozenset(product(range(CANVAS_CELLS), repeat=2))
_FEW_SIDES = 6  # in a small maze one dead end more is not everywhere


@dataclass(frozen=True)
class Paint:
    """What is painted where in one frame.

    Attributes
    ----------
    maze : Maze
    classes_HW : ndarray of int
        The nearest colour of every pixel.
    """

    maze: Maze
    classes_HW: Classes

    @cached_property
    def touched(self) -> frozenset[Passage]:
        """Borders with any paint worth counting."""
        shares = border_shares(self.classes_HW == colour_index("blue"), slice(None))
        return frozenset(border for border, share in shares.items() if share >= STRAY)

    @cached_property
    def smeared(self) -> frozenset[Cell]:
        """Cells with any paint worth counting."""
        shares_RC = cell_shares(self.classes_HW == colour_index("blue"), INSIDE)
        return frozenset((row, col) for row, col in np.argwhere(shares_RC >= STRAY).tolist())

    @cached_property
    def filled(self) -> frozenset[Cell]:
        """Cells that are mostly paint, which a line through them is not."""
        shares_RC = cell_shares(self.classes_HW == colour_index("blue"), INSIDE)
        return frozenset((row, col) for row, col in np.argwhere(shares_RC > PAINTED).tolist())

    @cached_property
    def joined(self) -> frozenset[Passage]:
        """Borders that are painted, as the middles of both their cells are, or as start and goal need not be."""
        blue_HW = self.classes_HW == colour_index("blue")
        filled_RC = cell_shares(blue_HW, MIDDLE) > PAINTED
        for row, col in (self.maze.start, self.maze.goal):
            filled_RC[row, col] = True
        passed = [border for border, share in border_shares(blue_HW, MIDDLE).items() if share > PAINTED]
        return frozenset((a, b) for a, b in passed if at(filled_RC, a) and at(filled_RC, b))

    @cached_property
    def shares(self) -> list[float]:
        """By route, the share of its passages that are painted."""
        passages = [passages_of(route) for route in self.maze.routes]
        return [len(self.joined & each) / len(each) for each in passages]

    @cached_property
    def best(self) -> int:
        """The route that is painted most; of equals the one that was asked for."""
        return max(range(len(self.shares)), key=lambda i: (self.shares[i], self.maze.asked and i == self.maze.drawn))

    @cached_property
    def clear(self) -> float:
        """1 unless the paint runs over everything; then down to 0."""
        sides = self.maze.passages - frozenset().union(*map(passages_of, self.maze.routes))
        walls = self._borders - self.maze.passages
        beside = _CANVAS - frozenset(self._cells)
        spilt = max(
            len(self.touched & sides) / max(len(sides), _FEW_SIDES),
            len(self.touched & walls) / len(walls),
            len(self.filled & beside) / max(len(beside), 1),
        )
        return min(1.0, (1 - spilt) / (1 - _SPILT))

    @property
    def path(self) -> float:
        """How much of the best route is painted."""
        return self.clear * self.shares[self.best]

    @property
    def valid(self) -> float:
        """The share of the painted borders that are passages."""
        return self.clear * len(self.touched & self.maze.passages) / max(len(self.touched), 1)

    @property
    def single(self) -> float:
        """The share of the paint that lies on the best route."""
        route = self.maze.routes[self.best]
        borders = self.touched & self.maze.passages
        on = len(borders & passages_of(route)) + len(self.smeared & set(route))
        return self.clear * on / max(len(borders) + len(self.smeared), 1)

    @property
    def choice(self) -> float:
        """How far the route that was asked for is ahead of the other that is painted most, where they differ."""
        own = [self._own_share(*each) for each in zip(self.maze.routes, own_cells(self.maze.routes), strict=True)]
        asked = own.pop(self.maze.drawn)
        return max(0.0, 1 - max(own) / asked) if asked else 0.0

    @property
    def answer(self) -> str | None:
        """The one route that is painted from end to end."""
        whole = [route_name(i) for i, share in enumerate(self.shares) if share == 1]
        return whole[0] if len(whole) == 1 and self.clear == 1 else None

    @property
    def _cells(self) -> list[Cell]:
        rows, cols = (range(first, first + self.maze.size) for first in self.maze.origin)
        return list(product(rows, cols))

    @property
    def _borders(self) -> frozenset[Passage]:
        """All borders of the maze's cells, the outer ones too."""
        ways = ((-1, 0), (1, 0), (0, -1), (0, 1))
        beside = [((row, col), (row + down, col + right)) for row, col in self._cells for down, right in ways]
        return frozenset((min(pair), max(pair)) for pair in beside)

    def _own_share(self, route: Route, cells: Route) -> float:
        passages = {passage for passage in passages_of(route) if set(passage) & set(cells)}
        return len(self.joined & passages) / len(passages)

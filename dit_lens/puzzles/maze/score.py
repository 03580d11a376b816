"""Score a decoded video by rule: a painted path must join start and goal through passages, and spoil nothing.

Only pixels are read, from one frame, by default the last; every pixel is given its nearest colour. A cell or a border
on a route is painted when most of its middle is blue; off the route a quarter of it is already too much. The rule is
strict about routes, not about shades.

- ``path``: the largest share of a route's passages that are painted, from the middle of one cell to that of the next.
- ``valid``: the share of the painted borders that are passages.
- ``single``: the share of the paint that lies on the best route, where it does not cross a wall.
- ``walls``: one less the walls that are gone or new, as a share of those that were there.
- ``marks``: start and goal are in their places, and nowhere else.
- ``choice``: the route that was asked for is painted no less than any other.

Nothing is won where nothing is painted: then ``valid``, ``single`` and ``choice`` are 0.

Shapes: H height, W width, 3 colours; R rows and C columns of cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dit_lens.puzzles.canvas import PICTURE_PIXELS, Classes, Frame, classify, colour_index
from dit_lens.puzzles.contract import Score
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.maze.draw import INSIDE, MIDDLE, draw_frame
from dit_lens.puzzles.maze.pixels import border_shares, cell_shares
from dit_lens.puzzles.maze.routes import Cell, Passage, Route, own_cells, passages_of, route_name

if TYPE_CHECKING:
    from dit_lens.puzzles.maze.puzzle import Maze

__all__ = ["CHOICE_WEIGHTS", "WEIGHTS", "score_maze"]

WEIGHTS = {"path": 0.4, "single": 0.3, "valid": 0.2, "walls": 0.05, "marks": 0.05}
CHOICE_WEIGHTS = {**WEIGHTS, "choice": 1.0}
"""Where a route is asked for, taking it is half of the answer."""

_PAINTED = 0.5  # share of the middle from which a place on the route counts as painted, and a wall as there
_STRAY = 1 / 4  # share of a cell or border from which paint off the route counts: a line of 2 pixels is enough
_KEPT = 0.9  # share of the first frame's wall pixels that must still be wall, whatever each border shows


def score_maze(maze: Maze, video: Frame, frame: int = -1) -> Score:
    """Score one decoded video.

    Parameters
    ----------
    maze : Maze
    video : numpy.ndarray of uint8, shape (F, 64, 64, 3)
    frame : int
        Which frame of the video holds the answer.

    Returns
    -------
    Score
        ``solved`` if every dimension is 1; ``answer`` names the one route that is painted from end to end.

    Raises
    ------
    BadPuzzle
        If the frames have another size.

    Examples
    --------
    >>> from dit_lens.puzzles.maze import make_maze
    >>> maze = make_maze(seed=3)
    >>> score_maze(maze, maze.clip()).solved
    True
    >>> score_maze(maze, maze.clip()[:1]).overall  # a video in which nothing happens
    0.1
    """
    if video.shape[1:] != (PICTURE_PIXELS, PICTURE_PIXELS, 3):
        raise BadPuzzle(
            f"the video cannot be scored; got frames of {video.shape[1:]}, allowed "
            f"{(PICTURE_PIXELS, PICTURE_PIXELS, 3)} like the first frame; generate at the size of the picture"
        )
    classes_HW = classify(video[frame])
    paint = _Paint(maze, classes_HW)
    dimensions = {
        "path": paint.shares[paint.best],
        "single": paint.single,
        "valid": paint.valid,
        "walls": _walls(maze, classes_HW),
        "marks": _marks(maze, classes_HW),
    }
    if maze.asked:
        dimensions["choice"] = paint.choice
    solved = all(value == 1 for value in dimensions.values())
    return Score.of(dimensions, CHOICE_WEIGHTS, solved, paint.answer)


@dataclass(frozen=True)
class _Paint:
    """What is painted where in one frame."""

    maze: Maze
    classes_HW: Classes

    @cached_property
    def touched(self) -> frozenset[Passage]:
        """Borders with any paint worth counting."""
        shares = border_shares(self.classes_HW == colour_index("blue"), slice(None))
        return frozenset(border for border, share in shares.items() if share >= _STRAY)

    @cached_property
    def smeared(self) -> frozenset[Cell]:
        """Cells with any paint worth counting."""
        shares_RC = cell_shares(self.classes_HW == colour_index("blue"), INSIDE)
        return frozenset((row, col) for row, col in np.argwhere(shares_RC >= _STRAY).tolist())

    @cached_property
    def joined(self) -> frozenset[Passage]:
        """Borders that are painted, as the middles of both their cells are, or as start and goal need not be."""
        blue_HW = self.classes_HW == colour_index("blue")
        filled_RC = cell_shares(blue_HW, MIDDLE) > _PAINTED
        for row, col in (self.maze.start, self.maze.goal):
            filled_RC[row, col] = True
        passed = [border for border, share in border_shares(blue_HW, MIDDLE).items() if share > _PAINTED]
        return frozenset((a, b) for a, b in passed if _at(filled_RC, a) and _at(filled_RC, b))

    @cached_property
    def shares(self) -> list[float]:
        """By route, the share of its passages that are painted."""
        passages = [passages_of(route) for route in self.maze.routes]
        return [len(self.joined & each) / len(each) for each in passages]

    @cached_property
    def best(self) -> int:
        """The route that is painted most; of equals the one that was asked for."""
        return max(range(len(self.shares)), key=lambda i: (self.shares[i], self.maze.asked and i == self.maze.drawn))

    @property
    def valid(self) -> float:
        return len(self.touched & self.maze.passages) / max(len(self.touched), 1)

    @property
    def single(self) -> float:
        route = self.maze.routes[self.best]
        borders = self.touched & self.maze.passages
        on = len(borders & passages_of(route)) + len(self.smeared & set(route))
        return on / max(len(borders) + len(self.smeared), 1)

    @property
    def choice(self) -> float:
        own = [self._own_share(route, cells) for route, cells in self._own]
        return float(0 < own[self.maze.drawn] == max(own))

    @property
    def _own(self) -> list[tuple[Route, Route]]:
        return list(zip(self.maze.routes, own_cells(self.maze.routes), strict=True))

    def _own_share(self, route: Route, cells: Route) -> float:
        passages = {passage for passage in passages_of(route) if set(passage) & set(cells)}
        return len(self.joined & passages) / len(passages)

    @property
    def answer(self) -> str | None:
        """The one route that is painted from end to end."""
        whole = [route_name(i) for i, share in enumerate(self.shares) if share == 1]
        return whole[0] if len(whole) == 1 else None


def _walls(maze: Maze, classes_HW: Classes) -> float:
    """Paint over a wall is a path that crosses it, not a wall that is gone."""
    before_HW = classify(draw_frame(maze)) == colour_index("black")
    black_HW, blue_HW = (classes_HW == colour_index(name) for name in ("black", "blue"))
    shares, covered = border_shares(black_HW, MIDDLE), border_shares(black_HW | blue_HW, MIDDLE)
    walls = {border for border, share in border_shares(before_HW, MIDDLE).items() if share > _PAINTED}
    gone = sum(covered[border] <= _PAINTED for border in walls)
    new = sum(share > _PAINTED for border, share in shares.items() if border not in walls)
    blots = int((cell_shares(black_HW & ~before_HW, INSIDE) >= _STRAY).sum())
    kept = float((black_HW | blue_HW)[before_HW].mean())
    return max(0.0, min(1 - (gone + new + blots) / len(walls), 1 if kept >= _KEPT else kept))


def _marks(maze: Maze, classes_HW: Classes) -> float:
    """A quarter each for start in place, goal in place, no second start and no second goal."""
    right = []
    for cell, colour in ((maze.start, "green"), (maze.goal, "red")):
        shares_RC = cell_shares(classes_HW == colour_index(colour), INSIDE)
        right.append(_at(shares_RC, cell) > _PAINTED)
        shares_RC[cell] = 0
        right.append(bool(shares_RC.max() < _STRAY))
    return sum(right) / len(right)


def _at(values_RC: np.ndarray, cell: Cell) -> float:
    """The value of a cell; 0 beyond the edge of the picture."""
    rows, cols = values_RC.shape
    return float(values_RC[cell]) if 0 <= cell[0] < rows and 0 <= cell[1] < cols else 0.0

"""Score a decoded video by rule: a painted path must join start and goal through cells that the first frame left free.

Only pixels are read. Walls, start and goal come from the *given* first frame, so a video that opens a wall gains
nothing; the path comes from one frame of the video, by default the last. Every pixel is given the nearest colour of
the palette. A cell or a border on a route is painted when most of its middle is path-coloured; off the route a
quarter of a cell or three eighths of a border is already too much. The rule is strict about routes (no gap, no dead
end, no wall crossed, no second route, start, goal and walls still there), not about shades.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np
import numpy.typing as npt

from dit_lens.puzzles.draw import CELL_PIXELS, PALETTE
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.maze import Cell

__all__ = ["DO_NOTHING_FLOOR", "MazeScore", "read_board", "score_maze"]

DO_NOTHING_FLOOR = 0.0
"""What a video that repeats its first frame scores, in ``solved`` and in ``coverage``."""

_COLOURS = np.array(list(PALETTE.values()), dtype=np.int32)
_PATH, _START, _GOAL, _WALL = (list(PALETTE).index(name) for name in ("path", "start", "goal", "wall"))
_MIDDLE = slice(2, CELL_PIXELS - 2)  # where a path runs
_INSIDE = slice(1, CELL_PIXELS - 1)  # a cell without its walls
_PAINTED = 0.5  # share of the middle from which a place on the route counts as painted
_STRAY_CELL, _STRAY_BORDER = 1 / 4, 3 / 8  # share from which paint off the route counts: a line of 2 pixels is enough
_KEPT = 0.9  # share of the first frame's wall pixels that must still be wall

Frame = npt.NDArray[np.uint8]
Classes = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Edge = tuple[Cell, Cell]


@dataclass(frozen=True)
class MazeScore:
    """What the rules read from one video.

    Attributes
    ----------
    solved : bool
        One whole route is painted from start to goal and nothing else; start, goal and walls are where they were.
    coverage : float
        Largest share, over the routes of the first frame, of a route's passages that are painted; 0 to 1.
    crossed : int
        Painted borders that are walls in the first frame.
    stray : int
        Cells and passages with paint that lie off the best route.
    kept : float
        Share of the first frame's wall pixels that are still wall; 0 to 1.
    route : int or None
        Which route was drawn (in the order of ``read_board(...).routes``), if solved.
    """

    solved: bool
    coverage: float
    crossed: int
    stray: int
    kept: float
    route: int | None


@dataclass(frozen=True)
class Board:
    """The puzzle as the first frame shows it."""

    graph: nx.Graph
    start: Cell
    goal: Cell
    routes: tuple[tuple[Cell, ...], ...]

    @property
    def ends(self) -> tuple[tuple[Cell, int], ...]:
        """Start and goal, each with the index of its colour."""
        return (self.start, _START), (self.goal, _GOAL)


def read_board(first_frame: Frame) -> Board:
    """Read walls, start, goal and all simple routes from a first frame.

    Parameters
    ----------
    first_frame : numpy.ndarray of uint8, shape (H, W, 3)

    Returns
    -------
    Board

    Raises
    ------
    BadPuzzle
        If the frame shows no start or no goal.

    Examples
    --------
    >>> from dit_lens.puzzles import draw_frame, make_maze
    >>> maze = make_maze(seed=3)
    >>> board = read_board(draw_frame(maze))
    >>> (board.start, board.goal, board.routes) == (maze.start, maze.goal, maze.routes)
    True
    """
    classes_HW = _classify(first_frame)
    start, goal = _find(classes_HW, _START, "start"), _find(classes_HW, _GOAL, "goal")
    graph = nx.Graph()
    graph.add_nodes_from([start, goal])
    graph.add_edges_from(edge for edge, share in _border_shares(classes_HW == _WALL, _MIDDLE) if share <= 0.5)
    graph = graph.subgraph(nx.node_connected_component(graph, start) | {goal}).copy()
    routes = tuple(tuple(route) for route in sorted(nx.all_simple_paths(graph, start, goal)))
    return Board(graph, start, goal, routes)


def score_maze(video: Frame, first_frame: Frame, frame: int = -1) -> MazeScore:
    """Score one decoded video against its given first frame.

    Parameters
    ----------
    video : numpy.ndarray of uint8, shape (F, H, W, 3)
        Decoded pixels, 0 to 255.
    first_frame : numpy.ndarray of uint8, shape (H, W, 3)
        The picture that the model was given, not the first frame of the video.
    frame : int
        Which frame of the video holds the answer.

    Returns
    -------
    MazeScore

    Raises
    ------
    BadPuzzle
        If the two pictures differ in size, or the first frame shows no puzzle.

    Examples
    --------
    >>> from dit_lens.puzzles import draw_clip, make_maze
    >>> clip = draw_clip(make_maze(seed=3))
    >>> score_maze(clip, clip[0]).solved
    True
    >>> score_maze(clip[:1], clip[0])  # a video in which nothing happens
    MazeScore(solved=False, coverage=0.0, crossed=0, stray=0, kept=1.0, route=None)
    """
    if video.shape[1:] != first_frame.shape:
        raise BadPuzzle(
            f"the video cannot be scored; got frames of {video.shape[1:]}, allowed {first_frame.shape} like the first "
            "frame; generate at the size of the picture"
        )
    given_HW, classes_HW = _classify(first_frame), _classify(video[frame])
    wall_HW = given_HW == _WALL
    return _judge(read_board(first_frame), classes_HW, float(np.mean(classes_HW[wall_HW] == _WALL)))


def _judge(board: Board, classes_HW: Classes, kept: float) -> MazeScore:
    path_HW = classes_HW == _PATH
    middle_RC, inside_RC = _cell_shares(path_HW, _MIDDLE), _cell_shares(path_HW, _INSIDE)
    passed = {edge for edge, share in _border_shares(path_HW, _MIDDLE) if share > _PAINTED}
    touched = {edge for edge, share in _border_shares(path_HW, slice(None)) if share >= _STRAY_BORDER}
    filled = {cell for cell, share in np.ndenumerate(middle_RC) if share > _PAINTED}
    smeared = {cell for cell, share in np.ndenumerate(inside_RC) if share >= _STRAY_CELL}
    shares = [len(passed & _edges(route)) / len(_edges(route)) for route in board.routes]
    best = board.routes[int(np.argmax(shares))] if shares else ()
    stray = (touched - _edges(best)) | (smeared - set(best))
    crossed = {edge for edge in touched if not board.graph.has_edge(*edge)}
    whole = bool(best) and _edges(best) <= passed and set(best[1:-1]) <= filled
    ends = all(_cell_shares(classes_HW == colour, _INSIDE)[cell] > _PAINTED for cell, colour in board.ends)
    solved = whole and ends and not stray and kept >= _KEPT
    return MazeScore(
        solved=solved,
        coverage=max(shares, default=0.0),
        crossed=len(crossed),
        stray=len(stray - crossed),
        kept=kept,
        route=board.routes.index(best) if solved else None,
    )


def _edges(route: tuple[Cell, ...]) -> set[Edge]:
    return {(min(a, b), max(a, b)) for a, b in pairwise(route)}


def _classify(frame_HW3: Frame) -> Classes:
    """Index of the nearest palette colour of every pixel."""
    distance_HWP = ((frame_HW3[:, :, None].astype(np.int32) - _COLOURS) ** 2).sum(-1)
    return np.asarray(distance_HWP.argmin(-1))


def _cells(mask_HW: Mask) -> Mask:
    """The pixels of every cell: (row, column, y, x)."""
    rows, cols = (extent // CELL_PIXELS for extent in mask_HW.shape)
    return mask_HW.reshape(rows, CELL_PIXELS, cols, CELL_PIXELS).swapaxes(1, 2)


def _cell_shares(mask_HW: Mask, part: slice) -> npt.NDArray[np.float64]:
    """The share of a part of every cell that the mask covers, by row and column."""
    return np.asarray(_cells(mask_HW)[:, :, part, part].mean((2, 3)))


def _border_shares(mask_HW: Mask, part: slice) -> Iterator[tuple[Edge, float]]:
    """The share of the pixels on both sides of every border, in a part of its length, that the mask covers."""
    cells_RCyx = _cells(mask_HW)
    right_RC = (cells_RCyx[:, :-1, part, -1].mean(2) + cells_RCyx[:, 1:, part, 0].mean(2)) / 2
    below_RC = (cells_RCyx[:-1, :, -1, part].mean(2) + cells_RCyx[1:, :, 0, part].mean(2)) / 2
    for (row, col), share in np.ndenumerate(right_RC):
        yield ((row, col), (row, col + 1)), float(share)
    for (row, col), share in np.ndenumerate(below_RC):
        yield ((row, col), (row + 1, col)), float(share)


def _find(classes_HW: Classes, colour: int, name: str) -> Cell:
    """The cell with most pixels of a colour; at least a quarter of a cell must have it."""
    share_RC = _cell_shares(classes_HW == colour, slice(None))
    if share_RC.max() < 1 / 4:
        raise BadPuzzle(
            f"the first frame shows no {name}; got no cell coloured {PALETTE[name]}; "
            "give the frame that draw_frame makes"
        )
    row, col = np.unravel_index(share_RC.argmax(), share_RC.shape)
    return int(row), int(col)

"""Score a decoded video by rule: a painted path must join start and goal through cells that the first frame left free.

Only pixels are read. Walls, start and goal come from the *given* first frame, so a video that opens a wall gains
nothing; the path comes from one frame of the video, by default the last. Every pixel is given the nearest colour of
the palette, and a place is painted when most of its pixels are path-coloured. The rule is strict about routes (no
gap, no dead end, no wall crossed, no second route), not about shades.
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
_STRIP = slice(2, CELL_PIXELS - 2)  # the middle of a cell's side, clear of the corners

Frame = npt.NDArray[np.uint8]
Edge = tuple[Cell, Cell]


@dataclass(frozen=True)
class MazeScore:
    """What the rules read from one video.

    Attributes
    ----------
    solved : bool
        The painted passages are exactly one simple route from start to goal, and cross no wall.
    coverage : float
        Largest share, over the routes of the first frame, of a route's passages that are painted; 0 to 1.
    crossed : int
        Painted borders that are walls in the first frame.
    stray : int
        Painted passages that lie off the best route.
    route : int or None
        Which route was drawn (in the order of ``read_board(...).routes``), if solved.
    """

    solved: bool
    coverage: float
    crossed: int
    stray: int
    route: int | None


@dataclass(frozen=True)
class Board:
    """The puzzle as the first frame shows it."""

    graph: nx.Graph
    start: Cell
    goal: Cell
    routes: tuple[tuple[Cell, ...], ...]


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
    graph.add_edges_from(edge for edge, strip in _strips(classes_HW) if not _mostly(strip, _WALL))
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
    MazeScore(solved=False, coverage=0.0, crossed=0, stray=0, route=None)
    """
    if video.shape[1:] != first_frame.shape:
        raise BadPuzzle(
            f"the video cannot be scored; got frames of {video.shape[1:]}, allowed {first_frame.shape} like the first "
            "frame; generate at the size of the picture"
        )
    board = read_board(first_frame)
    classes_HW = _classify(video[frame])
    painted = {edge for edge, strip in _strips(classes_HW) if _mostly(strip, _PATH)}
    return _judge(board, painted)


def _judge(board: Board, painted: set[Edge]) -> MazeScore:
    free = {edge for edge in painted if board.graph.has_edge(*edge)}
    routes = [_edges(route) for route in board.routes]
    shares = [len(free & edges) / len(edges) for edges in routes]
    best = int(np.argmax(shares)) if shares else None
    exact = next((i for i, edges in enumerate(routes) if painted == edges), None)
    return MazeScore(
        solved=exact is not None,
        coverage=max(shares, default=0.0),
        crossed=len(painted - free),
        stray=len(free - routes[best]) if best is not None else len(free),
        route=exact,
    )


def _edges(route: tuple[Cell, ...]) -> set[Edge]:
    return {(min(a, b), max(a, b)) for a, b in pairwise(route)}


def _classify(frame_HW3: Frame) -> npt.NDArray[np.intp]:
    """Index of the nearest palette colour of every pixel."""
    distance_HWP = ((frame_HW3[:, :, None].astype(np.int32) - _COLOURS) ** 2).sum(-1)
    return np.asarray(distance_HWP.argmin(-1))


def _mostly(classes: npt.NDArray[np.intp], colour: int) -> bool:
    return bool(np.mean(classes == colour) > 0.5)


def _strips(classes_HW: npt.NDArray[np.intp]) -> Iterator[tuple[Edge, npt.NDArray[np.intp]]]:
    """Every pair of neighbouring cells with the pixels on both sides of their border."""
    rows, cols = (extent // CELL_PIXELS for extent in classes_HW.shape)
    cells_RCyx = classes_HW.reshape(rows, CELL_PIXELS, cols, CELL_PIXELS).swapaxes(1, 2)
    for row in range(rows):
        for col in range(cols):
            here = cells_RCyx[row, col]
            if col + 1 < cols:
                there = cells_RCyx[row, col + 1]
                yield ((row, col), (row, col + 1)), np.stack([here[_STRIP, -1], there[_STRIP, 0]])
            if row + 1 < rows:
                there = cells_RCyx[row + 1, col]
                yield ((row, col), (row + 1, col)), np.stack([here[-1, _STRIP], there[0, _STRIP]])


def _find(classes_HW: npt.NDArray[np.intp], colour: int, name: str) -> Cell:
    """The cell with most pixels of a colour; at least a quarter of a cell must have it."""
    rows, cols = (extent // CELL_PIXELS for extent in classes_HW.shape)
    count_RC = (classes_HW == colour).reshape(rows, CELL_PIXELS, cols, CELL_PIXELS).sum((1, 3))
    if count_RC.max() < CELL_PIXELS**2 // 4:
        raise BadPuzzle(
            f"the first frame shows no {name}; got no cell coloured {PALETTE[name]}; "
            "give the frame that draw_frame makes"
        )
    row, col = np.unravel_index(count_RC.argmax(), count_RC.shape)
    return int(row), int(col)

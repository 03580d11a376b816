"""Mazes with thin walls: one route, or a fork of two equally long routes.

A maze is a spanning tree of an ``n x n`` grid of cells, so exactly one simple route joins any two cells. A *fork* is
such a tree with one more passage opened: that closes a single ring, and from a cell hanging off the ring to one that
hangs off its opposite side there are exactly two simple routes, equally long. Everything follows from a seed through
``numpy.random.Generator``; networkx does the graph work.

The library ``maze-dataset`` was considered: it knows no forks, draws from the global random state, and brings Jupyter
with it (see ``docs/decisions.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import networkx as nx
import numpy as np

from dit_lens.errors import close_match
from dit_lens.puzzles.errors import BadPuzzle

__all__ = ["CANVAS_CELLS", "MAX_SIZE", "MIN_SIZE", "UNSEEN_SEEDS", "Cell", "Kind", "Maze", "make_maze", "unseen"]

CANVAS_CELLS = 8
"""Cells along each side of the picture; the maze sits at a random place on it."""
MIN_SIZE, MAX_SIZE = 3, 7
MIN_RING = 6
"""Shortest ring of a fork, in cells: a ring of 4 is an open square, in which two routes cannot be told apart."""

UNSEEN_SEEDS = 2**31
"""Puzzle seeds below this are for training; the shipped model never saw one from here on."""

Cell = tuple[int, int]
Kind = Literal["maze", "fork"]


@dataclass(frozen=True)
class Maze:
    """A puzzle: passages, start, goal and every route between them, in cells of the canvas (row, column).

    Attributes
    ----------
    kind : {"maze", "fork"}
        One route, or two of equal length.
    size : int
        Cells along a side of the maze.
    origin : tuple of int
        Canvas cell (row, column) of the upper left cell of the maze.
    passages : frozenset of pair of cells
        Open passages, each pair sorted.
    start, goal : tuple of int
        Cells (row, column).
    routes : tuple of tuple of cells
        All simple routes from start to goal: one for a maze, two for a fork.
    answer : int
        Index of the route that the clip draws.
    seed : int
        The seed that made it.
    """

    kind: Kind
    size: int
    origin: Cell
    passages: frozenset[tuple[Cell, Cell]]
    start: Cell
    goal: Cell
    routes: tuple[tuple[Cell, ...], ...]
    answer: int
    seed: int

    @property
    def route(self) -> tuple[Cell, ...]:
        """The route that the clip draws, from start to goal."""
        return self.routes[self.answer]

    @property
    def prompt(self) -> str:
        """The instruction that goes with the first frame."""
        return "Draw the path from the green cell to the red cell."


def make_maze(seed: int, size: int = 5, kind: Kind = "maze") -> Maze:
    """Make one maze, always the same for the same arguments.

    Parameters
    ----------
    seed : int
        Any non-negative integer.
    size : int
        Cells along a side, from 3 to 7.
    kind : {"maze", "fork"}
        One route, or two routes of equal length of which ``answer`` names one at random.

    Returns
    -------
    Maze

    Raises
    ------
    BadPuzzle
        For a size, kind or seed that does not exist.

    Examples
    --------
    >>> maze = make_maze(seed=1, size=4)
    >>> maze.route[0] == maze.start, maze.route[-1] == maze.goal, len(maze.routes)
    (True, True, 1)
    >>> fork = make_maze(seed=1, size=4, kind="fork")
    >>> len(fork.routes), len(fork.routes[0]) == len(fork.routes[1])
    (2, True)
    """
    _check(seed, size, kind)
    rng = np.random.default_rng([seed, size, 0 if kind == "maze" else 1])
    tree = _spanning_tree(rng, size)
    start, goal = _distant_pair(rng, tree, size) if kind == "maze" else _fork_ends(rng, tree, size)
    row, col = (int(i) for i in rng.integers(0, CANVAS_CELLS - size + 1, size=2))
    tree = nx.relabel_nodes(tree, {cell: (cell[0] + row, cell[1] + col) for cell in tree})
    start, goal = (start[0] + row, start[1] + col), (goal[0] + row, goal[1] + col)
    routes = tuple(tuple(route) for route in sorted(nx.all_simple_paths(tree, start, goal)))
    return Maze(
        kind=kind,
        size=size,
        origin=(row, col),
        passages=frozenset((min(a, b), max(a, b)) for a, b in tree.edges),
        start=start,
        goal=goal,
        routes=routes,
        answer=int(rng.integers(len(routes))),
        seed=seed,
    )


def unseen(index: int, size: int = 5, kind: Kind = "maze") -> Maze:
    """Puzzle number ``index`` of those that are kept for evaluation.

    Examples
    --------
    >>> unseen(0).seed == UNSEEN_SEEDS
    True
    """
    return make_maze(UNSEEN_SEEDS + index, size, kind)


def _check(seed: int, size: int, kind: str) -> None:
    if kind not in get_args(Kind):
        allowed = get_args(Kind)
        raise BadPuzzle(
            f"unknown kind of puzzle; got {kind!r}, allowed {', '.join(allowed)}{close_match(kind, allowed)}"
        )
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise BadPuzzle(f"a {kind} has {MIN_SIZE} to {MAX_SIZE} cells a side; got {size}; choose a size in that range")
    if seed < 0:
        raise BadPuzzle(f"a puzzle seed is 0 or more; got {seed}; choose another")


def _spanning_tree(rng: np.random.Generator, size: int) -> nx.Graph:
    grid = nx.grid_2d_graph(size, size)
    for (_, _, data), weight in zip(grid.edges(data=True), rng.random(grid.number_of_edges()), strict=True):
        data["weight"] = weight
    return nx.minimum_spanning_tree(grid)


def _distant_pair(rng: np.random.Generator, tree: nx.Graph, size: int) -> tuple[Cell, Cell]:
    """Two cells whose route has at least ``size`` cells: neighbours would make no puzzle."""
    cells = sorted(tree)
    while True:
        start, goal = (cells[i] for i in rng.choice(len(cells), size=2, replace=False))
        if nx.shortest_path_length(tree, start, goal) + 1 >= size:
            return start, goal


def _fork_ends(rng: np.random.Generator, tree: nx.Graph, size: int) -> tuple[Cell, Cell]:
    """Open one passage so that a ring closes, in place, and return a cell on each of two opposite sides of it."""
    closed = sorted(edge for edge in nx.grid_2d_graph(size, size).edges if not tree.has_edge(*edge))
    order = rng.permutation(len(closed))
    rings = (nx.shortest_path(tree, *closed[i]) for i in order)
    ring = next((r for r in rings if len(r) >= MIN_RING), None)
    if ring is None:  # a comb-like tree of 3 x 3 has only rings of 4: draw another tree
        tree.update(fresh := _spanning_tree(rng, size))
        tree.remove_edges_from([edge for edge in list(tree.edges) if not fresh.has_edge(*edge)])
        return _fork_ends(rng, tree, size)
    tree.add_edge(ring[0], ring[-1])
    first = int(rng.integers(len(ring)))
    ends = (ring[first], ring[(first + len(ring) // 2) % len(ring)])
    return _off_ring(rng, tree, ring, ends[0]), _off_ring(rng, tree, ring, ends[1])


def _off_ring(rng: np.random.Generator, graph: nx.Graph, ring: list[Cell], cell: Cell) -> Cell:
    """A random cell of the branch that hangs off the ring at ``cell`` (the ring's own cell included)."""
    branch = graph.subgraph(set(graph) - (set(ring) - {cell}))
    reachable = sorted(nx.node_connected_component(branch, cell))
    chosen: Cell = reachable[int(rng.integers(len(reachable)))]
    return chosen

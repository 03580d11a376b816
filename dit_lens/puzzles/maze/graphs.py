"""Passages with exactly one, two or three simple routes between two cells, drawn at random with networkx.

One route: a spanning tree of an ``n x n`` grid of cells, in which exactly one simple route joins any two. Two: such a
tree with one more passage opened, which closes a single ring; from a cell hanging off the ring to one that hangs off
its opposite side there are two simple routes, equally long. Three: three paths between two cells that share nothing
else, made equally long by bulging the shorter ones (all paths between two cells of a grid are odd or all are even, and
a bulge adds two); the other cells hang off them as branches of a tree.

The library ``maze-dataset`` was considered: it knows no forks, draws from the global random state, and brings Jupyter
with it (see ``docs/decisions.md``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import pairwise

import networkx as nx
import numpy as np

from dit_lens.puzzles.maze.routes import Cell, Passage

__all__ = ["Ends", "one_route", "three_routes", "two_routes"]

MIN_RING = 6
"""Shortest ring of a fork, in cells: a ring of 4 is an open square, in which two routes cannot be told apart."""
_STARTS = 8  # cells tried as the start before another tree is drawn

Ends = tuple[nx.Graph, Cell, Cell]


def one_route(rng: np.random.Generator, size: int, shortest: int, longest: int) -> Ends | None:
    """A tree, and two of its cells whose route has ``shortest`` to ``longest`` cells; None if none were found."""
    tree = _spanning_tree(rng, size)
    cells = sorted(tree)
    for index in rng.permutation(len(cells))[:_STARTS]:
        steps = nx.single_source_shortest_path_length(tree, cells[index])
        goals = sorted(cell for cell, count in steps.items() if shortest <= count + 1 <= longest)
        if goals:
            return tree, cells[index], _one_of(rng, goals)
    return None


def two_routes(rng: np.random.Generator, size: int) -> Ends | None:
    """A tree with one ring, and a cell on each of two opposite sides of it; None if every ring is too short."""
    tree = _spanning_tree(rng, size)
    closed = sorted(edge for edge in _grid(size).edges if not tree.has_edge(*edge))
    rings = (nx.shortest_path(tree, *closed[i]) for i in rng.permutation(len(closed)))
    ring = next((ring for ring in rings if len(ring) >= MIN_RING), None)
    if ring is None:  # a comb-like tree of 3 x 3 has only rings of 4
        return None
    tree.add_edge(ring[0], ring[-1])
    first = int(rng.integers(len(ring)))
    ends = ring[first], ring[(first + len(ring) // 2) % len(ring)]
    return tree, _off(rng, tree, ring, ends[0]), _off(rng, tree, ring, ends[1])


def three_routes(rng: np.random.Generator, size: int) -> Ends | None:
    """Three equally long paths with branches, and a cell beyond each end of them; None if these ends did not do."""
    grid = _grid(size)
    junctions = sorted(cell for cell in grid if grid.degree(cell) >= 3)
    ends = [junctions[i] for i in rng.choice(len(junctions), size=2, replace=False)]
    paths = _disjoint_paths(rng, size, ends[0], ends[1])
    if paths is None or not _level(rng, grid, paths) or 2 * len(paths[0]) - 2 < MIN_RING:
        return None
    core = [edge for path in paths for edge in pairwise(path)]
    graph = _spanning_tree(rng, size, core)
    graph.add_edges_from(core)
    taken = {cell for path in paths for cell in path}
    return graph, _off(rng, graph, taken, ends[0]), _off(rng, graph, taken, ends[1])


@lru_cache
def _grid(size: int) -> nx.Graph:
    """All cells and passages; shared, so never changed."""
    return nx.grid_2d_graph(size, size)


def _spanning_tree(rng: np.random.Generator, size: int, first: Iterable[Passage] = ()) -> nx.Graph:
    """A random spanning tree of the grid that prefers the passages ``first`` to all others."""
    grid = nx.grid_2d_graph(size, size)
    for (_, _, data), weight in zip(grid.edges(data=True), rng.random(grid.number_of_edges()), strict=True):
        data["weight"] = weight
    for a, b in first:
        grid[a][b]["weight"] -= 1
    return nx.minimum_spanning_tree(grid)


def _disjoint_paths(rng: np.random.Generator, size: int, start: Cell, goal: Cell) -> list[list[Cell]] | None:
    """Three random paths that share only their ends, or None if the first ones left no room."""
    edges = list(_grid(size).edges)
    weights = dict(zip(edges, rng.random(len(edges)).tolist(), strict=True))
    paths: list[list[Cell]] = []
    closed: set[Cell] = set()

    def weight(a: Cell, b: Cell, _: object) -> float | None:
        return None if a in closed or b in closed else weights.get((a, b)) or weights[b, a]

    for _ in range(3):
        try:
            paths.append(nx.bidirectional_dijkstra(_grid(size), start, goal, weight)[1])
        except nx.NetworkXNoPath:
            return None
        closed.update(paths[-1][1:-1])
    return paths if len(paths[0]) > 2 else None  # neighbours join by the same passage three times


def _level(rng: np.random.Generator, grid: nx.Graph, paths: list[list[Cell]]) -> bool:
    """Bulge the shorter paths, in place, until all are equally long; False if there is no room."""
    while len({len(path) for path in paths}) > 1:
        short = min(paths, key=len)
        taken = {cell for path in paths for cell in path}
        bulges = [(i, *bulge) for i, edge in enumerate(pairwise(short)) for bulge in _bulges(grid, taken, *edge)]
        if not bulges:
            return False
        after, one, two = bulges[int(rng.integers(len(bulges)))]
        short[after + 1 : after + 1] = [one, two]
    return True


def _bulges(grid: nx.Graph, taken: Collection[Cell], a: Cell, b: Cell) -> list[tuple[Cell, Cell]]:
    """The free pairs of cells beside a passage, over which a detour of two more cells leads."""
    (row, col), (down, right) = a, (b[0] - a[0], b[1] - a[1])
    beside = [(row + side * right, col + side * down) for side in (-1, 1)]
    pairs = [(cell, (cell[0] + down, cell[1] + right)) for cell in beside]
    return [pair for pair in pairs if all(cell in grid and cell not in taken for cell in pair)]


def _off(rng: np.random.Generator, graph: nx.Graph, core: Collection[Cell], cell: Cell) -> Cell:
    """A random cell of the branch that hangs off the core at ``cell`` (this one included)."""
    branch = graph.subgraph(set(graph) - (set(core) - {cell}))
    return _one_of(rng, sorted(nx.node_connected_component(branch, cell)))


def _one_of(rng: np.random.Generator, cells: list[Cell]) -> Cell:
    return cells[int(rng.integers(len(cells)))]

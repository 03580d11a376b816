"""Make a maze or a fork from its seed: draw passages until the routes are as long as the variant says.

Everything follows from task, variant, size and seed through one ``numpy.random.Generator``: also how often something
was drawn in vain, so a rejection costs a few milliseconds and changes nothing else.
"""

from __future__ import annotations

import networkx as nx
import numpy as np

from dit_lens.puzzles.canvas import CANVAS_CELLS
from dit_lens.puzzles.maze.graphs import Ends, one_route, three_routes, two_routes
from dit_lens.puzzles.maze.puzzle import Maze
from dit_lens.puzzles.maze.routes import Cell, own_cells
from dit_lens.puzzles.maze.variants import VARIANTS, Kind, Variant

__all__ = ["make_maze"]

_SIZES = 0x73697A65  # keeps the draw of a size apart from those of a maze with the same seed


def make_maze(seed: int, size: int | None = None, variant: str | None = None, task: Kind = "maze") -> Maze:
    """Make one maze, always the same for the same arguments; ``make_puzzle`` is the same and checks them.

    Parameters
    ----------
    seed : int
        Any non-negative integer.
    size : int, optional
        Cells along a side, one of the variant's; drawn from the seed if not given.
    variant : str, optional
        Defaults to ``plain`` for a maze and ``free`` for a fork.
    task : {"maze", "fork"}

    Returns
    -------
    Maze

    Examples
    --------
    >>> maze = make_maze(seed=1, size=4)
    >>> maze.route[0] == maze.start, maze.route[-1] == maze.goal, len(maze.routes)
    (True, True, 1)
    >>> fork = make_maze(seed=1, size=5, variant="three", task="fork")
    >>> len(fork.routes), len({len(route) for route in fork.routes})
    (3, 1)
    """
    variant = variant or next(name for kind, name in VARIANTS if kind == task)
    chosen, number = VARIANTS[task, variant], list(VARIANTS).index((task, variant))
    size = _size(seed, number, chosen) if size is None else size
    rng = np.random.default_rng([seed, size, number])
    graph, start, goal = _on_canvas(rng, size, _ends(rng, size, chosen))
    routes = tuple(tuple(route) for route in sorted(nx.all_simple_paths(graph, start, goal)))
    drawn = int(rng.integers(len(routes)))
    return Maze(
        task=task,
        variant=variant,
        seed=seed,
        size=size,
        passages=frozenset((min(a, b), max(a, b)) for a, b in graph.edges),
        origin=min(graph),
        start=start,
        goal=goal,
        routes=routes,
        drawn=drawn,
        cue=_cue(rng, routes, drawn) if chosen.chosen_by == "cue" else None,
    )


def _size(seed: int, number: int, variant: Variant) -> int:
    return int(np.random.default_rng([_SIZES, number, seed]).choice(variant.sizes, p=variant.shares))


def _ends(rng: np.random.Generator, size: int, variant: Variant) -> Ends:
    """Draw until there are routes that are neither too short nor too long."""
    shortest, longest = variant.shortest or size, variant.longest or size * size
    while True:
        if variant.routes == 1:
            found = one_route(rng, size, shortest, longest)
        else:
            found = two_routes(rng, size) if variant.routes == 2 else three_routes(rng, size)
        if found is not None and nx.shortest_path_length(*found) < longest:
            return found


def _on_canvas(rng: np.random.Generator, size: int, ends: Ends) -> Ends:
    """Move everything to a random place on the canvas."""
    row, col = (int(i) for i in rng.integers(0, CANVAS_CELLS - size + 1, size=2))
    moved = {cell: (cell[0] + row, cell[1] + col) for cell in ends[0]}
    return nx.relabel_nodes(ends[0], moved), moved[ends[1]], moved[ends[2]]


def _cue(rng: np.random.Generator, routes: tuple[tuple[Cell, ...], ...], drawn: int) -> Cell:
    """A cell in the last third of what the route shares with no other."""
    own = own_cells(routes)[drawn]
    late = own[-max(len(own) // 3, 1) :]
    return late[int(rng.integers(len(late)))]

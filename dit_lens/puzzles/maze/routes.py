"""What follows from the routes of a maze alone: their names, their passages, and the cells that tell them apart."""

from __future__ import annotations

from itertools import pairwise

__all__ = ["Cell", "Passage", "Route", "own_cells", "passages_of", "route_name"]

Cell = tuple[int, int]
Route = tuple[Cell, ...]
Passage = tuple[Cell, Cell]


def route_name(index: int) -> str:
    """What a route is called.

    Examples
    --------
    >>> route_name(1)
    'route-1'
    """
    return f"route-{index}"


def own_cells(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """By route, the cells between its ends that no other route visits, in order.

    Examples
    --------
    >>> own_cells((((0, 0), (0, 1), (1, 1)), ((0, 0), (1, 0), (1, 1))))
    (((0, 1),), ((1, 0),))
    """
    counts: dict[Cell, int] = {}
    for route in routes:
        for cell in route:
            counts[cell] = counts.get(cell, 0) + 1
    return tuple(tuple(cell for cell in route[1:-1] if counts[cell] == 1) for route in routes)


def passages_of(route: Route) -> frozenset[Passage]:
    """The passages that a route takes, each as a sorted pair.

    Examples
    --------
    >>> passages_of(((0, 1), (0, 0)))
    frozenset({((0, 0), (0, 1))})
    """
    return frozenset((min(a, b), max(a, b)) for a, b in pairwise(route))

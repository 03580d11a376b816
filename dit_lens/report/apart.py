"""Maps that are told apart: an address of each, and a title that no other map of its trace has.

Two results of one probe have variables of the same names and titles, so neither is enough to find a map, or to choose
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["tell_apart"]

Map = dict[str, Any]


def tell_apart(maps: Sequence[Map]) -> list[Map]:
    """Give maps an ``id``, the same for all traces, and titles that differ within a trace.

    Examples
    --------
    >>> one = {"trace": "a", "name": "energy", "title": "energy", "result": "energy (a)"}
    >>> told = tell_apart([one, one | {"result": "energy (b)"}])
    >>> [(one["id"], one["title"]) for one in told]
    [('energy (a)/energy', 'energy, energy (a)'), ('energy (b)/energy', 'energy, energy (b)')]
    """
    told = _addressed(maps)
    for key in ("result", "name", "id"):
        told = [one | {"title": f"{one['title']}, {one[key]}"} if _alike(told, one, key) else one for one in told]
    return told


def _addressed(maps: Sequence[Map]) -> list[Map]:
    taken: set[tuple[str, str]] = set()
    told = []
    for one in maps:
        address, number = f"{one['result']}/{one['name']}", 1
        own = address
        while (one["trace"], own) in taken:
            number += 1
            own = f"{address} ({number})"
        taken.add((one["trace"], own))
        told.append({"id": own, **one})
    return told


def _alike(told: Sequence[Map], one: Map, key: str) -> bool:
    """Whether another map has the same title, and what would tell them apart."""
    return any(other["title"] == one["title"] and other[key] != one[key] for other in told)

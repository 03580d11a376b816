"""Which units run in one call of the model: the same ones whenever the same command runs.

Units are taken in their order, and go into the first group that is not full and agrees with them in everything but
prompts and seed. What a row of a batch computes depends on what runs beside it, so the place in a group is a setting
of a trace like any other: it is in the manifest, and a command that would group otherwise is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dit_lens import Generation
    from dit_lens.cli.runs import Settings
    from dit_lens.cli.samples import Unit

__all__ = ["Group", "group_units"]

_OF_ROW = ("prompt", "negative_prompt", "seed")


@dataclass(frozen=True)
class Group:
    """Units of one call of the model, with their requests."""

    units: tuple[Unit, ...]
    requests: tuple[Generation, ...]

    def place(self, row: int) -> dict[str, int] | None:
        """The entry ``batch`` of a row's manifest; None of a unit that runs alone."""
        return {"size": len(self.units), "row": row} if len(self.units) > 1 else None


def group_units(units: Sequence[Unit], settings: Settings, size: int) -> tuple[Group, ...]:
    """Return units in groups of ``size``, the last of each kind smaller if they do not come out even.

    Examples
    --------
    >>> from dit_lens.cli.runs import Settings
    >>> from dit_lens.cli.samples import puzzle_sample, units_of
    >>> samples = [puzzle_sample("maze", 0, size=3), puzzle_sample("fork", 0, size=3)]
    >>> groups = group_units(units_of(samples, [0, 1, 2]), Settings(steps=2), 2)
    >>> [[unit.seed for unit in group.units] for group in groups]
    [[0, 1], [2], [0, 1], [2]]
    """
    groups: list[list[tuple[Unit, Generation]]] = []
    filling: dict[str, list[tuple[Unit, Generation]]] = {}
    for unit in units:
        request = settings.request(unit)
        kind = _shared(request)
        if kind not in filling or len(filling[kind]) == size:
            filling[kind] = []
            groups.append(filling[kind])
        filling[kind].append((unit, request))
    return tuple(Group(tuple(unit for unit, _ in rows), tuple(request for _, request in rows)) for rows in groups)


def _shared(request: Generation) -> str:
    """What all rows of a call agree in, as text."""
    from dit_lens.generation import Size
    from dit_lens.manifest import request_manifest

    size = Size(request.height or 0, request.width or 0, request.frames or 0)
    facts = request_manifest(request, size)
    return json.dumps({name: value for name, value in facts.items() if name not in _OF_ROW}, sort_keys=True)

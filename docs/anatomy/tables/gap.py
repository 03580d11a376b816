"""The chain-of-steps gap: what is right in x0 of step 0 against what is right at the end, of the same puzzles.

Where the first is as high as the second, one pass through the layers found the answer and the steps earned nothing;
the gap is what they earned, whatever its cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anatomy.groups import MAZES, Group
from anatomy.shares import Estimate, gain, share

__all__ = ["GapRow", "group_rows", "right_by_step", "route_rows"]

Record = Mapping[str, Any]

_TRAINED = ((3, 5), (6, 8), (9, 12), (13, 16), (17, 20))
_UNTRAINED = ((8, 20), (21, 24), (25, 29), (30, 64))


@dataclass(frozen=True)
class GapRow:
    """One row: the puzzles that it is about, and the shares that are right."""

    title: str
    in_domain: bool
    first: Estimate
    end: Estimate
    gain: Estimate


def group_rows(records: Sequence[Record], groups: Sequence[Group]) -> list[GapRow]:
    """A row for each group."""
    return [
        _row(group.title, group.in_domain, [record for record in records if record["group"] == group.name])
        for group in groups
    ]


def route_rows(records: Sequence[Record]) -> list[GapRow]:
    """A row for each range of route lengths, of mazes in domain and out of it; empty ranges are left out."""
    rows = []
    for in_domain, ranges in ((True, _TRAINED), (False, _UNTRAINED)):
        names = {group.name for group in MAZES if group.in_domain == in_domain}
        mazes = [record for record in records if record["group"] in names]
        for low, high in ranges:
            within = [record for record in mazes if low <= record["route_cells"] <= high]
            title = f"{low} to {high} cells" if high < 64 else f"{low} cells and more"
            rows += [_row(title, in_domain, within)] if within else []
    return rows


def right_by_step(records: Sequence[Record], group: Group) -> tuple[list[int], list[Estimate]]:
    """The steps that were read, and the share of the group that is right in x0 of each."""
    chosen = [record for record in records if record["group"] == group.name]
    read = list(chosen[0]["read"]) if chosen else []
    return read, [share([record["x0"][i]["solved"] for record in chosen]) for i in range(len(read))]


def _row(title: str, in_domain: bool, records: Sequence[Record]) -> GapRow:
    first = [bool(record["x0"][0]["solved"]) for record in records]
    end = [bool(record["final"]["solved"]) for record in records]
    return GapRow(title, in_domain, share(first), share(end), gain(first, end))

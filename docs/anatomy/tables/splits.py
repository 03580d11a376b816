"""How the seeds of one fork split between its routes, and how many routes x0 of step 0 shows at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import multinomial

from anatomy.shares import Estimate, mean

__all__ = ["VISIBLE", "SplitRow", "Visible", "expected_minority", "split_rows", "visible_routes"]

VISIBLE = 0.25
"""How blue a route's own cells must be, from floor (0) to paint (1), to be called visible."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class SplitRow:
    """One fork: how many seeds took each route, and how many none of them from end to end."""

    label: str
    taken: tuple[int, ...]
    none: int

    @property
    def whole(self) -> int:
        """Seeds that drew one whole route."""
        return sum(self.taken)

    @property
    def minority(self) -> float:
        """The share of them that took the route that fewest took; NaN if no seed drew one."""
        return min(self.taken) / self.whole if self.whole else float("nan")


@dataclass(frozen=True)
class Visible:
    """Shares over forks and seeds: every route visible, exactly one visible, and one drawn whole and nothing else."""

    every: Estimate
    one: Estimate
    solved: Estimate


def split_rows(records: Sequence[Record]) -> list[SplitRow]:
    """A row for each fork.

    Examples
    --------
    >>> seeds = [{"final": {"answer": answer}} for answer in ("route-1", "route-1", None, "route-0")]
    >>> split_rows([{"label": "fork-5x5", "index": 0, "routes": 2, "seeds": seeds}])[0].taken
    (1, 2)
    """
    rows = []
    for record in records:
        counts = Counter(seed["final"]["answer"] for seed in record["seeds"])
        taken = tuple(counts[f"route-{i}"] for i in range(record["routes"]))
        rows.append(SplitRow(f"{record['label']} no. {record['index']}", taken, len(record["seeds"]) - sum(taken)))
    return rows


def expected_minority(seeds: int, routes: int) -> float:
    """The mean share of the least taken route if every seed took each with the same probability.

    Examples
    --------
    >>> expected_minority(2, 2)
    0.25
    """
    if not seeds:
        return float("nan")
    even = multinomial(seeds, [1 / routes] * routes)
    counts = [c for c in np.ndindex(*[seeds + 1] * (routes - 1)) if sum(c) <= seeds]
    whole = [(*c, seeds - sum(c)) for c in counts]
    return float(sum(min(c) * even.pmf(c) for c in whole) / seeds)


def visible_routes(records: Sequence[Record], when: str) -> Visible:
    """What is visible in x0 of step 0 (``first``) or in the video (``final``), with intervals over forks and seeds."""
    levels = [[np.array(seed[when]["visible"]) >= VISIBLE for seed in record["seeds"]] for record in records]
    return Visible(
        every=mean([[float(seen.all()) for seen in seeds] for seeds in levels]),
        one=mean([[float(seen.sum() == 1) for seen in seeds] for seeds in levels]),
        solved=mean([[float(seed[when]["solved"]) for seed in record["seeds"]] for record in records]),
    )

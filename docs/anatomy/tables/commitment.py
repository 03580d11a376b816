"""When the answer is there and when it is final, over the puzzles of a group; see ``anatomy.reading``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anatomy.groups import Group
from anatomy.reading import Reading, commitment, first_readable
from anatomy.shares import Estimate, share

__all__ = ["CommitmentRow", "commitment_rows", "reached_by"]

Record = Mapping[str, Any]


@dataclass(frozen=True)
class CommitmentRow:
    """One group.

    Attributes
    ----------
    title : str
    n, answered : int
        Puzzles, and those whose video gives an answer.
    at_once : Estimate
        The share of the answered whose answer is final in x0 of step 0.
    first, final : tuple of int, or None
        Quartiles of the step at which the answer is first readable, and at which it is final; None without answers.
        Lower values of ranks, so each is a step that was read.
    late : int
        Answered puzzles whose last x0 that was read still differs from the video.
    revised : Estimate
        The share of the answered for which another whole answer was read on the way.
    """

    title: str
    n: int
    answered: int
    at_once: Estimate
    first: tuple[int, int, int] | None
    final: tuple[int, int, int] | None
    late: int
    revised: Estimate


def commitment_rows(records: Sequence[Record], groups: Sequence[Group]) -> list[CommitmentRow]:
    """A row for each group."""
    return [_row(group.title, [record for record in records if record["group"] == group.name]) for group in groups]


def reached_by(records: Sequence[Record], group: Group, when: str) -> tuple[list[int], list[float], int]:
    """The steps that were read, the share of answered puzzles that are there by each, and how many are answered.

    ``when`` is ``first`` (first readable) or ``final``; without answers the shares are NaN.
    """
    chosen = [record for record in records if record["group"] == group.name]
    answered = [record for record in chosen if _final(record)[0] is not None]
    read = [int(step) for step in chosen[0]["read"]] if chosen else []
    steps = [_step(record, first_readable if when == "first" else commitment) for record in answered]
    reached = [sum(step is not None and step <= at for step in steps) for at in read]
    return read, [count / len(answered) if answered else float("nan") for count in reached], len(answered)


def _row(title: str, records: Sequence[Record]) -> CommitmentRow:
    answered = [record for record in records if _final(record)[0] is not None]
    first, final = ([_step(record, what) for record in answered] for what in (first_readable, commitment))
    return CommitmentRow(
        title=title,
        n=len(records),
        answered=len(answered),
        at_once=share([step == 0 for step in final]),
        first=_quartiles([step for step in first if step is not None]),
        final=_quartiles([step for step in final if step is not None]),
        late=sum(step is None for step in final),
        revised=share([_revised(record) for record in answered]),
    )


def _final(record: Record) -> Reading:
    return record["final"]["answer"], bool(record["final"]["solved"])


def _step(record: Record, when: Any) -> int | None:
    """The step at which it happens, by the number of the step rather than of the reading."""
    place = when([(x0["answer"], bool(x0["solved"])) for x0 in record["x0"]], _final(record))
    return None if place is None else int(record["read"][place])


def _revised(record: Record) -> bool:
    return any(x0["answer"] not in (None, record["final"]["answer"]) for x0 in record["x0"])


def _quartiles(steps: Sequence[int]) -> tuple[int, int, int] | None:
    if not steps:
        return None
    low, middle, high = (int(np.quantile(steps, q, method="lower")) for q in (0.25, 0.5, 0.75))
    return low, middle, high

"""Time alternatives against each other on a machine that does not keep still.

All alternatives take turns in every round, and only ratios inside a round count: a machine that is slow for a minute
is slow for all of them. A pair can be kept together, base and target side by side at both ends of every round, in
both orders, so that a drift cancels. What is reported is the median of the ratios and the range of their middle half.
Besides the clock there is the time of all processors together, which other programs disturb less, and which also counts
what threads beside the model did.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, quantiles
from typing import Any

__all__ = [
    "Action",
    "After",
    "Round",
    "Spread",
    "Visit",
    "figures",
    "ratios",
    "run_rounds",
    "spread",
    "summary",
    "timed",
]


@dataclass(frozen=True)
class Visit:
    """One run of one alternative.

    Attributes
    ----------
    name : str
    clock : float
        Seconds.
    processor : float
        Seconds of all processors together.
    facts : mapping of str to float
        What else the alternative says of its run.
    """

    name: str
    clock: float
    processor: float
    facts: Mapping[str, float]

    def value(self, what: str) -> float:
        """Clock, processor, or one of the facts."""
        return float(self.facts[what]) if what in self.facts else float(getattr(self, what))


Round = Sequence[Visit]
After = Callable[[], Mapping[str, float]]
Action = Callable[[], After | None]
"""Does what is timed, and returns what is done when the clock has stopped: checks, clearing up, further facts."""


@dataclass(frozen=True)
class Spread:
    """Median and middle half of some figures."""

    median: float
    lower: float
    upper: float
    count: int

    def as_json(self) -> dict[str, float]:
        """Plain data, in four digits."""
        return {name: float(f"{value:.4g}") for name, value in asdict(self).items()}


def spread(figures: Sequence[float]) -> Spread:
    """Median and quartiles.

    Examples
    --------
    >>> spread([1.0, 2.0, 3.0])
    Spread(median=2.0, lower=1.5, upper=2.5, count=3)
    """
    if len(figures) == 1:
        return Spread(figures[0], figures[0], figures[0], 1)
    lower, middle, upper = quantiles(figures, n=4, method="inclusive")
    return Spread(middle, lower, upper, len(figures))


def timed(name: str, action: Action) -> Visit:
    """Run an alternative once; what lies about of the one before is collected first."""
    gc.collect()
    clock, processor = time.perf_counter(), time.process_time()
    after = action()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return Visit(name, clock, processor, after() if after else {})


def run_rounds(
    actions: Mapping[str, Action],
    seconds: float,
    at_least: int = 3,
    at_most: int = 40,
    paired: bool = True,
    warm_up: bool = True,
) -> list[Round]:
    """Rounds of all alternatives until the time is used up.

    Parameters
    ----------
    actions : mapping of str to callable
        The first is the base; with ``paired`` the second is the target that runs beside it at both ends.
    seconds : float
        No round begins that is not expected to end in time, beyond ``at_least``.
    at_least, at_most : int
        Rounds.
    paired, warm_up : bool

    Returns
    -------
    list of Round
    """
    for name, action in actions.items():  # the first run of anything is slow, and is not counted
        if warm_up:
            timed(name, action)
    start, rounds = time.perf_counter(), list[Round]()
    while len(rounds) < at_most:
        spent = time.perf_counter() - start
        if len(rounds) >= at_least and spent * (1 + 1 / len(rounds)) > seconds:
            break
        rounds.append([timed(name, actions[name]) for name in _order(list(actions), len(rounds), paired)])
    return rounds


def _order(names: list[str], number: int, paired: bool) -> list[str]:
    """Base, target, the others, target, base; where the others begin goes round, and so does their direction."""
    ends, others = (names[:2], names[2:]) if paired else ([], names)
    turned = others[number % len(others) :] + others[: number % len(others)] if others else []
    middle = turned if number % 2 == 0 else turned[::-1]
    return [*ends, *middle, *ends[::-1]]


def ratios(rounds: Sequence[Round], base: str, name: str, what: str = "clock") -> list[float]:
    """How many times as long as the base: in pairs if both ran as often, else against the mean of the base's runs.

    Examples
    --------
    >>> ratios([[Visit("plain", 2.0, 2.0, {}), Visit("energy", 3.0, 3.0, {})]], "plain", "energy")
    [1.5]
    """
    found: list[float] = []
    for visits in rounds:
        bases = [visit.value(what) for visit in visits if visit.name == base]
        mine = [visit.value(what) for visit in visits if visit.name == name]
        if len(mine) != len(bases):
            bases = [mean(bases)] * len(mine)
        found += [one / other for one, other in zip(mine, bases, strict=True)]
    return found


def figures(rounds: Sequence[Round], name: str, what: str) -> list[float]:
    """One figure of every run of an alternative."""
    return [visit.value(what) for visits in rounds for visit in visits if visit.name == name]


def summary(rounds: Sequence[Round], base: str, name: str, whats: Sequence[str]) -> dict[str, Any]:
    """Of one alternative: its ratios to the base, and its seconds."""
    return {
        "name": name,
        "ratio": {what: spread(ratios(rounds, base, name, what)).as_json() for what in whats},
        "seconds": {what: spread(figures(rounds, name, what)).as_json() for what in whats},
    }

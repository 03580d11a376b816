"""The table of a benchmark: a row a task and variant, and Overall, In-Domain and Out-of-Domain below, with intervals.

In the three summaries every row weighs the same, however many puzzles it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from dit_lens.bench.intervals import LEVEL, RESAMPLES, SEED, Interval, Scores, mean_interval
from dit_lens.bench.results import Result
from dit_lens.puzzles.registry import TASKS

__all__ = ["Row", "Table", "make_table"]

_METHOD = (
    "percentiles of means of puzzles, each with its seeds, under random weights, with one unseen puzzle of score 0 for "
    "the lower and of score 1 for the upper end (Gaffke); rows weigh the same in a summary and do not vary; exact "
    "(Clopper-Pearson) where all scores are 0 or all are 1"
)
_COLUMNS = ("task", "variant", "split", "n", "solved", "score", "floor")


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes
    ----------
    task, variant : str
        Of a summary its name, and nothing.
    split : str or None
    puzzles, seeds, runs : int
        As many runs as puzzles times seeds, unless some are missing.
    solved, score : Interval or None
        None where there is no such verdict.
    do_nothing : float or None
        What a video scores in which nothing happens; known of puzzles alone.
    """

    task: str
    variant: str
    split: str | None
    puzzles: int
    seeds: int
    runs: int
    solved: Interval | None
    score: Interval | None
    do_nothing: float | None = None

    def cells(self) -> tuple[str, ...]:
        """What is shown of it."""
        count = f"{self.puzzles} x {self.seeds}" if self.seeds > 1 else str(self.puzzles)
        if self.runs != self.puzzles * self.seeds:
            count = f"{self.puzzles}, {self.runs} runs"
        shown = ["" if value is None else str(value) for value in (self.solved, self.score)]
        floor = "" if self.do_nothing is None else f"{self.do_nothing:.3f}"
        return (self.task, self.variant, self.split or "", count, *shown, floor)


@dataclass(frozen=True)
class Table:
    """Rows and summaries; made by ``make_table``."""

    rows: tuple[Row, ...]
    summary: tuple[Row, ...]
    level: float
    resamples: int
    seed: int

    def text(self) -> str:
        """Aligned columns, and what the intervals are.

        Examples
        --------
        >>> from dit_lens.bench import Result
        >>> results = [Result(question=f"In-Domain/maze-plain/{i:05d}", task="maze", variant="plain", index=i,
        ...                   split="in-domain", label="maze", seed=0, overall=i / 3, solved=i == 3) for i in range(4)]
        >>> print(make_table(results).text())
        task       variant  split      n  solved                score                 floor
        maze       plain    in-domain  4  0.250 [0.006, 0.810]  0.500 [0.108, 0.881]  0.100
        Overall                        4  0.250 [0.006, 0.810]  0.500 [0.108, 0.881]
        In-Domain                      4  0.250 [0.006, 0.810]  0.500 [0.108, 0.881]
        <BLANKLINE>
        95 % intervals over puzzles and seeds; rows weigh the same in the summaries; floor: nothing happens
        """
        lines = [_COLUMNS, *(row.cells() for row in (*self.rows, *self.summary))]
        shown = [number for number in range(len(_COLUMNS)) if any(line[number] for line in lines[1:])]
        widths = {number: max(len(line[number]) for line in lines) for number in shown}
        right = (_COLUMNS.index("n"), _COLUMNS.index("floor"))
        table = [
            "  ".join(
                line[number].rjust(widths[number]) if number in right else line[number].ljust(widths[number])
                for number in shown
            ).rstrip()
            for line in lines
        ]
        below = f"{self.level * 100:g} % intervals over puzzles and seeds; rows weigh the same in the summaries"
        if _COLUMNS.index("floor") in shown:
            below += "; floor: nothing happens"
        return "\n".join([*table, "", below])

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from dit_lens_stores.html import card, table

        lines = [row.cells() for row in (*self.rows, *self.summary)]
        return card("bench", f"{len(self.rows)} rows", table(_COLUMNS, lines), plain=self.text())

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; an end that is not known is null."""
        return {
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "method": _METHOD,
            "rows": [_plain(row) for row in self.rows],
            "summary": {row.task: _plain(row) for row in self.summary},
        }


def make_table(
    results: Iterable[Result], *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED
) -> Table:
    """Make the table of results, those aside that nothing has scored.

    Parameters
    ----------
    results : iterable of Result
        In any order: it changes nothing.
    level : float
        Of the intervals.
    resamples, seed : int
        How many random weights, and from where.

    Returns
    -------
    Table
    """
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        if result.overall is not None:
            groups.setdefault((result.task, result.variant, result.split or ""), []).append(result)
    groups = dict(sorted(groups.items(), key=_place))
    interval = partial(mean_interval, level=level, resamples=resamples, seed=seed)
    rows = tuple(_row(*key, [group], interval) for key, group in groups.items())
    parts = {
        "Overall": list(groups),
        "In-Domain": _of(groups, "in-domain"),
        "Out-of-Domain": _of(groups, "out-of-domain"),
    }
    summary = tuple(_row(name, "", "", [groups[key] for key in keys], interval) for name, keys in parts.items() if keys)
    return Table(rows, summary, level, resamples, seed)


def _place(group: tuple[tuple[str, str, str], object]) -> tuple[int, int, tuple[str, str, str]]:
    """Tasks and variants of puzzles as they are listed; others by name, behind them."""
    (task, variant, _), _ = group
    if task not in TASKS or variant not in TASKS[task].variants:
        return len(TASKS), 0, group[0]
    return list(TASKS).index(task), list(TASKS[task].variants).index(variant), group[0]


def _of(groups: Mapping[tuple[str, str, str], object], split: str) -> list[tuple[str, str, str]]:
    return [key for key in groups if key[2] == split]


def _row(task: str, variant: str, split: str, groups: Sequence[Sequence[Result]], interval: partial[Interval]) -> Row:
    solved = all(result.solved is not None for group in groups for result in group)
    floors = TASKS[task].do_nothing if task in TASKS else {}
    return Row(
        task=task,
        variant=variant,
        split=split or None,
        puzzles=sum(len({result.question for result in group}) for group in groups),
        seeds=len({result.seed for group in groups for result in group}),
        runs=sum(map(len, groups)),
        solved=interval([_matrix(group, "solved") for group in groups]) if solved else None,
        score=interval([_matrix(group, "overall") for group in groups]),
        do_nothing=floors.get(variant),
    )


def _matrix(group: Sequence[Result], name: str) -> Scores:
    """Shape (P, S): a row a question, a column a seed, NaN where there is none."""
    puzzles = {question: row for row, question in enumerate(dict.fromkeys(result.question for result in group))}
    seeds = {seed: column for column, seed in enumerate(sorted({result.seed for result in group}))}
    table = np.full((len(puzzles), len(seeds)), np.nan)
    for result in group:
        table[puzzles[result.question], seeds[result.seed]] = getattr(result, name)
    return table


def _plain(row: Row) -> dict[str, Any]:
    found = asdict(row)
    for name in ("solved", "score"):
        value = getattr(row, name)
        if value is not None and not value.known:
            found[name] = {"mean": value.mean, "low": None, "high": None}
    return found

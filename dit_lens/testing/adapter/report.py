"""What a check of an adapter found: one row a check, in words that say what was seen and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from dit_lens.testing.errors import AdapterFailed

__all__ = ["AdapterCheck", "AdapterReport", "Broken", "Moot"]

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class AdapterCheck:
    """One row.

    Attributes
    ----------
    name : str
    outcome : {"passed", "failed", "skipped"}
    seen : str
        What was seen, or why there was nothing to see.
    remedy : str
        What to change; empty unless it failed.
    """

    name: str
    outcome: Outcome
    seen: str
    remedy: str = ""


@dataclass(frozen=True, repr=False)
class AdapterReport:
    """All rows of one check of an adapter.

    Attributes
    ----------
    pipeline, family : str
    request : str
        What was generated, in a few words.
    checks : tuple of AdapterCheck

    Examples
    --------
    >>> rows = (AdapterCheck("experts", "passed", "transformer"), AdapterCheck("layers", "failed", "none", "name them"))
    >>> report = AdapterReport("WanPipeline", "wan", "2 steps of 64 x 96 x 9", rows)
    >>> report.passed, [row.name for row in report.failed]
    (False, ['layers'])
    >>> print(report)
    wan with WanPipeline, 2 steps of 64 x 96 x 9: 1 passed, 1 failed, 0 skipped
    passed   experts  transformer
    failed   layers   none; name them
    """

    pipeline: str
    family: str
    request: str
    checks: tuple[AdapterCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[AdapterCheck, ...]:
        """The rows that failed."""
        return tuple(row for row in self.checks if row.outcome == "failed")

    def require(self) -> None:
        """Raise if anything failed.

        Raises
        ------
        AdapterFailed
            Naming every row that failed, in one line.
        """
        if self.passed:
            return
        rows = "; ".join(f"{row.name} ({row.seen}; {row.remedy})" for row in self.failed)
        raise AdapterFailed(
            f"the adapter '{self.family}' does not fit {self.pipeline}; got {len(self.failed)} of {len(self.checks)} "
            f"checks failed, allowed 0: {rows}"
        )

    def __getitem__(self, name: str) -> AdapterCheck:
        """The row of a name."""
        return next(row for row in self.checks if row.name == name)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {
            "pipeline": self.pipeline,
            "family": self.family,
            "request": self.request,
            "passed": self.passed,
            "checks": [asdict(row) for row in self.checks],
        }

    def __str__(self) -> str:
        counts = ((outcome, sum(row.outcome == outcome for row in self.checks)) for outcome in _OUTCOMES)
        head = f"{self.family} with {self.pipeline}, {self.request}: " + ", ".join(f"{n} {name}" for name, n in counts)
        width = max((len(row.name) for row in self.checks), default=0)
        said = ((row, "; ".join(filter(None, (row.seen, row.remedy)))) for row in self.checks)
        rows = (f"{row.outcome:8} {row.name:{width}}  {words}" for row, words in said)
        return "\n".join([head, *rows])

    __repr__ = __str__


_OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "skipped")


class Moot(Exception):
    """A check cannot be made, for the reason that it says."""


class Broken(Exception):
    """A check failed.

    Attributes
    ----------
    seen, remedy : str
    """

    def __init__(self, seen: str, remedy: str) -> None:
        super().__init__(seen)
        self.seen, self.remedy = seen, remedy

"""How far a piece of work is at one moment, as words for people and as an event for a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Kind", "Outcome", "Piece", "State", "Unit"]

Unit = Literal["steps", "runs", "units", "bytes"]
"""What is counted."""
Kind = Literal["begin", "advance", "end"]
"""What an event tells."""
Outcome = Literal["complete", "failed", "interrupted"]
"""How work ended."""


@dataclass(frozen=True)
class Piece:
    """A named part of the work, such as one trace of many."""

    name: str
    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.name} ({self.number} of {self.count})" if self.count > 1 else self.name


@dataclass(frozen=True)
class State:
    """Counts, and what follows from them.

    Attributes
    ----------
    work : str
        What is done.
    unit : Unit
    done, total : int
    piece : Piece or None
    bytes : int or None
        What a model gave to its traces so far, before compression.
    waited : float or None
        Seconds that the model waited for the writer.
    seconds : float
        Since the work began.
    rate, left : float or None
        Counts a second, and seconds left; None as long as nobody can know.

    Examples
    --------
    >>> state = State("trace", "steps", 47, 320, Piece("maze-0", 3, 16), 12_300_000, 0.0, 20.0, 2.4, 113.0)
    >>> print(state.line)
    trace maze-0 (3 of 16): 47 of 320 steps, 12.3 MB, 2.4 steps/s, 1:53 left, waited 0.0 s
    """

    work: str
    unit: Unit
    done: int
    total: int
    piece: Piece | None
    bytes: int | None
    waited: float | None
    seconds: float
    rate: float | None
    left: float | None

    @property
    def title(self) -> str:
        """What is done, in words."""
        return f"{self.work} {self.piece}" if self.piece else self.work

    @property
    def line(self) -> str:
        """All of it on one line."""
        return f"{self.title}: {', '.join(self.facts.values())}"

    @property
    def facts(self) -> dict[str, str]:
        """The numbers in words, by name, in the order in which they are read; only those that are known."""
        told = {
            "count": _counted(self.done, self.total, self.unit),
            "bytes": None if self.bytes is None else _size(self.bytes),
            "rate": None if self.rate is None else _speed(self.rate, self.unit),
            "left": None if self.left is None else f"{_time(self.left)} left",
            "waited": None if self.waited is None else f"waited {self.waited:.1f} s",
        }
        return {name: words for name, words in told.items() if words is not None}

    def event(self, kind: Kind, outcome: Outcome | None = None) -> dict[str, Any]:
        """As a program reads it; what is not known is null.

        Examples
        --------
        >>> State("pull a.zarr", "bytes", 5, 10, None, None, None, 1.0, 5.0, 1.0).event("begin")["left"]
        1.0
        """
        piece = self.piece
        return {
            "event": kind,
            **({} if outcome is None else {"outcome": outcome}),
            "work": self.work,
            "piece": None if piece is None else piece.name,
            "piece_number": None if piece is None else piece.number,
            "pieces": None if piece is None else piece.count,
            "unit": self.unit,
            "done": self.done,
            "total": self.total,
            "bytes": self.done if self.unit == "bytes" else self.bytes,
            "seconds": round(self.seconds, 3),
            "rate": None if self.rate is None else round(self.rate, 6),
            "left": None if self.left is None else round(self.left, 3),
            "waited": None if self.waited is None else round(self.waited, 3),
        }


def _counted(done: int, total: int, unit: Unit) -> str:
    return f"{_size(done)} of {_size(total)}" if unit == "bytes" else f"{done} of {total} {unit}"


def _speed(rate: float, unit: Unit) -> str:
    if unit == "bytes":
        return f"{_size(round(rate))}/s"
    return f"{rate:.1f} {unit}/s" if rate >= 1 else f"{1 / rate:.1f} s a {unit.removesuffix('s')}"


def _size(size: int) -> str:
    from dit_lens.engine.disk import format_size

    return format_size(size)


def _time(seconds: float) -> str:
    """``1:53``, or ``2:01:53`` beyond an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

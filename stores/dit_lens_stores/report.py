"""What a check of a store found: bad addresses, each with its file, and what is merely not finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dit_lens_stores.errors import Damaged

__all__ = ["Problem", "Report"]

_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    what : str
    trace, array : str
        Empty where it is about the store or the trace as a whole.
    event : mapping of str to int or str
        The labels of the event, such as branch, step and layer; empty where all of the array is meant.
    file : str
        Path inside the store.

    Examples
    --------
    >>> print(Problem("a crc32c that does not fit", "t0", "x", {"step": 3, "layer": 2}, "t0/x/c/3/0"))
    t0/x[step=3, layer=2]: a crc32c that does not fit, in 't0/x/c/3/0'
    """

    what: str
    trace: str = ""
    array: str = ""
    event: Mapping[str, int | str] = field(default_factory=dict)
    file: str = ""

    @property
    def address(self) -> str:
        """Trace, array and labels in one word."""
        inside = ", ".join(f"{dim}={label}" for dim, label in self.event.items())
        return "/".join(filter(None, (self.trace, self.array))) + (f"[{inside}]" if inside else "")

    def __str__(self) -> str:
        where = f", in '{self.file}'" if self.file else ""
        return f"{self.address or 'the store'}: {self.what}{where}"

    def as_json(self) -> dict[str, Any]:
        """The problem as JSON.

        Examples
        --------
        >>> Problem("no group", "t0").as_json()["trace"]
        't0'
        """
        return {
            "trace": self.trace,
            "array": self.array,
            "event": dict(self.event),
            "file": self.file,
            "what": self.what,
        }


@dataclass(frozen=True)
class Report:
    """What `dit_lens_stores.verify` found.

    Attributes
    ----------
    store : str
    traces, files, events, bytes : int
        How much was checked: bytes of values as they are stored.
    problems : tuple of Problem
    unfinished : tuple of str
        Traces that are not complete; what is done of them was checked.
    leftovers : tuple of str
        Files that are no part of the store, as paths inside it; a run that was killed leaves some.
    sums : int
        How many files were compared with a list of hashes that lies in the store.

    Examples
    --------
    >>> Report("a.zarr").ok
    True
    """

    store: str
    traces: int = 0
    files: int = 0
    events: int = 0
    bytes: int = 0
    problems: tuple[Problem, ...] = ()
    unfinished: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    sums: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def require(self) -> None:
        """Raise if anything is wrong.

        Raises
        ------
        Damaged
            Naming the first few problems.

        Examples
        --------
        >>> Report("a.zarr", problems=(Problem("no group", "t0"),)).require()
        Traceback (most recent call last):
        ...
        dit_lens_stores.errors.Damaged: verify found 1 problem in 'a.zarr'; got t0: no group, allowed none; trace it ...
        """
        if self.problems:
            count = len(self.problems)
            shown = "; ".join(str(problem) for problem in self.problems[:_SHOWN])
            more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
            raise Damaged(
                f"verify found {count} problem{'s' if count > 1 else ''} in '{self.store}'; got {shown}{more}, allowed "
                f"none; trace it again, or copy the files again"
            )

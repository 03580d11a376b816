"""Bytes: how many a trace would take, how many it may take, and how many the disk has left.

A plan counts bytes before compression, so what it promises is never exceeded. A run is refused before it starts if the
plan passes the budget or the free space. While it goes on, a ``DiskGuard`` keeps a reserve: what is still in memory
must have room, and the store must be able to mark the trace as not complete, so the run ends while the disk can still
be written. Quotas and other writers can fill a disk between two looks; an error of the system that says so becomes
the same ``DiskFull``.
"""

from __future__ import annotations

import errno
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from dit_lens.engine.errors import BadSize, DiskFull, DiskTooSmall, OverBudget
from dit_lens_stores import ArraySpec
from dit_lens_stores.errors import close_match

__all__ = [
    "LOOK_BYTES",
    "RESERVE_BYTES",
    "DiskGuard",
    "check_free",
    "format_size",
    "free_bytes",
    "naming_full_disk",
    "parse_size",
    "planned_bytes",
    "read_budget",
    "refuse_over_budget",
    "taken_bytes",
]

RESERVE_BYTES = 128 * 2**20
"""Kept free while a run is recorded."""
LOOK_BYTES = 64 * 2**20
"""Written at most between two looks at the disk."""

_UNITS = {"B": 1} | {f"{letter}B": 1000**power for power, letter in enumerate("kMGTP", 1)}
_BINARY = {f"{letter}iB": 1024**power for power, letter in enumerate("KMGTP", 1)}
_SIZE = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z]*)\s*")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def parse_size(text: str) -> int:
    """Read a number of bytes.

    Parameters
    ----------
    text : str
        A number and a unit, in any case: kB, MB, GB, TB, PB count in thousands, KiB, MiB, GiB, TiB, PiB in 1024s; a
        number alone counts bytes. Fractions of a byte are cut off.

    Returns
    -------
    int

    Raises
    ------
    BadSize
        If it cannot be read.

    Examples
    --------
    >>> parse_size("20GB"), parse_size("1.5 KiB"), parse_size("300")
    (20000000000, 1536, 300)
    """
    units = {unit.lower(): factor for unit, factor in (_UNITS | _BINARY).items()}
    match = _SIZE.fullmatch(text)
    unit = (match[2] or "B").lower() if match else ""
    if match is None or unit not in units:
        number = match[1] if match else ""
        meant = number and close_match(number + unit.upper(), [number + other for other in _UNITS | _BINARY])
        allowed = f"a number with one of {', '.join(_UNITS | _BINARY)}"
        raise BadSize(f"a size cannot be read; got {text!r}, allowed {allowed}{meant or '; write it as 20GB'}")
    return int(Fraction(match[1]) * units[unit])


def read_budget(budget: Any) -> int | None:
    """Bytes that a run may take: a whole number, or a text as in ``parse_size``; None sets no bound.

    Raises
    ------
    BadSize
        If it is neither.

    Examples
    --------
    >>> read_budget("20GB"), read_budget(300), read_budget(None)
    (20000000000, 300, None)
    """
    if budget is None or isinstance(budget, str):
        return None if budget is None else parse_size(budget)
    whole = isinstance(budget, Integral) and not isinstance(budget, bool)
    if not (whole and budget >= 0):
        raise BadSize(f"a budget cannot be read; got {budget!r}, allowed bytes from 0 up or a text; write it as '20GB'")
    return int(budget)


def format_size(size: int) -> str:
    """A number of bytes for people, in three digits.

    Examples
    --------
    >>> format_size(999), format_size(1_310_000_000_000), format_size(999_999)
    ('999 B', '1.31 TB', '1 MB')
    """
    for unit, factor in _UNITS.items():
        if unit == "PB" or float(f"{size / factor:.3g}") < 1000:
            break
    return f"{size / factor:.3g} {unit}" if size / factor < 1000 else f"{size / factor:,.0f} {unit}"


def planned_bytes(specs: Iterable[ArraySpec]) -> int:
    """Bytes of all values of some arrays before compression.

    Parameters
    ----------
    specs : iterable of ArraySpec

    Returns
    -------
    int

    Examples
    --------
    >>> planned_bytes([ArraySpec("x", ("step", "frame"), {"step": (0, 1), "frame": (0, 1, 2)}, ("step",))])
    24
    """
    return sum(
        np.dtype(spec.stored_dtype).itemsize * math.prod(len(spec.labels[dim]) for dim in spec.dims) for spec in specs
    )


def refuse_over_budget(planned: int, budget: int | None) -> None:
    """Refuse a plan that is larger than it may be.

    Parameters
    ----------
    planned : int
        Bytes.
    budget : int, optional
        Bytes; without one everything is allowed.

    Raises
    ------
    OverBudget

    Examples
    --------
    >>> refuse_over_budget(1_310_000_000_000, parse_size("20GB"))
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.OverBudget: the plan is over its budget; got 1.31 TB before compression, allowed 20 GB; ...
    """
    if budget is not None and planned > budget:
        got, allowed = _apart(planned, budget)
        raise OverBudget(
            f"the plan is over its budget; got {got} before compression, allowed {allowed}; "
            f"record a reduction, fewer steps or fewer layers, or raise the budget"
        )


def free_bytes(path: Path) -> int:
    """Bytes that may still be written on the disk of a path, which need not exist yet.

    Examples
    --------
    >>> free_bytes(getfixture("tmp_path") / "not" / "yet") > 0
    True
    """
    there = Path(path).absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def taken_bytes(folders: Iterable[Path]) -> int:
    """Bytes that unfinished traces take already, and will not take again when they are resumed.

    Examples
    --------
    >>> taken_bytes([getfixture("tmp_path") / "not-yet"])
    0
    """
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def check_free(path: str | Path, planned: int, free: Callable[[Path], int] = free_bytes) -> None:
    """Refuse a plan for which the disk has no room.

    Parameters
    ----------
    path : str or pathlib.Path
        Where the store is, or will be.
    planned : int
        Bytes still to be written.
    free : callable, optional
        Tells the free bytes of a path's disk.

    Raises
    ------
    DiskTooSmall

    Examples
    --------
    >>> check_free("a.zarr", 2_000_000, free=lambda path: 1_000_000)
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.DiskTooSmall: the plan does not fit on the disk of 'a.zarr'; got 1 MB free, allowed 2 MB...
    """
    left = free(Path(path))
    if left < planned:
        got, allowed = _apart(left, planned)
        raise DiskTooSmall(
            f"the plan does not fit on the disk of '{path}'; got {got} free, allowed {allowed} or more (before "
            f"compression); free some space, record less, or write to another disk"
        )


@dataclass(frozen=True)
class DiskGuard:
    """Ends a run before its disk is full.

    Parameters
    ----------
    path : pathlib.Path
        Where the store is.
    reserve_bytes : int
        Must be free at every look; more than ``every_bytes``, or the disk can fill up between two.
    every_bytes : int
        How much is written between two looks.
    free : callable, optional
        Tells the free bytes of a path's disk.

    Examples
    --------
    >>> DiskGuard(getfixture("tmp_path"), reserve_bytes=1).check()
    """

    path: Path
    reserve_bytes: int = RESERVE_BYTES
    every_bytes: int = LOOK_BYTES
    free: Callable[[Path], int] = free_bytes

    def check(self, pending: int = 0) -> None:
        """Look at the disk.

        Parameters
        ----------
        pending : int
            Bytes in memory that must still be written.

        Raises
        ------
        DiskFull
            If less is free than the reserve and what is pending.
        """
        left, needed = self.free(self.path), self.reserve_bytes + pending
        if left < needed:
            got, allowed = _apart(left, needed)
            raise _full(
                f"recording stopped before the disk of '{self.path}' was full", f"{got} free", f"{allowed} or more"
            )


@contextmanager
def naming_full_disk(path: Path | None = None) -> Iterator[None]:
    """Raise ``DiskFull`` in place of the system's own error if a disk, a quota or a file may not grow.

    Parameters
    ----------
    path : pathlib.Path, optional
        Where the store is; taken from the error if not given.

    Examples
    --------
    >>> with naming_full_disk():
    ...     raise OSError(errno.ENOSPC, "No space left on device", "a.zarr")
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.DiskFull: recording found no room on the disk of 'a.zarr'; got 'No space left on device', ...
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, DiskFull) or error.errno not in _NO_ROOM:
            raise
        where = path or error.filename or "the store"
        raise _full(f"recording found no room on the disk of '{where}'", f"'{error.strerror}'", "a write") from error


def _full(what: str, got: str, allowed: str) -> DiskFull:
    return DiskFull(
        f"{what}; got {got}, allowed {allowed}; what is recorded stays readable: make room, and the same command "
        f"resumes"
    )


def _apart(one: int, other: int) -> tuple[str, str]:
    """Two sizes in words, to the byte if they would read the same."""
    words = format_size(one), format_size(other)
    return words if words[0] != words[1] else (f"{one:,} B", f"{other:,} B")

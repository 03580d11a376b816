"""How much is measured: every number of puzzles is an option of the command, and is written beside what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dit_lens.generation import GUIDANCE

__all__ = ["QUICK", "Job", "Record", "Settings"]

Record = dict[str, Any]
"""What was found of one puzzle, as JSON values."""
Job = Callable[[], list[Record]]
"""A piece of the work that another process can be sent."""


@dataclass(frozen=True)
class Settings:
    """What the command was asked to measure.

    Attributes
    ----------
    n : int
        Puzzles of each group whose every step is read.
    steps : int
        Denoising steps.
    reads : int
        Steps at which x0 is decoded and read, the first and the last among them.
    guidance : float
    forks, forks_of_three : int
        Forks with two and with three routes that are drawn from many seeds.
    seeds : int
        Seeds of each of them.
    swaps : int
        Puzzles of each kind that are drawn under two prompts.
    maps : int
        Puzzles of each kind whose energy is recorded.
    sweep : int
        Puzzles of each group in the sweeps over steps and frames; at most ``n``.
    fewer_steps, fewer_frames : tuple of int
        What the sweeps try besides ``steps`` and all frames.
    """

    n: int = 12
    steps: int = 20
    reads: int = 10
    guidance: float = GUIDANCE
    forks: int = 4
    forks_of_three: int = 2
    seeds: int = 12
    swaps: int = 8
    maps: int = 3
    sweep: int = 8
    fewer_steps: tuple[int, ...] = (1, 2, 4, 8)
    fewer_frames: tuple[int, ...] = (5, 9, 13)


QUICK = Settings(
    n=2,
    steps=4,
    reads=3,
    forks=1,
    forks_of_three=1,
    seeds=3,
    swaps=1,
    maps=1,
    sweep=2,
    fewer_steps=(1,),
    fewer_frames=(5,),
)
"""Tries everything, and measures nothing worth quoting."""

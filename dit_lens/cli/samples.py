"""Samples: what a model is asked to continue, a first frame and a prompt, from a puzzle or from the user's own picture.

A *unit* is one sample with one seed: one generation, one trace. Its trace id is made from the two, so that the same
command names the same traces again and can leave out those that are complete.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dit_lens.cli.failures import BadOption

if TYPE_CHECKING:
    from PIL.Image import Image

    from dit_lens.puzzles import Puzzle

__all__ = ["Sample", "Task", "Unit", "picture_sample", "puzzle_sample", "units_of"]

Task = Literal["maze", "fork", "grounding", "occlusion"]  # those of puzzles.TASKS, without importing them for --help
_USUAL_SIZE = 5


@dataclass(frozen=True)
class Sample:
    """A first frame and a prompt; ``puzzle`` is what is behind them, when there is one and an answer can be scored."""

    name: str
    prompt: str
    image: Image | None
    puzzle: Puzzle | None = None


@dataclass(frozen=True)
class Unit:
    """One sample with one seed; ``suffix`` ends the name of a trace that is not that of a plain run."""

    sample: Sample
    seed: int
    suffix: str = ""

    @property
    def trace_id(self) -> str:
        """The name of its trace in a store."""
        return f"{self.sample.name}-seed-{self.seed}{self.suffix}"


def puzzle_sample(task: Task, index: int, variant: str | None = None, size: int | None = None) -> Sample:
    """Return puzzle number ``index`` of those that no training of tiny-wan has seen.

    Where there are sizes and none is given it is 5 x 5, or the smallest of a variant that has no such puzzles.

    Examples
    --------
    >>> puzzle_sample("fork", 0).name, puzzle_sample("maze", 3, "long").name
    ('fork-5x5-0', 'maze-long-6x6-3')
    """
    from PIL import Image

    from dit_lens.puzzles import TASKS, unseen

    sizes = TASKS[task].sizes.get(variant or TASKS[task].default, ())
    if size is None and sizes:
        size = _USUAL_SIZE if _USUAL_SIZE in sizes else sizes[0]
    puzzle = unseen(task, index, variant, size)
    return Sample(f"{puzzle.label}-{index}", puzzle.prompt, Image.fromarray(puzzle.first_frame()), puzzle)


def picture_sample(path: Path | None, prompt: str) -> Sample:
    """Return the user's own first frame and prompt; without a picture, the prompt alone."""
    from PIL import Image

    if path is None:
        return Sample(_slug(prompt), prompt, None)
    try:
        with Image.open(path) as opened:
            return Sample(_slug(path.stem), prompt, opened.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "not a picture that can be read"
        if isinstance(error, Image.DecompressionBombError):
            reason = "more pixels than a picture may have"
        raise BadOption(
            f"--image cannot be used; got '{path}' ({reason}), allowed a PNG, JPEG or WebP file; check the path"
        ) from error


def units_of(samples: Sequence[Sample], seeds: Sequence[int], suffix: str = "") -> tuple[Unit, ...]:
    """Return every sample with every seed.

    Examples
    --------
    >>> [unit.trace_id for unit in units_of([puzzle_sample("maze", 0, size=3)], [0, 7])]
    ['maze-3x3-0-seed-0', 'maze-3x3-0-seed-7']
    """
    return tuple(Unit(sample, seed, suffix) for sample in samples for seed in seeds)


def _slug(text: str) -> str:
    """A trace id may hold lower-case letters, digits, dot, dash and underscore."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-") or "sample"

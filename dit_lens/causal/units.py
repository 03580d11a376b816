"""The units of causal work: one question with one seed, measured as a whole and kept as a whole."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dit_lens.bench import Question

__all__ = ["Unit"]


@dataclass(frozen=True)
class Unit:
    """One question with one seed. Whatever is measured of it depends on it alone, so it may be measured again.

    Attributes
    ----------
    question : Question
    seed : int

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> Unit(puzzle_questions(["maze:plain"], n=1)[0], seed=3).name
    'in-domain-maze-plain-00000-seed-3-f3c79226'
    """

    question: Question
    seed: int

    @property
    def name(self) -> str:
        """A name for a file; it ends with a hash, because two names of questions may look alike in one."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.question.name.lower())[-60:].strip("-")
        return f"{plain}-seed-{self.seed}-{hashlib.sha256(self.question.name.encode()).hexdigest()[:8]}"

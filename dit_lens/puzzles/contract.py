"""What every puzzle gives: a first frame and a prompt, the whole answer as a clip, and a score by rule.

A *task* is a kind of puzzle; its *variants* are drawn from stated distributions, each in-domain (what the shipped
model was trained on) or out-of-domain (what it was not). A score has a strict verdict, partial credit by dimension,
and one number, the weighted mean of the dimensions. Each task states what a video scores in which nothing happens.

Shapes: F frames, H height, W width, 3 colours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from dit_lens.puzzles.canvas import Frame, Mask

__all__ = ["UNSEEN_SEEDS", "Puzzle", "Score", "Split", "Task"]

UNSEEN_SEEDS = 2**31
"""Training draws its puzzles from the seeds below this, evaluation from those from here on.

Other seeds are not always other puzzles: small ones can come up again, and the model's card counts those that did.
"""

Split = Literal["in-domain", "out-of-domain"]


@dataclass(frozen=True)
class Score:
    """What the rules read from one video.

    Attributes
    ----------
    solved : bool
        The whole answer is right and nothing else was touched.
    dimensions : mapping of str to float
        Partial credit, each from 0 to 1.
    overall : float
        Weighted mean of the dimensions, from 0 to 1.
    answer : str or None
        Which of the possible answers was given, right or not; None if it is none of them.

    Examples
    --------
    >>> Score.of({"mark": 1.0, "kept": 0.5}, {"mark": 0.8, "kept": 0.2}, solved=False, answer=None).overall
    0.9
    """

    solved: bool
    dimensions: Mapping[str, float]
    overall: float
    answer: str | None

    @classmethod
    def of(
        cls, dimensions: Mapping[str, float], weights: Mapping[str, float], solved: bool, answer: str | None
    ) -> Score:
        """A score whose one number is the mean of the dimensions under ``weights`` of the same names."""
        total = sum(weights[name] for name in dimensions)
        overall = sum(weights[name] * value for name, value in dimensions.items()) / total
        return cls(solved, dict(dimensions), round(overall, 12), answer)


class Puzzle(Protocol):
    """One puzzle: frozen, and decided by its task, variant, seed and size alone."""

    @property
    def task(self) -> str:
        """The kind of puzzle."""

    @property
    def variant(self) -> str:
        """Which of the task's distributions it was drawn from."""

    @property
    def seed(self) -> int:
        """The seed that made it."""

    @property
    def prompt(self) -> str:
        """The instruction that goes with the first frame."""

    @property
    def label(self) -> str:
        """Task, variant and size in lower-case words with dashes, such as ``maze-5x5``, to name traces with."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What made it and what is true of it, as JSON values; probes read labels from here."""

    @property
    def answer(self) -> str | None:
        """The right answer in the words of ``Score.answer``; None if several are."""

    def first_frame(self) -> Frame:
        """The picture that the model is given, uint8 (64, 64, 3)."""

    def clip(self) -> Frame:
        """The whole answer, uint8 (17, 64, 64, 3); its first frame is ``first_frame()``."""

    def masks(self) -> Mapping[str, Mask]:
        """Where things are, bool (17, 64, 64) each: by name, at least ``foreground`` (all that is not floor)."""

    def score(self, video: Frame, frame: int = -1) -> Score:
        """Read a decoded video, uint8 (F, 64, 64, 3); a drawn answer is read from one ``frame``.

        One that the rules cannot read is a ``BadPuzzle``, never a low score.
        """


@dataclass(frozen=True)
class Task:
    """A kind of puzzle and the distributions that it is drawn from.

    Attributes
    ----------
    name : str
    summary : str
        One line.
    variants : mapping of str to {"in-domain", "out-of-domain"}
        The first is the default.
    sizes : mapping of str to tuple of int
        Sizes of each variant that has sizes.
    weights : mapping of str to float
        What each dimension weighs in ``Score.overall``.
    do_nothing : mapping of str to float
        By variant, what the first frame repeated scores overall.
    make : callable
        ``make(seed, variant, size)``; a size of None is drawn from the seed.
    """

    name: str
    summary: str
    variants: Mapping[str, Split]
    sizes: Mapping[str, tuple[int, ...]]
    weights: Mapping[str, float]
    do_nothing: Mapping[str, float]
    make: Callable[[int, str, int | None], Puzzle]

    @property
    def default(self) -> str:
        """The variant that is meant when none is named."""
        return next(iter(self.variants))

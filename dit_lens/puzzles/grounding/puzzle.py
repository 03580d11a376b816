"""One grounding puzzle: a scene of coloured shapes, and which of them the prompt names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dit_lens.puzzles.canvas import FRAMES, Frame, Mask
from dit_lens.puzzles.contract import Score, Split
from dit_lens.puzzles.grounding.draw import draw_clip, draw_frame, mark_masks, place_mask, thing_mask
from dit_lens.puzzles.grounding.scene import HELD_OUT, Thing, shares_both
from dit_lens.puzzles.grounding.score import score_grounding

__all__ = ["VARIANTS", "GroundingPuzzle", "Kinship"]

VARIANTS: Mapping[str, Split] = {
    "plain": "in-domain",
    "pairs": "out-of-domain",
    "crowded": "out-of-domain",
    "shifted": "out-of-domain",
}


@dataclass(frozen=True)
class Kinship:
    """How a puzzle was made from another of the same variant and seed.

    Attributes
    ----------
    relation : {"swap_objects", "other_objects", "other_prompt"}
    seed : int or None
        What the relation drew from, if anything.
    target : int
        Which object the first puzzle named.
    of : Kinship or None
        How the first puzzle was made, if it was itself made from another.
    """

    relation: str
    seed: int | None
    target: int
    of: Kinship | None


@dataclass(frozen=True)
class GroundingPuzzle:
    """A scene and the object to mark.

    Attributes
    ----------
    variant : {"plain", "pairs", "crowded", "shifted"}
    seed : int
        The seed that made it (or, with ``kinship``, the puzzle that it was made from).
    things : tuple of Thing
        All objects; no two alike.
    target : int
        Index of the one that the prompt names.
    kinship : Kinship, optional

    Examples
    --------
    >>> from dit_lens.puzzles.grounding import make_grounding
    >>> puzzle = make_grounding(seed=0)
    >>> puzzle.prompt == f"Mark the {puzzle.answer}.", puzzle.score(puzzle.clip()).solved
    (True, True)
    """

    variant: str
    seed: int
    things: tuple[Thing, ...]
    target: int
    kinship: Kinship | None = None

    @property
    def task(self) -> str:
        """The kind of puzzle."""
        return "grounding"

    @property
    def named(self) -> Thing:
        """The object that the prompt names."""
        return self.things[self.target]

    @property
    def prompt(self) -> str:
        """The instruction that goes with the first frame."""
        return f"Mark the {self.named.name}."

    @property
    def answer(self) -> str:
        """Name of the object to mark."""
        return self.named.name

    @property
    def label(self) -> str:
        """``grounding``, with the variant if it is not the plain one."""
        return self.task if self.variant == "plain" else f"{self.task}-{self.variant}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The scene as JSON values; places are pixels (y, x) of upper left corners of 16 x 16 pixels."""
        pairs = tuple(thing.pair for thing in self.things)
        return {
            "task": self.task,
            "variant": self.variant,
            "split": VARIANTS[self.variant],
            "seed": self.seed,
            "objects": [{"colour": t.colour, "shape": t.shape, "place": list(t.place)} for t in self.things],
            "target": self.target,
            "needs_both_words": shares_both(self.named.pair, pairs),
            "held_out": self.named.pair in HELD_OUT,
            "pair": None if self.kinship is None else asdict(self.kinship),
        }

    def first_frame(self) -> Frame:
        """The scene without a mark, uint8 (64, 64, 3)."""
        return draw_frame(self.things)

    def clip(self) -> Frame:
        """The mark grows round the named object, uint8 (17, 64, 64, 3)."""
        return draw_clip(self.things, self.named.place)

    def masks(self) -> Mapping[str, Mask]:
        """Pixels of the objects, the target's place, the mark as far as it is drawn, and objects with mark."""
        objects_HW = np.logical_or.reduce([thing_mask(thing) for thing in self.things])
        objects, target = (
            np.repeat(mask_HW[None], FRAMES, axis=0) for mask_HW in (objects_HW, place_mask(self.named.place))
        )
        mark = mark_masks(self.named.place)
        return {"foreground": objects | mark, "objects": objects, "target": target, "mark": mark}

    def score(self, video: Frame, frame: int = -1) -> Score:
        """Read one frame of a decoded video, uint8 (F, 64, 64, 3)."""
        return score_grounding(video, self.things, self.target, frame)

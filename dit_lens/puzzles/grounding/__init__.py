"""Grounding: mark, among coloured shapes on a plain floor, the one that the prompt names."""

from dit_lens.puzzles.grounding.generate import GROUNDING, make_grounding
from dit_lens.puzzles.grounding.pairs import other_objects, other_prompt, swap_objects
from dit_lens.puzzles.grounding.puzzle import GroundingPuzzle, Kinship
from dit_lens.puzzles.grounding.scene import HELD_OUT, Thing

__all__ = [
    "GROUNDING",
    "HELD_OUT",
    "GroundingPuzzle",
    "Kinship",
    "Thing",
    "make_grounding",
    "other_objects",
    "other_prompt",
    "swap_objects",
]

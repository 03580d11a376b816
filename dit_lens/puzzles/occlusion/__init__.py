"""Occlusion: a ball moves behind a screen and must come out at the right place and time."""

from dit_lens.puzzles.occlusion.generate import HELD_OUT_LANES, Motion
from dit_lens.puzzles.occlusion.puzzle import OCCLUSION, Occlusion

__all__ = ["HELD_OUT_LANES", "OCCLUSION", "Motion", "Occlusion"]

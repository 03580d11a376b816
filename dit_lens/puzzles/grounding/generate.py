"""Make a grounding puzzle from a seed.

Which object is named is decided after the scene. In the plain and shifted variants every object is as likely, so the
scene alone says nothing about the answer. In the other two, which no model was trained on, it is one of the held-out
pairs, or one that only both words tell from the others.
"""

from __future__ import annotations

import numpy as np

from dit_lens.errors import close_match
from dit_lens.puzzles.contract import Task
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.grounding.puzzle import VARIANTS, GroundingPuzzle
from dit_lens.puzzles.grounding.scene import HELD_OUT, Pairs, Thing, choose_pairs, choose_places, shares_both
from dit_lens.puzzles.grounding.score import DO_NOTHING, WEIGHTS

__all__ = ["COUNTS", "GROUNDING", "make_grounding", "may_be_named"]

COUNTS = {"plain": (3, 4), "pairs": (4,), "crowded": (5, 6), "shifted": (3, 4)}
"""How many objects the scenes of each variant have."""
_STREAM = 0x67726F75  # keeps this task's draws apart from those of other tasks with the same seed


def make_grounding(seed: int, variant: str = "plain") -> GroundingPuzzle:
    """Make one puzzle, always the same for the same arguments.

    Parameters
    ----------
    seed : int
        Any non-negative integer.
    variant : {"plain", "pairs", "crowded", "shifted"}

    Returns
    -------
    GroundingPuzzle

    Raises
    ------
    BadPuzzle
        For a variant or seed that does not exist.

    Examples
    --------
    >>> puzzle = make_grounding(seed=1, variant="pairs")
    >>> puzzle.named.pair in HELD_OUT, len(puzzle.things)
    (True, 4)
    """
    if variant not in VARIANTS:
        raise BadPuzzle(
            f"unknown variant of grounding; got {variant!r}, allowed {', '.join(VARIANTS)}"
            f"{close_match(variant, VARIANTS)}"
        )
    if seed < 0:
        raise BadPuzzle(f"a puzzle seed is 0 or more; got {seed}; choose another")
    rng = np.random.default_rng([_STREAM, list(VARIANTS).index(variant), seed])
    count = int(rng.choice(COUNTS[variant]))
    pairs, places = choose_pairs(rng, variant, count), choose_places(rng, variant, count)
    target = int(rng.choice(may_be_named(variant, pairs)))
    things = tuple(Thing(*pair, place) for pair, place in zip(pairs, places, strict=True))
    return GroundingPuzzle(variant, seed, things, target)


def may_be_named(variant: str, pairs: Pairs) -> tuple[int, ...]:
    """Indices of the objects of a scene that a puzzle of the variant may ask for.

    Examples
    --------
    >>> may_be_named("plain", (("red", "circle"), ("red", "square"), ("blue", "circle")))
    (0, 1, 2)
    >>> may_be_named("crowded", (("red", "circle"), ("red", "square"), ("blue", "circle")))
    (0,)
    """
    if variant == "pairs":
        return tuple(i for i, pair in enumerate(pairs) if pair in HELD_OUT)
    if variant == "crowded":
        return tuple(i for i, pair in enumerate(pairs) if shares_both(pair, pairs))
    return tuple(range(len(pairs)))


def _make(seed: int, variant: str, size: int | None) -> GroundingPuzzle:
    if size is not None:
        raise BadPuzzle(f"a grounding puzzle has no sizes; got {size}, allowed none; leave the size out")
    return make_grounding(seed, variant)


GROUNDING = Task(
    name="grounding",
    summary="Mark, among coloured shapes, the one that the prompt names.",
    variants=VARIANTS,
    sizes={},
    weights=WEIGHTS,
    do_nothing=dict.fromkeys(VARIANTS, DO_NOTHING),
    make=_make,
)

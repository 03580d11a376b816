"""Puzzles made from another one, for experiments that carry activations from one run into another.

Each changes one thing and keeps the rest: the scene under the same prompt, the scene with the prompt, or the prompt
over the same scene. What is named stands elsewhere in all of them, so a mark tells which of two runs it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.grounding.generate import may_be_named
from dit_lens.puzzles.grounding.puzzle import VARIANTS, GroundingPuzzle, Kinship
from dit_lens.puzzles.grounding.scene import Thing, choose_pairs

__all__ = ["other_objects", "other_prompt", "swap_objects"]

_STREAMS = {"swap_objects": 0x73776170, "other_objects": 0x6F74686F}


def swap_objects(puzzle: GroundingPuzzle, seed: int) -> GroundingPuzzle:
    """The same objects, places and prompt, but every object stands at another one's place.

    Parameters
    ----------
    puzzle : GroundingPuzzle
    seed : int
        Decides who goes where; any non-negative integer.

    Returns
    -------
    GroundingPuzzle

    Examples
    --------
    >>> from dit_lens.puzzles.grounding import make_grounding
    >>> puzzle = make_grounding(seed=0)
    >>> other = swap_objects(puzzle, seed=0)
    >>> other.prompt == puzzle.prompt, other.named.place == puzzle.named.place
    (True, False)
    """
    rng = _stream("swap_objects", puzzle, seed)
    order = rng.permutation(len(puzzle.things))
    places = {int(a): puzzle.things[b].place for a, b in zip(order, np.roll(order, -1), strict=True)}
    things = tuple(replace(thing, place=places[i]) for i, thing in enumerate(puzzle.things))
    return _made_from(puzzle, "swap_objects", seed, things, puzzle.target)


def other_objects(puzzle: GroundingPuzzle, seed: int) -> GroundingPuzzle:
    """The same places, with as many other objects: none of the first scene's is there, and one elsewhere is named.

    Parameters
    ----------
    puzzle : GroundingPuzzle
    seed : int
        Decides the objects and which is named; any non-negative integer.

    Returns
    -------
    GroundingPuzzle

    Examples
    --------
    >>> from dit_lens.puzzles.grounding import make_grounding
    >>> puzzle = make_grounding(seed=0)
    >>> other = other_objects(puzzle, seed=0)
    >>> {t.name for t in other.things} & {t.name for t in puzzle.things}, other.target == puzzle.target
    (set(), False)
    """
    rng = _stream("other_objects", puzzle, seed)
    pairs = choose_pairs(rng, puzzle.variant, len(puzzle.things), without={thing.pair for thing in puzzle.things})
    named = [i for i in may_be_named(puzzle.variant, pairs) if i != puzzle.target]
    things = tuple(Thing(*pair, thing.place) for pair, thing in zip(pairs, puzzle.things, strict=True))
    return _made_from(puzzle, "other_objects", seed, things, int(rng.choice(named)))


def other_prompt(puzzle: GroundingPuzzle) -> GroundingPuzzle:
    """The same scene, to the pixel, under a prompt that names the next object which the variant may ask for.

    Parameters
    ----------
    puzzle : GroundingPuzzle

    Returns
    -------
    GroundingPuzzle

    Examples
    --------
    >>> from dit_lens.puzzles.grounding import make_grounding
    >>> puzzle = make_grounding(seed=0)
    >>> other = other_prompt(puzzle)
    >>> other.things == puzzle.things, other.prompt == puzzle.prompt
    (True, False)
    """
    named = may_be_named(puzzle.variant, tuple(thing.pair for thing in puzzle.things))
    following = named[(named.index(puzzle.target) + 1) % len(named)]
    return _made_from(puzzle, "other_prompt", None, puzzle.things, following)


def _stream(relation: str, puzzle: GroundingPuzzle, seed: int) -> np.random.Generator:
    if seed < 0:
        raise BadPuzzle(f"the seed of a pair of puzzles is 0 or more; got {seed}; choose another")
    return np.random.default_rng([_STREAMS[relation], list(VARIANTS).index(puzzle.variant), puzzle.seed, seed])


def _made_from(
    puzzle: GroundingPuzzle, relation: str, seed: int | None, things: Sequence[Thing], target: int
) -> GroundingPuzzle:
    kinship = Kinship(relation, seed, puzzle.target, puzzle.kinship)
    return replace(puzzle, things=tuple(things), target=target, kinship=kinship)

"""Whose activations are swapped: a question with its donor, and a stranger who is neither.

A donor differs from the question in one thing: its objects, its prompt, where its objects stand, or the noise that the
run starts from. All else is the same, the noise as well unless it is what differs, so that what a swap changes is due
to that one thing. The stranger starts from the donor's noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dit_lens.bench import Question
from dit_lens.bench.questions import questions_of
from dit_lens.causal import Unit
from dit_lens.probing import BadParams
from dit_lens.puzzles import GroundingPuzzle, other_objects, other_prompt, swap_objects
from dit_lens_probes.strangers import stranger

if TYPE_CHECKING:
    from dit_lens_probes.swap.params import SwapParams

__all__ = ["Pair", "pair_of"]


@dataclass(frozen=True)
class Pair:
    """Who swaps with whom.

    Attributes
    ----------
    own, donor, stranger : Unit
    """

    own: Unit
    donor: Unit
    stranger: Unit


def pair_of(unit: Unit, params: SwapParams) -> Pair:
    """The donor and the stranger of a unit.

    Raises
    ------
    BadParams
        If the question has no donor of that kind.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> from dit_lens_probes.swap.params import SwapParams
    >>> pair = pair_of(Unit(puzzle_questions(["grounding:plain"], n=1)[0], 0), SwapParams(donor="prompt"))
    >>> pair.donor.seed, pair.donor.question.prompt == pair.own.question.prompt
    (0, False)
    """
    seed = unit.seed + params.seed_shift if params.donor == "seed" else unit.seed
    donor = unit.question if params.donor == "seed" else _other(unit.question, params)
    return Pair(unit, Unit(donor, seed), Unit(stranger(unit.question), seed))


def _other(question: Question, params: SwapParams) -> Question:
    puzzle = question.puzzle
    if not isinstance(puzzle, GroundingPuzzle):
        raise BadParams(
            f"probe 'swap' makes no donor '{params.donor}' of '{question.name}'; got task {question.task}, allowed "
            f"grounding; ask grounding puzzles, or set swap.donor=seed"
        )
    if params.donor == "prompt":
        return questions_of([other_prompt(puzzle)])[0]
    make = {"objects": other_objects, "places": swap_objects}[params.donor]
    return questions_of([make(puzzle, params.pair_seed)])[0]

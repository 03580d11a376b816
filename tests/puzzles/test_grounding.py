"""Scenes, prompts and pairs of the grounding task: what each variant promises, for any seed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.puzzles.canvas import COLOURS, FRAMES, LAST_GROWING_FRAME
from dit_lens.puzzles.contract import Puzzle
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.grounding import (
    GROUNDING,
    HELD_OUT,
    GroundingPuzzle,
    make_grounding,
    other_objects,
    other_prompt,
    swap_objects,
)
from dit_lens.puzzles.grounding.draw import place_mask
from dit_lens.puzzles.grounding.generate import COUNTS
from dit_lens.puzzles.grounding.scene import OBJECT_COLOURS, Pairs, shares_both

SEEDS = st.integers(0, 2**32)
VARIANTS = st.sampled_from(list(GROUNDING.variants))


def pairs_of(puzzle: GroundingPuzzle) -> Pairs:
    return tuple(thing.pair for thing in puzzle.things)


def check(puzzle: GroundingPuzzle) -> None:
    """Everything that a variant promises of its puzzles."""
    pairs = pairs_of(puzzle)
    assert len(set(pairs)) == len(pairs)
    assert len(pairs) in COUNTS[puzzle.variant]
    assert np.sum([place_mask(thing.place) for thing in puzzle.things], axis=0).max() == 1
    assert all(place_mask(thing.place).sum() == 256 for thing in puzzle.things)
    assert {i % 8 for thing in puzzle.things for i in thing.place} == ({4} if puzzle.variant == "shifted" else {0})
    assert any(shares_both(pair, pairs) for pair in pairs)
    held_out = set(pairs) & set(HELD_OUT)
    assert len(held_out) == (2 if puzzle.variant == "pairs" else 0)
    assert (puzzle.named.pair in held_out) == (puzzle.variant == "pairs")
    if puzzle.variant in {"pairs", "crowded"} or len(pairs) == 4:
        assert puzzle.parameters["needs_both_words"]
    assert puzzle.score(puzzle.clip()).solved


@settings(max_examples=60, deadline=None)
@given(SEEDS, VARIANTS)
def test_every_puzzle_is_what_its_variant_says(seed: int, variant: str) -> None:
    puzzle = make_grounding(seed, variant)
    check(puzzle)
    assert puzzle == make_grounding(seed, variant) == GROUNDING.make(seed, variant, None)
    assert puzzle.prompt == f"Mark the {puzzle.answer}."


@settings(max_examples=60, deadline=None)
@given(SEEDS, VARIANTS, st.integers(0, 2**32))
def test_pairs_keep_what_they_say_and_change_the_rest(seed: int, variant: str, pair_seed: int) -> None:
    puzzle = make_grounding(seed, variant)
    places = [thing.place for thing in puzzle.things]

    swapped = swap_objects(puzzle, pair_seed)
    assert (swapped.prompt, pairs_of(swapped)) == (puzzle.prompt, pairs_of(puzzle))
    assert sorted(thing.place for thing in swapped.things) == sorted(places)
    assert all(a.place != b.place for a, b in zip(swapped.things, puzzle.things, strict=True))

    others = other_objects(puzzle, pair_seed)
    assert [thing.place for thing in others.things] == places
    assert not set(pairs_of(others)) & set(pairs_of(puzzle))
    assert others.named.place != puzzle.named.place

    prompted = other_prompt(puzzle)
    assert np.array_equal(prompted.first_frame(), puzzle.first_frame())
    assert prompted.prompt != puzzle.prompt

    for pair, again in (
        (swapped, swap_objects(puzzle, pair_seed)),
        (others, other_objects(puzzle, pair_seed)),
        (prompted, other_prompt(puzzle)),
    ):
        check(pair)
        assert pair == again
        assert (pair.variant, pair.seed, pair.label) == (puzzle.variant, puzzle.seed, puzzle.label)
        assert pair.score(puzzle.clip()).dimensions["target"] == 0


@settings(max_examples=20, deadline=None)
@given(SEEDS, VARIANTS)
def test_pairs_can_be_paired_again_and_say_so(seed: int, variant: str) -> None:
    puzzle = make_grounding(seed, variant)
    twice = swap_objects(other_objects(puzzle, 5), 6)
    check(twice)
    assert json.loads(json.dumps(twice.parameters)) == twice.parameters
    assert twice.parameters["pair"] == {
        "relation": "swap_objects",
        "seed": 6,
        "target": twice.target,
        "of": {"relation": "other_objects", "seed": 5, "target": puzzle.target, "of": None},
    }


def test_asking_for_each_object_in_turn_comes_back_to_the_first() -> None:
    puzzle = make_grounding(1, "crowded")
    asked = [puzzle.answer]
    while (puzzle := other_prompt(puzzle)).answer not in asked:
        asked.append(puzzle.answer)
    assert puzzle.answer == asked[0]
    assert len(asked) >= 4


def test_nothing_but_the_prompt_tells_the_target_and_colours_are_even() -> None:
    puzzles = [make_grounding(seed) for seed in range(2000)]
    hubs = [shares_both(p.named.pair, pairs_of(p)) for p in puzzles if len(p.things) == 3]
    assert abs(np.mean(hubs) - 1 / 3) < 0.06
    seen = Counter(thing.colour for p in puzzles for thing in p.things)
    assert all(abs(seen[colour] / seen.total() - 1 / 5) < 0.02 for colour in OBJECT_COLOURS)
    assert len({p.prompt for p in puzzles}) == 16


def test_the_mark_grows_clockwise_from_the_upper_left_corner() -> None:
    puzzle = make_grounding(0)
    y, x = puzzle.named.place
    mark = puzzle.masks()["mark"][:, y : y + 16, x : x + 16]
    sizes = mark.sum((1, 2))
    assert sizes[0] == 0
    assert (np.diff(sizes[: LAST_GROWING_FRAME + 1]) > 0).all()
    assert set(sizes[LAST_GROWING_FRAME:]) == {16 * 16 - 12 * 12}
    assert [mark[f, 0, 0] and mark[f, 0, -3] for f in (1, 3)] == [False, True]
    assert [bool(mark[f, -1, -1]) for f in (4, 7)] == [False, True]  # the lower right corner comes before
    assert [bool(mark[f, -1, 0]) for f in (7, 10)] == [False, True]  # the lower left one
    assert not mark[11, 2:, 0].all()
    assert not mark[:, 2:-2, 2:-2].any()


@settings(max_examples=20, deadline=None)
@given(SEEDS, VARIANTS)
def test_masks_are_what_the_clip_shows(seed: int, variant: str) -> None:
    puzzle = make_grounding(seed, variant)
    clip, masks = puzzle.clip(), puzzle.masks()
    assert all(mask.shape == (FRAMES, 64, 64) and mask.dtype == np.bool_ for mask in masks.values())
    assert np.array_equal(clip[0], puzzle.first_frame())
    assert np.array_equal(masks["foreground"], (clip != COLOURS["white"]).any(-1))
    assert np.array_equal(masks["mark"], (clip == COLOURS["black"]).all(-1))
    assert np.array_equal(masks["objects"], masks["foreground"] & ~masks["mark"])
    assert (masks["target"] >= masks["mark"]).all()
    assert (masks["target"].sum((1, 2)) == 256).all()


def test_a_puzzle_fits_the_contract() -> None:
    puzzle: Puzzle = make_grounding(0, "crowded")
    assert (puzzle.task, puzzle.variant, puzzle.label) == ("grounding", "crowded", "grounding-crowded")
    assert make_grounding(0).label == "grounding"
    assert puzzle.parameters["split"] == GROUNDING.variants["crowded"] == "out-of-domain"
    assert GROUNDING.default == "plain"
    assert len(HELD_OUT) == len(dict(HELD_OUT)) == len({shape for _, shape in HELD_OUT}) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: make_grounding(0, "crowd"),
            "unknown variant of grounding; got 'crowd', allowed plain, pairs, crowded, shifted",
        ),
        (lambda: make_grounding(-1), "a puzzle seed is 0 or more; got -1; choose another"),
        (
            lambda: GROUNDING.make(0, "plain", 4),
            "a grounding puzzle has no sizes; got 4, allowed none; leave the size out",
        ),
        (
            lambda: swap_objects(make_grounding(0), -2),
            "the seed of a pair of puzzles is 0 or more; got -2; choose another",
        ),
    ],
)
def test_errors_say_what_to_do(make: Callable[[], object], message: str) -> None:
    with pytest.raises(BadPuzzle) as caught:
        make()
    assert str(caught.value).startswith(message)

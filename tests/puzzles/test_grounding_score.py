"""The scorer of the grounding task: each fault is planted here and lowers the right dimension and only that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.puzzles.canvas import COLOURS, Frame
from dit_lens.puzzles.contract import Score
from dit_lens.puzzles.grounding import GROUNDING, GroundingPuzzle, make_grounding
from dit_lens.puzzles.grounding.draw import draw_frame, mark_masks, place_mask, thing_mask

SEEDS = st.integers(0, 2**32)
VARIANTS = st.sampled_from(list(GROUNDING.variants))
BLACK, WHITE = COLOURS["black"], COLOURS["white"]


def with_mark_at(puzzle: GroundingPuzzle, *places: tuple[int, int]) -> Frame:
    return draw_frame(puzzle.things, places)


def empty_place(puzzle: GroundingPuzzle) -> tuple[int, int]:
    """A place that no object's place touches."""
    taken = np.logical_or.reduce([place_mask(thing.place) for thing in puzzle.things])
    places = [(y, x) for y in range(49) for x in range(49)]
    return next(place for place in places if not (place_mask(place) & taken).any())


def wrong(puzzle: GroundingPuzzle) -> int:
    return (puzzle.target + 1) % len(puzzle.things)


def lowered(puzzle: GroundingPuzzle, frame: Frame) -> tuple[Score, set[str]]:
    score = puzzle.score(frame[None])
    assert not score.solved
    return score, {name for name, value in score.dimensions.items() if value < 1}


@pytest.fixture(params=["plain", "pairs", "shifted"])
def puzzle(request: pytest.FixtureRequest) -> GroundingPuzzle:
    def has_room(puzzle: GroundingPuzzle) -> bool:
        try:
            empty_place(puzzle)
        except StopIteration:
            return False
        return True

    return next(p for seed in range(50) if has_room(p := make_grounding(seed, request.param)))


@settings(max_examples=80, deadline=None)
@given(SEEDS, VARIANTS)
def test_ground_truth_is_perfect_and_doing_nothing_scores_what_is_stated(seed: int, variant: str) -> None:
    puzzle = make_grounding(seed, variant)
    truth = puzzle.score(puzzle.clip())
    assert (truth.solved, truth.answer, truth.overall) == (True, puzzle.answer, 1.0)
    assert dict(truth.dimensions) == dict.fromkeys(GROUNDING.weights, 1.0)
    still = puzzle.score(np.repeat(puzzle.first_frame()[None], 17, axis=0))
    assert (still.solved, still.answer, still.overall) == (False, None, GROUNDING.do_nothing[variant])
    assert still.overall <= 0.1
    assert dict(still.dimensions) == {"mark": 0, "target": 0, "only": 0, "kept": 1}


@settings(max_examples=40, deadline=None)
@given(SEEDS, VARIANTS)
def test_a_noisy_answer_is_still_solved(seed: int, variant: str) -> None:
    puzzle = make_grounding(seed, variant)
    noise = np.random.default_rng(seed).normal(0, 25, puzzle.clip().shape)
    video = np.clip(np.rint(puzzle.clip() + noise), 0, 255).astype(np.uint8)
    score = puzzle.score(video)
    assert (score.solved, score.answer) == (True, puzzle.answer)


def test_the_outline_round_the_wrong_object(puzzle: GroundingPuzzle) -> None:
    thing = puzzle.things[wrong(puzzle)]
    score, low = lowered(puzzle, with_mark_at(puzzle, thing.place))
    assert low == {"target"}
    assert (score.dimensions["target"], score.answer) == (0, thing.name)


def test_the_outline_in_an_empty_place(puzzle: GroundingPuzzle) -> None:
    score, low = lowered(puzzle, with_mark_at(puzzle, empty_place(puzzle)))
    assert low == {"target"}
    assert (score.dimensions["target"], score.answer) == (0, None)


def test_half_an_outline(puzzle: GroundingPuzzle) -> None:
    score, low = lowered(puzzle, puzzle.clip()[6])
    assert low == {"mark"}
    assert (score.dimensions["mark"], score.answer) == (0.5, None)


@pytest.mark.parametrize("elsewhere", ["object", "floor"])
def test_a_second_outline(puzzle: GroundingPuzzle, elsewhere: str) -> None:
    other = puzzle.things[wrong(puzzle)].place if elsewhere == "object" else empty_place(puzzle)
    score, low = lowered(puzzle, with_mark_at(puzzle, puzzle.named.place, other))
    assert low == {"only", "target"}, "it is paint outside of the first, and the target is named only in part"
    assert (score.dimensions["only"], score.dimensions["target"], score.answer) == (0.5, 0.5, None)


def test_who_marks_every_object_names_each_in_part(puzzle: GroundingPuzzle) -> None:
    score, low = lowered(puzzle, with_mark_at(puzzle, *(thing.place for thing in puzzle.things)))
    assert low == {"only", "target"}
    assert score.dimensions["target"] == pytest.approx(1 / len(puzzle.things))
    assert score.answer is None


@pytest.mark.parametrize("colour", [(255, 140, 140), (150, 150, 150)], ids=["pink", "grey"])
@pytest.mark.parametrize("part", [slice(0, 64), slice(0, 10)], ids=["all", "a part"])
def test_a_floor_that_is_not_white(puzzle: GroundingPuzzle, colour: tuple[int, int, int], part: slice) -> None:
    frame = with_mark_at(puzzle, puzzle.named.place)
    floor = (frame == 255).all(-1)
    floor[part.stop :] = False
    frame[floor] = colour
    score, low = lowered(puzzle, frame)
    assert low == {"kept"}
    assert score.answer == puzzle.answer


def test_a_scribble_beside_the_outline(puzzle: GroundingPuzzle) -> None:
    frame = with_mark_at(puzzle, puzzle.named.place)
    y, x = empty_place(puzzle)
    frame[y + 3 : y + 6, x : x + 14] = BLACK
    score, low = lowered(puzzle, frame)
    assert low == {"only"}
    assert score.dimensions["only"] == pytest.approx(112 / (112 + 42))
    assert score.answer == puzzle.answer


def test_a_scribble_instead_of_an_outline_earns_next_to_nothing(puzzle: GroundingPuzzle) -> None:
    frame = puzzle.first_frame()
    y, x = puzzle.named.place
    frame[y : y + 2, x : x + 9] = BLACK
    score = puzzle.score(frame[None])
    assert not score.solved
    assert score.answer is None
    assert score.dimensions["mark"] < 0.2
    assert (score.dimensions["target"], score.dimensions["only"], score.dimensions["kept"]) == (0, 0, 1)


def test_a_black_patch_is_no_outline(puzzle: GroundingPuzzle) -> None:
    for patch in (place_mask(empty_place(puzzle)), np.ones((64, 64), dtype=np.bool_)):
        frame = puzzle.first_frame()
        frame[patch] = BLACK
        score = puzzle.score(frame[None])
        assert score.dimensions["mark"] < 0.3
        assert (score.dimensions["target"], score.solved, score.answer) == (0, False, None)


def test_a_moved_object(puzzle: GroundingPuzzle) -> None:
    frame = with_mark_at(puzzle, puzzle.named.place)
    thing = puzzle.things[wrong(puzzle)]
    shape = np.argwhere(thing_mask(thing)) - thing.place
    frame[thing_mask(thing)] = WHITE
    frame[tuple((shape + empty_place(puzzle)).T)] = COLOURS[thing.colour]
    score, low = lowered(puzzle, frame)
    assert low == {"kept"}
    assert score.answer == puzzle.answer


@pytest.mark.parametrize("colour", ["white", "other"])
def test_a_recoloured_or_erased_object(puzzle: GroundingPuzzle, colour: str) -> None:
    frame = with_mark_at(puzzle, puzzle.named.place)
    thing = puzzle.things[wrong(puzzle)]
    frame[thing_mask(thing)] = COLOURS[{"other": "red" if thing.colour != "red" else "blue"}.get(colour, colour)]
    score, low = lowered(puzzle, frame)
    assert low == {"kept"}
    assert score.answer == puzzle.answer


def test_something_new_in_colour(puzzle: GroundingPuzzle) -> None:
    frame = with_mark_at(puzzle, puzzle.named.place)
    y, x = empty_place(puzzle)
    frame[y : y + 3, x : x + 3] = COLOURS["green"]
    assert lowered(puzzle, frame)[1] == {"kept"}


def test_an_outline_one_pixel_off_counts_and_three_do_not(puzzle: GroundingPuzzle) -> None:
    (y, x), down = puzzle.named.place, 1 if puzzle.named.place[0] < 40 else -1
    near = puzzle.score(with_mark_at(puzzle, (y + down, x))[None])
    assert (near.solved, near.answer) == (True, puzzle.answer)
    assert {name for name, value in near.dimensions.items() if value < 1} == {"target"}
    far, low = lowered(puzzle, with_mark_at(puzzle, (y + 3 * down, x)))
    assert {"target"} <= low <= {"target", "kept"}  # three pixels off, it covers pixels of the object
    assert far.answer is None


def test_an_object_under_the_paint_is_not_kept(puzzle: GroundingPuzzle) -> None:
    frame = with_mark_at(puzzle, puzzle.named.place)
    frame[thing_mask(puzzle.things[wrong(puzzle)])] = BLACK
    assert lowered(puzzle, frame)[1] == {"only", "kept"}


def test_the_mark_grows_with_the_frames_and_any_frame_can_be_read(puzzle: GroundingPuzzle) -> None:
    marks = [puzzle.score(puzzle.clip(), frame).dimensions["mark"] for frame in range(17)]
    drawn = mark_masks(puzzle.named.place).sum((1, 2)) / 112
    assert marks == pytest.approx(list(drawn), abs=0.05)
    assert puzzle.score(puzzle.clip(), 12).solved

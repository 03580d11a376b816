"""The occlusion puzzle: what is drawn from a seed, the prompt, the clip and its masks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dit_lens.tiny
from dit_lens.puzzles.canvas import COLOURS
from dit_lens.puzzles.contract import UNSEEN_SEEDS
from dit_lens.puzzles.occlusion import HELD_OUT_LANES, OCCLUSION, Occlusion
from dit_lens.puzzles.occlusion.draw import ball_area, rightward, turned
from dit_lens.puzzles.occlusion.generate import DIRECTIONS, SCREEN_WIDTHS, TRAINED_COLOURS

VARIANTS = list(OCCLUSION.variants)
SEEDS = st.one_of(st.integers(0, 2**20), st.integers(UNSEEN_SEEDS, UNSEEN_SEEDS + 2**20))


def _make(seed: int, variant: str = "plain") -> Occlusion:
    puzzle = OCCLUSION.make(seed, variant, None)
    assert isinstance(puzzle, Occlusion)
    return puzzle


@given(seed=SEEDS, variant=st.sampled_from(VARIANTS))
def test_the_ball_is_seen_then_hidden_then_seen_again(seed: int, variant: str) -> None:
    motion = _make(seed, variant).motion
    covered = [motion.covered(frame) for frame in range(17)]
    assert motion.screen[0] - (motion.start + 4) >= 1
    assert covered[0] == 0
    assert max(covered) == 8
    assert covered[-2:] == [0, 0]
    assert motion.centre(16) - 4 >= motion.screen[1]
    assert motion.centre(0) - 4 >= 4
    assert motion.centre(16) + 4 <= 60
    if variant != "wide":
        assert motion.centre(14) - 4 >= motion.screen[1]


@given(seed=SEEDS, variant=st.sampled_from(VARIANTS))
def test_a_variant_draws_from_its_own_colours_lanes_and_screens(seed: int, variant: str) -> None:
    motion = _make(seed, variant).motion
    narrowest, widest = SCREEN_WIDTHS["wide" if variant == "wide" else "plain"][motion.speed]
    assert narrowest <= motion.screen[1] - motion.screen[0] <= widest
    assert (motion.lane in HELD_OUT_LANES) == (variant == "lane")
    assert 8 <= motion.lane <= 56
    assert (motion.lane % 4, motion.start % 4, motion.screen[0] % 2, motion.screen[1] % 2) == (0, 0, 0, 0)
    assert (motion.colour == "yellow") == (variant == "yellow")
    assert motion.colour in COLOURS


def test_every_direction_speed_and_colour_comes_up() -> None:
    motions = [_make(seed).motion for seed in range(100)]
    assert {motion.direction for motion in motions} == set(DIRECTIONS)
    assert {motion.speed for motion in motions} == {2, 3}
    assert {motion.colour for motion in motions} == set(TRAINED_COLOURS)


def test_the_same_seed_makes_the_same_puzzle_and_another_variant_another() -> None:
    assert _make(5) == _make(5)
    assert _make(5).motion != _make(6).motion
    assert _make(5).motion != _make(5, "wide").motion


def test_prompts_are_short_and_made_of_known_words() -> None:
    words = set(Path(dit_lens.tiny.__file__).parent.joinpath("train", "words.txt").read_text().split())
    for seed in range(40):
        tokens = re.findall(r"\w+|[^\w\s]", _make(seed).prompt.lower())
        assert len(tokens) <= 15
        assert set(tokens) <= words


def test_the_prompt_names_direction_and_speed() -> None:
    puzzle = next(p for p in map(_make, range(100)) if (p.motion.direction, p.motion.speed) == ("up", 3))
    assert puzzle.prompt == "Move the ball up behind the screen by three."


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_ball_goes_where_the_prompt_says(direction: str) -> None:
    puzzle = next(p for p in map(_make, range(100)) if p.motion.direction == direction)
    ball = puzzle.masks()["ball"]
    first, last = (np.argwhere(ball[frame]).mean(0) for frame in (0, -1))
    axis, sign = {"right": (1, 1), "left": (1, -1), "down": (0, 1), "up": (0, -1)}[direction]
    assert (last - first)[axis] == sign * 16 * puzzle.motion.speed
    assert (last - first)[1 - axis] == 0
    assert first[1 - axis] + 0.5 == puzzle.motion.lane


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_turning_is_undone(direction: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert np.array_equal(rightward(turned(pixels, direction), direction), pixels)


@pytest.mark.parametrize("variant", VARIANTS)
def test_masks_say_what_is_drawn(variant: str) -> None:
    puzzle = _make(3, variant)
    clip, masks = puzzle.clip(), puzzle.masks()
    assert clip.shape == (17, 64, 64, 3)
    assert clip.dtype == np.uint8
    assert np.array_equal(clip[0], puzzle.first_frame())
    assert set(masks) == {"foreground", "ball", "ball_hidden", "screen"}
    for mask in masks.values():
        assert mask.shape == (17, 64, 64)
        assert mask.dtype == np.bool_
    assert np.array_equal(masks["foreground"], (clip != 255).any(-1))
    assert (clip[masks["ball"]] == COLOURS[puzzle.motion.colour]).all()
    assert (clip[masks["screen"]] == 0).all()
    assert ((masks["ball"] | masks["ball_hidden"]).sum((1, 2)) == ball_area()).all()


def test_parameters_are_json_and_sort_every_frame_by_what_is_seen() -> None:
    puzzle = _make(3)
    values = json.loads(json.dumps(dict(puzzle.parameters)))
    assert values == puzzle.parameters
    kinds = [values[name] for name in ("hidden_frames", "partly_visible_frames", "visible_frames")]
    assert sorted([*kinds[0], *kinds[1], *kinds[2]]) == list(range(17))
    seen = puzzle.masks()["ball"].sum((1, 2))
    assert [frame for frame in range(17) if not seen[frame]] == kinds[0]
    assert [frame for frame in range(17) if seen[frame] == ball_area()] == kinds[2]


def test_labels_and_split() -> None:
    assert [_make(0, variant).label for variant in VARIANTS] == [
        "occlusion", "occlusion-wide", "occlusion-yellow", "occlusion-lane"
    ]  # fmt: skip
    assert [_make(0, variant).parameters["split"] for variant in VARIANTS] == ["in-domain"] + ["out-of-domain"] * 3
    assert OCCLUSION.default == "plain"
    assert not OCCLUSION.sizes

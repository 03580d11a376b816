"""Scoring a motion: the truth is right, nothing is not, and every planted fault shows where it belongs and only there.

Places are (along, across) for motion to the right; faults are painted over the true picture and turned with it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from dit_lens.puzzles.canvas import COLOURS, Frame
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.occlusion import OCCLUSION, Motion, Occlusion
from dit_lens.puzzles.occlusion.draw import rightward, turned

VARIANTS = list(OCCLUSION.variants)
Place = tuple[float, float] | None
MADE = [OCCLUSION.make(seed, variant, None) for variant in VARIANTS for seed in range(3)]
PUZZLES = [puzzle for puzzle in MADE if isinstance(puzzle, Occlusion)]


def _each(puzzles: list[Occlusion]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("puzzle", puzzles, ids=lambda puzzle: f"{puzzle.variant}-{puzzle.seed}")


every_puzzle = _each(PUZZLES)


def _places(motion: Motion) -> list[Place]:
    return [(motion.centre(frame), motion.lane) for frame in range(17)]


def _paint(frame: Frame, place: Place, colour: str, radius: float = 4) -> None:
    if place is not None:
        across, along = np.ogrid[:64, :64]
        frame[(along + 0.5 - place[0]) ** 2 + (across + 0.5 - place[1]) ** 2 <= radius**2] = COLOURS[colour]


def _film(motion: Motion, places: list[Place], colour: str = "", before_screen: bool = False) -> Frame:
    """The true screen with the ball at ``places``, in ``colour`` beyond the screen."""
    video = np.full((17, 64, 64, 3), 255, dtype=np.uint8)
    screen = slice(*motion.screen)
    for frame, place in zip(video, places, strict=True):
        if before_screen:
            frame[:, screen] = 0
        beyond = place is not None and place[0] > sum(motion.screen) / 2
        _paint(frame, place, colour if colour and beyond else motion.colour)
        if not before_screen:
            frame[:, screen] = 0
    return turned(video, motion.direction)


def _hidden(motion: Motion) -> int:
    return motion.frames_with(8, 8)[0]


def _other(motion: Motion, pixels: int) -> int:
    """A lane that many pixels away, on the side of the picture with more room."""
    return motion.lane + (pixels if motion.lane < 32 else -pixels)


def _lowered(puzzle: Occlusion, video: Frame) -> set[str]:
    score = puzzle.score(video)
    lowered = {name for name, value in score.dimensions.items() if value < 1}
    borne = {"hidden": 0.8, "motion": 0.85, "identity": 0.85}  # a frame or two
    assert score.solved == all(score.dimensions[name] >= borne.get(name, 1) for name in lowered)
    assert all(0 <= value <= 1 for value in score.dimensions.values())
    return lowered


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_truth_is_solved_in_every_dimension(variant: str) -> None:
    for seed in range(60):
        puzzle = OCCLUSION.make(seed, variant, None)
        score = puzzle.score(puzzle.clip())
        assert score.solved
        assert set(score.dimensions.values()) == {1.0}
        assert score.overall == 1.0
        assert score.answer == puzzle.answer


@every_puzzle
def test_the_film_of_these_tests_draws_the_truth(puzzle: Occlusion) -> None:
    assert np.array_equal(_film(puzzle.motion, _places(puzzle.motion)), puzzle.clip())


@every_puzzle
def test_the_truth_is_solved_under_noise(puzzle: Occlusion) -> None:
    clip = puzzle.clip()
    noise = np.random.default_rng(puzzle.seed).normal(0, 25, clip.shape)
    assert puzzle.score(np.clip(clip + noise, 0, 255).astype(np.uint8)).solved


@every_puzzle
@pytest.mark.parametrize("spread", [(0, 0.9, 0.9, 0), (0.45, 0.5, 0.5, 0)], ids=["in space", "in time too"])
def test_the_truth_is_solved_under_blur(puzzle: Occlusion, spread: tuple[float, ...]) -> None:
    blurred = ndimage.gaussian_filter(puzzle.clip().astype(np.float64), spread)
    assert puzzle.score(blurred.round().astype(np.uint8)).solved


@every_puzzle
def test_a_ball_that_never_moves_is_worth_what_the_task_states(puzzle: Occlusion) -> None:
    score = puzzle.score(puzzle.clip()[[0] * 17])
    assert score.overall == OCCLUSION.do_nothing[puzzle.variant] <= 0.1
    still = {"identity": 1, "screen": 1, "kept": 1}
    assert score.dimensions == {"place": 0, "time": 0, "hidden": 0, "motion": 0, **still}
    assert not score.solved
    assert score.answer is None


@every_puzzle
def test_a_wrong_lane_is_a_wrong_place(puzzle: Occlusion) -> None:
    motion, places = puzzle.motion, _places(puzzle.motion)
    late = _hidden(motion)
    places[late:] = [(motion.centre(frame), _other(motion, 12)) for frame in range(late, 17)]
    assert _lowered(puzzle, _film(motion, places)) == {"place"}


@every_puzzle
def test_place_is_graded_by_distance(puzzle: Occlusion) -> None:
    motion, late = puzzle.motion, _hidden(puzzle.motion)
    values = []
    for off in (1, 3, 6, 20):
        places = _places(motion)
        places[late:] = [(motion.centre(frame), _other(motion, off)) for frame in range(late, 17)]
        values.append(puzzle.score(_film(motion, places)).dimensions["place"])
    assert values == [1.0, 0.75, 0.375, 0.0]


@_each([puzzle for puzzle in PUZZLES if puzzle.motion.covered(13) <= 4])
def test_three_frames_late_is_a_wrong_time_and_no_wrong_motion(puzzle: Occlusion) -> None:
    """Where the film would end with less than half of the ball out, nobody knows its place."""
    motion, hidden = puzzle.motion, _hidden(puzzle.motion)
    places = _places(motion)
    places[hidden:] = [(motion.centre(max(hidden, frame - 3)), motion.lane) for frame in range(hidden, 17)]
    video = _film(motion, places)
    assert _lowered(puzzle, video) == {"time"}
    assert puzzle.score(video).dimensions["time"] == 0.5


@every_puzzle
def test_one_frame_late_is_still_right(puzzle: Occlusion) -> None:
    motion, hidden = puzzle.motion, _hidden(puzzle.motion)
    places = _places(motion)
    places[hidden:] = [(motion.centre(max(hidden, frame - 1)), motion.lane) for frame in range(hidden, 17)]
    assert _lowered(puzzle, _film(motion, places)) == set()


@every_puzzle
def test_a_jump_for_one_frame_is_a_wrong_motion(puzzle: Occlusion) -> None:
    motion = puzzle.motion
    seen = motion.frames_with(0, 0)
    for frame in {seen[-2], next(frame for frame in seen if frame)}:
        places = _places(motion)
        places[frame] = (motion.centre(frame), _other(motion, 8))
        assert _lowered(puzzle, _film(motion, places)) == {"motion"}


@every_puzzle
def test_seen_through_the_screen_is_not_hidden(puzzle: Occlusion) -> None:
    video = _film(puzzle.motion, _places(puzzle.motion), before_screen=True)
    assert _lowered(puzzle, video) == {"hidden"}
    assert puzzle.score(video).dimensions["hidden"] < 0.5


@every_puzzle
def test_another_colour_after_the_screen_is_another_identity(puzzle: Occlusion) -> None:
    other = "green" if puzzle.motion.colour != "green" else "red"
    assert _lowered(puzzle, _film(puzzle.motion, _places(puzzle.motion), colour=other)) == {"identity"}


@every_puzzle
@pytest.mark.parametrize("end", [0, 16], ids=["before", "beyond"])
def test_a_second_ball_is_another_identity(puzzle: Occlusion, end: int) -> None:
    motion = puzzle.motion
    video = rightward(puzzle.clip(), motion.direction)
    for frame in video[1:]:
        _paint(frame, (motion.centre(end), _other(motion, 24)), motion.colour)
    video = turned(video, motion.direction)
    assert _lowered(puzzle, video) == ({"identity", "place"} if end else {"identity"}), "of two, each has half a place"
    assert puzzle.score(video).dimensions["place"] == (0.5 if end else 1)
    assert puzzle.score(video).answer == (None if end else "out")


@pytest.mark.parametrize("puzzle", [puzzle for puzzle in PUZZLES if puzzle.variant != "wide"])
@pytest.mark.parametrize("radius", [2.5, 6])
def test_another_size_is_another_identity(puzzle: Occlusion, radius: float) -> None:
    """Clear of the screen, where all of it can be seen: a wide screen leaves no room for that."""
    motion = puzzle.motion
    video = rightward(puzzle.clip(), motion.direction)
    clear = [frame for frame in range(17) if motion.centre(frame) - 6 > motion.screen[1] + 1]
    for frame in clear:
        beyond = video[frame, :, motion.screen[1] :]
        beyond[:] = 255
        _paint(video[frame], (motion.centre(frame), motion.lane), motion.colour, radius)
    assert _lowered(puzzle, turned(video, motion.direction)) == {"identity"}


@every_puzzle
def test_an_eaten_screen_is_a_wrong_screen(puzzle: Occlusion) -> None:
    motion = puzzle.motion
    video = rightward(puzzle.clip(), motion.direction)
    far_half = slice(44, 64) if motion.lane < 32 else slice(0, 20)
    video[4:, far_half, slice(*motion.screen)] = 255
    assert _lowered(puzzle, turned(video, motion.direction)) == {"screen"}


@every_puzzle
def test_a_moved_screen_is_a_wrong_screen(puzzle: Occlusion) -> None:
    """In the last frame, where it covers nothing of the ball: one that covers or bares the ball must change more."""
    motion = puzzle.motion
    video = rightward(puzzle.clip(), motion.direction)
    video[-1, :, slice(*motion.screen)] = 255
    video[-1, :, motion.screen[0] - 4 : motion.screen[1] - 4] = 0
    assert _lowered(puzzle, turned(video, motion.direction)) == {"screen"}


@every_puzzle
def test_more_black_is_a_wrong_screen(puzzle: Occlusion) -> None:
    motion = puzzle.motion
    video = rightward(puzzle.clip(), motion.direction)
    rows = slice(48, 64) if motion.lane < 32 else slice(0, 16)
    video[2:, rows] = 0
    assert _lowered(puzzle, turned(video, motion.direction)) == {"screen"}


@every_puzzle
def test_a_ball_that_never_comes_out_has_neither_place_nor_time(puzzle: Occlusion) -> None:
    """Both must fall: there is no ball whose place or time could be right."""
    motion, places = puzzle.motion, _places(puzzle.motion)
    places[_hidden(motion) :] = [None] * (17 - _hidden(motion))
    video = _film(motion, places)
    assert _lowered(puzzle, video) == {"place", "time"}
    score = puzzle.score(video)
    assert score.dimensions["place"] == score.dimensions["time"] == 0
    assert score.answer == "in"


@every_puzzle
def test_a_ball_that_vanishes_before_the_screen_did_not_go_in(puzzle: Occlusion) -> None:
    """It has no place and no time beyond the screen, it was not hidden by it, and half of its motion is missing."""
    places: list[Place] = [_places(puzzle.motion)[0]] + [None] * 16
    assert _lowered(puzzle, _film(puzzle.motion, places)) == {"place", "time", "hidden", "motion"}


@pytest.mark.parametrize("puzzle", [puzzle for puzzle in PUZZLES if puzzle.motion.speed == 2])
def test_a_ball_that_comes_out_ahead_of_itself_is_in_a_wrong_place(puzzle: Occlusion) -> None:
    """It is first seen when it should be, but 7 pixels farther on, and moves on from there."""
    motion, places = puzzle.motion, _places(puzzle.motion)
    out = next(frame for frame in range(17) if motion.centre(frame) + 4 > motion.screen[1])
    places[out:] = [(motion.centre(frame) + 7, motion.lane) for frame in range(out, 17)]
    assert _lowered(puzzle, _film(motion, places)) == {"place"}


@every_puzzle
def test_a_ball_that_stops_beyond_the_screen_has_no_motion_and_misses_its_end(puzzle: Occlusion) -> None:
    motion, places = puzzle.motion, _places(puzzle.motion)
    out = next(frame for frame in range(17) if motion.centre(frame) + 4 > motion.screen[1])
    places[out + 1 :] = [places[out]] * (16 - out)
    assert _lowered(puzzle, _film(motion, places)) == {"place", "motion"}


def test_half_the_speed_is_a_wrong_motion() -> None:
    puzzle = next(p for p in PUZZLES if p.motion.speed == 2 and p.motion.frames_with(0, 0)[3] == 3)
    motion, places = puzzle.motion, _places(puzzle.motion)
    places[:5] = [(motion.centre(4) - (4 - frame), motion.lane) for frame in range(5)]
    video = _film(motion, places)
    assert _lowered(puzzle, video) == {"motion"}
    assert not puzzle.score(video).solved


@every_puzzle
def test_a_drift_out_of_the_lane_is_seen_though_every_step_is_small(puzzle: Occlusion) -> None:
    """A pixel aside a frame, and back by a jump where nobody can see it."""
    motion, side = puzzle.motion, np.sign(_other(puzzle.motion, 1) - puzzle.motion.lane)
    hidden = _hidden(motion)
    before = [(motion.centre(f), motion.lane + side * f * (f < hidden)) for f in range(17)]
    assert {"motion"} <= _lowered(puzzle, _film(motion, list(before))) <= {"motion", "hidden"}
    out = next(frame for frame in range(17) if motion.centre(frame) + 4 > motion.screen[1])
    beyond = [(motion.centre(f), motion.lane + side * max(0, 14 - f) * (f >= out)) for f in range(17)]
    if 14 - out >= 3:
        assert "place" in _lowered(puzzle, _film(motion, list(beyond))), (
            "in its lane in the end, but not where it came out"
        )


@every_puzzle
@pytest.mark.parametrize("colour", [(255, 140, 140), (150, 150, 150)], ids=["pink", "grey"])
@pytest.mark.parametrize("part", [slice(0, 64), slice(0, 10)], ids=["all", "a square"])
def test_a_floor_that_is_not_white_is_not_kept(puzzle: Occlusion, colour: tuple[int, int, int], part: slice) -> None:
    video = puzzle.clip()
    floor = (video == 255).all(-1)
    floor[:, part.stop :] = floor[:, :, part.stop :] = False
    video[floor] = colour
    assert _lowered(puzzle, video) == {"kept"}


def test_frame_does_not_matter_but_must_be_there() -> None:
    puzzle = PUZZLES[0]
    assert puzzle.score(puzzle.clip(), frame=3) == puzzle.score(puzzle.clip())
    with pytest.raises(BadPuzzle, match="got frame 17, allowed -17 to 16"):
        puzzle.score(puzzle.clip(), frame=17)


@pytest.mark.parametrize("count", [1, 9, 21])
def test_another_number_of_frames_is_refused(count: int) -> None:
    with pytest.raises(BadPuzzle) as caught:
        PUZZLES[0].score(np.repeat(PUZZLES[0].clip()[:1], count, axis=0))
    assert str(caught.value) == (f"an occlusion is scored on 17 frames; got {count}, allowed 17; generate that many")


@pytest.mark.parametrize("make", [np.zeros_like, np.ones_like, lambda clip: np.full_like(clip, 255)])
def test_an_empty_picture_is_worth_next_to_nothing(make: Callable[[Frame], Frame]) -> None:
    score = PUZZLES[0].score(make(PUZZLES[0].clip()))
    assert score.overall <= 0.1
    assert not score.solved


def test_random_pixels_are_worth_next_to_nothing_and_no_answer() -> None:
    for puzzle in PUZZLES:
        rng = np.random.default_rng(puzzle.seed)
        score = puzzle.score(rng.integers(0, 256, (17, 64, 64, 3), dtype=np.uint8))
        assert not score.solved
        assert score.answer is None
        assert score.overall < 0.2


@every_puzzle
def test_only_a_ball_that_was_followed_out_is_out(puzzle: Occlusion) -> None:
    """A ball that goes in; beyond the screen are specks, a bar, or a ball for one frame."""
    motion, hidden = puzzle.motion, _hidden(puzzle.motion)
    film = rightward(_film(motion, [*_places(motion)[:hidden], *[None] * (17 - hidden)]), motion.direction)
    specks, bar, flash = film.copy(), film.copy(), film.copy()
    specks[9:, 30:32, 60:62] = bar[9:, :, 58:64] = COLOURS[motion.colour]
    _paint(flash[16], (motion.centre(16), motion.lane), motion.colour)
    for video in (specks, bar, flash):
        score = puzzle.score(turned(video, motion.direction))
        assert (score.answer, score.dimensions["place"], score.dimensions["time"]) == (None, 0, 0)

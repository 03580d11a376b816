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
every_puzzle = pytest.mark.parametrize("puzzle", PUZZLES, ids=lambda puzzle: f"{puzzle.variant}-{puzzle.seed}")


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
    assert score.solved == (not lowered)
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
    assert score.dimensions == {"place": 0, "time": 0, "hidden": 0, "motion": 0, "identity": 1, "screen": 1}
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


@every_puzzle
def test_three_frames_late_is_a_wrong_time_and_no_wrong_motion(puzzle: Occlusion) -> None:
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
    assert _lowered(puzzle, turned(video, motion.direction)) == {"identity"}


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
    assert _lowered(puzzle, _film(motion, places)) == {"motion"}


def test_frame_does_not_matter_and_a_short_video_is_held_at_its_end() -> None:
    puzzle = PUZZLES[0]
    assert puzzle.score(puzzle.clip(), frame=3) == puzzle.score(puzzle.clip())
    assert puzzle.score(puzzle.clip()[:1]) == puzzle.score(puzzle.clip()[[0] * 17])
    assert not puzzle.score(puzzle.clip()[:9]).solved


@pytest.mark.parametrize("make", [np.zeros_like, np.ones_like, lambda clip: np.full_like(clip, 255)])
def test_an_empty_picture_is_worth_next_to_nothing(make: Callable[[Frame], Frame]) -> None:
    score = PUZZLES[0].score(make(PUZZLES[0].clip()))
    assert score.overall <= 0.1
    assert not score.solved


def test_random_pixels_are_worth_next_to_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (17, 64, 64, 3), dtype=np.uint8)
    score = PUZZLES[0].score(pixels)
    assert not score.solved
    assert score.overall < 0.5


@pytest.mark.parametrize("shape", [(64, 64, 3), (0, 64, 64, 3), (17, 32, 64, 3)])
def test_a_video_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadPuzzle) as caught:
        PUZZLES[0].score(np.zeros(shape, dtype=np.uint8))
    assert str(caught.value) == (
        f"cannot read a video of an occlusion; got shape {shape}, allowed (frames, 64, 64, 3); "
        "give the decoded video of one generation"
    )

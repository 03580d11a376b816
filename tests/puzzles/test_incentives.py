"""No score rewards who does not know the answer for giving all of them, or for painting everything."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from dit_lens.puzzles import TASKS, GroundingPuzzle, Maze, Occlusion, Puzzle, unseen
from dit_lens.puzzles.canvas import COLOURS, Frame
from dit_lens.puzzles.grounding.draw import draw_frame as draw_scene
from dit_lens.puzzles.maze import draw_frame
from dit_lens.puzzles.occlusion.draw import turned

KINDS = [(task.name, variant) for task in TASKS.values() for variant in task.variants]
COUNT = 40


@cache
def puzzles(task: str, variant: str | None = None) -> list[Puzzle]:
    return [unseen(task, index, variant) for index in range(COUNT)]


def mean(scores: list[float]) -> float:
    return float(np.mean(scores))


def overlaid(maze: Maze, routes: list[tuple[tuple[int, int], ...]]) -> Frame:
    frame = draw_frame(maze)
    for route in routes:
        painted = draw_frame(maze, route)
        blue = (painted == COLOURS["blue"]).all(-1)
        frame[blue] = painted[blue]
    return frame[None]


@pytest.mark.parametrize("variant", TASKS["fork"].variants)
def test_painting_every_route_is_no_better_than_painting_one_at_random(variant: str) -> None:
    forks = [puzzle for puzzle in puzzles("fork", variant) if isinstance(puzzle, Maze)]
    every = [fork.score(overlaid(fork, list(fork.routes))) for fork in forks]
    one = [fork.score(draw_frame(fork, route)[None]).overall for fork in forks for route in fork.routes]
    assert mean([score.overall for score in every]) <= mean(one)
    assert {score.answer for score in every} == {None}
    assert {score.dimensions.get("choice", 0) for score in every} == {0}


@pytest.mark.parametrize("variant", TASKS["maze"].variants)
def test_painting_every_passage_is_no_better_than_a_walk_to_anywhere(variant: str) -> None:
    mazes = [puzzle for puzzle in puzzles("maze", variant) if isinstance(puzzle, Maze)]
    every = [maze.score(overlaid(maze, sorted(maze.passages))).overall for maze in mazes]
    walks = [maze.score(draw_frame(maze, walk)[None]).overall for maze in mazes for walk in _walks(maze)[::3]]
    assert mean(every) <= mean(walks)


def _walks(maze: Maze) -> list[tuple[tuple[int, int], ...]]:
    """The routes from the start to every cell that has no second way out."""
    beside: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a, b in maze.passages:
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    ends: list[tuple[tuple[int, int], ...]] = []
    walks: list[tuple[tuple[int, int], ...]] = [(maze.start,)]
    while walks:
        walk = walks.pop()
        further = [(*walk, cell) for cell in beside[walk[-1]] if cell not in walk]
        walks += further
        ends += [] if further else [walk]
    return ends


@pytest.mark.parametrize("variant", TASKS["grounding"].variants)
def test_marking_every_object_is_no_better_than_marking_one_at_random(variant: str) -> None:
    scenes = [puzzle for puzzle in puzzles("grounding", variant) if isinstance(puzzle, GroundingPuzzle)]
    places = {scene: [thing.place for thing in scene.things] for scene in scenes}
    every = [scene.score(draw_scene(scene.things, places[scene])[None]) for scene in scenes]
    one = [scene.score(draw_scene(scene.things, [place])[None]).overall for scene in scenes for place in places[scene]]
    assert mean([score.overall for score in every]) <= mean(one)
    assert {score.answer for score in every} == {None}


def with_balls(puzzle: Occlusion, lanes: list[int]) -> Frame:
    """The true motion up to the screen, and beyond it a ball in each of the lanes."""
    motion, pixel = puzzle.motion, np.arange(64) + 0.5
    video = np.full((17, 64, 64, 3), 255, dtype=np.uint8)
    for frame, picture in enumerate(video):
        before = motion.centre(frame) < sum(motion.screen) / 2
        for lane in [motion.lane] if before else lanes:
            across, along = pixel[:, None] - lane, pixel - motion.centre(frame)
            picture[across**2 + along**2 <= 16] = COLOURS[motion.colour]
    video[:, :, slice(*motion.screen)] = 0
    return turned(video, motion.direction)


@pytest.mark.parametrize("variant", TASKS["occlusion"].variants)
def test_a_ball_in_every_lane_is_no_better_than_one_in_any_lane(variant: str) -> None:
    clips = [puzzle for puzzle in puzzles("occlusion", variant) if isinstance(puzzle, Occlusion)]
    lanes = {clip: [clip.motion.lane % 20 + 20 * i for i in range(4)] for clip in clips}
    lanes = {clip: [lane for lane in some if 4 <= lane <= 60] for clip, some in lanes.items()}
    assert all(clip.motion.lane in lanes[clip] for clip in clips)
    every = [clip.score(with_balls(clip, lanes[clip])) for clip in clips]
    one = [clip.score(with_balls(clip, [lane])).overall for clip in clips for lane in lanes[clip]]
    assert mean([score.overall for score in every]) <= mean(one)
    assert {score.answer for score in every} == {None}


@pytest.mark.parametrize(
    ("task", "variant", "colour"),
    [
        *((task, variant, "blue") for task, variant in KINDS),
        *((task, None, colour) for task in TASKS for colour in COLOURS),
    ],
)
def test_a_picture_of_one_colour_is_no_answer_and_worth_no_more_than_doing_nothing(
    task: str, variant: str | None, colour: str
) -> None:
    video = np.full((17, 64, 64, 3), COLOURS[colour], dtype=np.uint8)
    scores = [puzzle.score(video) for puzzle in puzzles(task, variant)]
    assert max(score.overall for score in scores) <= TASKS[task].do_nothing[variant or TASKS[task].default] + 0.02
    assert {(score.answer, score.solved) for score in scores} == {(None, False)}
    assert max(score.dimensions.get("path", 0) for score in scores) < 0.1


@pytest.mark.parametrize(("task", "variant"), [kind for kind in KINDS if kind[0] in ("maze", "fork")])
def test_a_floor_that_is_all_blue_between_its_walls_is_worth_no_more_than_doing_nothing(
    task: str, variant: str
) -> None:
    scores = []
    for puzzle in puzzles(task, variant):
        frame = puzzle.first_frame()
        frame[(frame == 255).all(-1)] = COLOURS["blue"]
        scores.append(puzzle.score(frame[None]))
    assert mean([score.overall for score in scores]) <= TASKS[task].do_nothing[variant] + 0.02
    assert {(score.answer, score.solved) for score in scores} == {(None, False)}


def test_half_of_an_answer_is_still_worth_something() -> None:
    """What keeps paint that is everywhere from counting takes nothing from a route that stops."""
    for maze in puzzles("maze"):
        assert isinstance(maze, Maze)
        half = draw_frame(maze, maze.route[: len(maze.route) // 2 + 1])
        passages = list(pairwise(maze.route))
        assert maze.score(half[None]).dimensions["path"] == len(maze.route) // 2 / len(passages)

"""The scorer is strict: each way to be wrong is drawn here, lowers its own dimension alone, and is not solved."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.puzzles import Maze, Score, Task, make_puzzle
from dit_lens.puzzles.canvas import COLOURS, Frame
from dit_lens.puzzles.maze import FORK, MAZE, draw_clip, draw_frame, make_maze
from dit_lens.puzzles.maze.routes import Cell, Route

KINDS = [(task, variant) for task in (MAZE, FORK) for variant in task.variants]
FORKS = ["free", "three", "prompt", "cue"]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(KINDS))
def test_ground_truth_is_solved_and_doing_nothing_scores_what_is_stated(seed: int, kind: tuple[Task, str]) -> None:
    task, variant = kind
    puzzle = task.make(seed, variant, None)
    clip = puzzle.clip()
    truth, still = puzzle.score(clip), puzzle.score(np.repeat(clip[:1], 17, axis=0))
    assert (truth.solved, truth.overall, set(truth.dimensions.values())) == (True, 1.0, {1.0})
    assert truth.answer == puzzle.parameters["drawn"]
    assert (still.solved, still.answer, still.overall) == (False, None, task.do_nothing[variant])
    assert still.overall <= 0.1
    assert {name for name, value in still.dimensions.items() if value} == {"walls", "marks", "kept"}
    assert set(truth.dimensions) <= set(task.weights)


def fork_of(variant: str, seed: int = 2) -> Maze:
    puzzle = make_puzzle("fork", seed, variant, 6 if variant == "three" else 5)
    assert isinstance(puzzle, Maze)
    return puzzle


def lowered(maze: Maze, frame: Frame) -> tuple[set[str], Score]:
    """Which dimensions are not whole; the verdict follows from them."""
    score = maze.score(frame[None])
    low = {name for name, value in score.dimensions.items() if value < 1}
    assert score.solved == (not low)
    return low, score


def paint(frame: Frame, cell: Cell, colour: str, inset: int = 1) -> None:
    row, col = (i * 8 for i in cell)
    frame[row + inset : row + 8 - inset, col + inset : col + 8 - inset] = COLOURS[colour]


def line(frame: Frame, a: Cell, b: Cell, inset: int = 2) -> None:
    (y0, x0), (y1, x1) = min(a, b), max(a, b)
    frame[y0 * 8 + inset : y1 * 8 + 8 - inset, x0 * 8 + inset : x1 * 8 + 8 - inset] = COLOURS["blue"]


def wall(frame: Frame, a: Cell, b: Cell, colour: str) -> None:
    """The pixels on both sides of the border of two cells, without its corners."""
    (y0, x0), (y1, x1) = min(a, b), max(a, b)
    if y0 == y1:
        frame[y0 * 8 + 1 : y0 * 8 + 7, x1 * 8 - 1 : x1 * 8 + 1] = COLOURS[colour]
    else:
        frame[y1 * 8 - 1 : y1 * 8 + 1, x0 * 8 + 1 : x0 * 8 + 7] = COLOURS[colour]


def inner(maze: Maze) -> list[tuple[Cell, Cell]]:
    """All borders of two cells of the maze."""
    rows, cols = (range(first, first + maze.size) for first in maze.origin)
    cells = [(row, col) for row in rows for col in cols]
    return [(cell, other) for cell in cells for other in neighbours(cell) if other in cells and cell < other]


def neighbours(cell: Cell) -> list[Cell]:
    row, col = cell
    return [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]


def off_route(maze: Maze) -> list[Cell]:
    return sorted(
        {cell for border in inner(maze) for cell in border} - {cell for route in maze.routes for cell in route}
    )


def dead_ends(maze: Maze) -> list[tuple[Cell, Cell]]:
    """Passages from a cell of the route to one that is on none."""
    ways = [(a, b) for passage in sorted(maze.passages) for a, b in (passage, passage[::-1])]
    return [(a, b) for a, b in ways if a in maze.route[1:-1] and b in off_route(maze)]


def a_gap(frame: Frame, maze: Maze) -> None:
    a, b = list(pairwise(maze.route))[1]
    wall(frame, a, b, "white")


def an_empty_cell(frame: Frame, maze: Maze) -> None:
    paint(frame, maze.route[1], "white", inset=2)


def stops_short(frame: Frame, maze: Maze) -> None:
    frame[:] = draw_frame(maze, maze.route[:-1])


def through_a_wall(frame: Frame, maze: Maze) -> None:
    """A short cut between two cells of the route."""
    cut = [pair for pair in inner(maze) if set(pair) <= set(maze.route) and pair not in maze.passages]
    line(frame, *cut[0])
    for cell, colour in ((maze.start, "green"), (maze.goal, "red")):
        paint(frame, cell, colour)


def a_thin_short_cut(frame: Frame, maze: Maze) -> None:
    """A line of two pixels through the middle of a wall."""
    cut = [pair for pair in inner(maze) if set(pair) <= set(maze.route) and pair not in maze.passages]
    line(frame, *cut[0], inset=3)
    for cell, colour in ((maze.start, "green"), (maze.goal, "red")):
        paint(frame, cell, colour)


def a_dead_end(frame: Frame, maze: Maze) -> None:
    (a, b), *_ = dead_ends(maze)
    line(frame, a, b)


def a_second_route(frame: Frame, maze: Maze) -> None:
    for a, b in pairwise(maze.routes[maze.drawn - 1]):
        line(frame, a, b)
    for cell, colour in ((maze.start, "green"), (maze.goal, "red")):
        paint(frame, cell, colour)


def a_thin_second_route(frame: Frame, maze: Maze) -> None:
    """A line of two pixels."""
    for a, b in pairwise(maze.routes[maze.drawn - 1][1:-1]):
        line(frame, a, b, inset=3)


def blots(frame: Frame, maze: Maze) -> None:
    """Paint in every cell off the route."""
    for cell in off_route(maze):
        paint(frame, cell, "blue")


def a_removed_wall(frame: Frame, maze: Maze) -> None:
    wall(frame, *next(pair for pair in inner(maze) if pair not in maze.passages), "white")


def an_added_wall(frame: Frame, maze: Maze) -> None:
    wall(frame, *next(p for p in sorted(maze.passages) if not set(p) & set(maze.route)), "black")


def a_moved_wall(frame: Frame, maze: Maze) -> None:
    a_removed_wall(frame, maze)
    an_added_wall(frame, maze)


def no_walls(frame: Frame, maze: Maze) -> None:
    frame[np.all(frame == 0, axis=-1)] = COLOURS["white"]


def a_black_cell(frame: Frame, maze: Maze) -> None:
    paint(frame, off_route(maze)[0], "black")


def a_moved_goal(frame: Frame, maze: Maze) -> None:
    paint(frame, maze.goal, "white")
    paint(frame, off_route(maze)[0], "red")


def a_second_goal(frame: Frame, maze: Maze) -> None:
    paint(frame, off_route(maze)[0], "red")


def a_second_start(frame: Frame, maze: Maze) -> None:
    paint(frame, off_route(maze)[0], "green")


def goal_painted_over(frame: Frame, maze: Maze) -> None:
    paint(frame, maze.goal, "blue")


def turn_floor(frame: Frame, colour: tuple[int, int, int], part: slice = slice(None)) -> None:
    floor = (frame == 255).all(-1)
    floor[:, : part.start or 0] = False
    frame[floor] = colour


def a_yellow_floor(frame: Frame, maze: Maze) -> None:
    turn_floor(frame, COLOURS["yellow"])


def half_a_purple_floor(frame: Frame, maze: Maze) -> None:
    turn_floor(frame, COLOURS["purple"], slice(32, None))


def a_pink_floor(frame: Frame, maze: Maze) -> None:
    """Nearest to white of all colours of the canvas."""
    turn_floor(frame, (255, 140, 140))


def a_grey_floor(frame: Frame, maze: Maze) -> None:
    turn_floor(frame, (150, 150, 150))


def a_purple_cell(frame: Frame, maze: Maze) -> None:
    paint(frame, off_route(maze)[0], "purple")


def a_grey_cell(frame: Frame, maze: Maze) -> None:
    row, col = (i * 8 for i in off_route(maze)[0])
    frame[row + 1 : row + 7, col + 1 : col + 7] = 150


def another_cue(frame: Frame, maze: Maze) -> None:
    paint(frame, off_route(maze)[0], "yellow")


FAULTS: list[tuple[Callable[[Frame, Maze], None], str]] = [
    (a_gap, "path"),
    (an_empty_cell, "path"),
    (stops_short, "path"),
    (through_a_wall, "valid"),
    (a_thin_short_cut, "valid"),
    (a_dead_end, "single"),
    (a_second_route, "single"),
    (a_thin_second_route, "single"),
    (blots, "single"),
    (a_removed_wall, "walls"),
    (an_added_wall, "walls"),
    (a_moved_wall, "walls"),
    (no_walls, "walls"),
    (a_black_cell, "walls"),
    (a_moved_goal, "marks"),
    (a_second_goal, "marks"),
    (a_second_start, "marks"),
    (goal_painted_over, "marks"),
    (a_yellow_floor, "kept"),
    (half_a_purple_floor, "kept"),
    (a_pink_floor, "kept"),
    (a_grey_floor, "kept"),
    (a_purple_cell, "kept"),
    (a_grey_cell, "kept"),
    (another_cue, "kept"),
]


def suits(maze: Maze) -> bool:
    """A route of some length, with room for every fault beside it."""
    cut = [pair for pair in inner(maze) if set(pair) <= set(maze.route) and pair not in maze.passages]
    off = [p for p in maze.passages if not set(p) & set(maze.route)]
    return bool(cut and dead_ends(maze) and off and off_route(maze)) and len(maze.route) > 4


@cache
def suitable(variant: str) -> list[Maze]:
    found = (fork for seed in range(200) if suits(fork := fork_of(variant, seed)))
    return [next(found) for _ in range(3)]


@pytest.mark.parametrize("variant", FORKS)
@pytest.mark.parametrize(("spoil", "dimension"), FAULTS, ids=[spoil.__name__ for spoil, _ in FAULTS])
def test_a_fault_lowers_its_own_dimension_and_no_other(
    spoil: Callable[[Frame, Maze], None], dimension: str, variant: str
) -> None:
    """A second route where one is asked for is two faults: it is paint beside the route, and no choice."""
    for fork in suitable(variant):
        frame = draw_frame(fork, fork.route)
        assert lowered(fork, frame)[0] == set()
        spoil(frame, fork)
        low, score = lowered(fork, frame)
        assert low == {dimension} | ({"choice"} if spoil is a_second_route and fork.asked else set())
        assert score.overall < 1


@pytest.mark.parametrize("variant", ["prompt", "cue"])
def test_the_wrong_route_lowers_the_choice_alone_and_is_named(variant: str) -> None:
    for seed in range(5):
        fork = fork_of(variant, seed)
        low, score = lowered(fork, draw_frame(fork, fork.routes[1 - fork.drawn]))
        assert low == {"choice"}
        assert (score.dimensions["choice"], score.overall) == (0.0, 0.5)
        assert score.answer == f"route-{1 - fork.drawn}" != fork.answer


def test_a_cue_that_is_gone_or_moved_is_not_kept() -> None:
    for fork in suitable("cue"):
        assert fork.cue is not None
        for spoil in ("gone", "moved"):
            for route in ((), fork.route):
                frame = draw_frame(fork, route)
                frame[(frame == COLOURS["yellow"]).all(-1)] = COLOURS["white"]
                if spoil == "moved":
                    another_cue(frame, fork)
                score = fork.score(frame[None])
                assert score.dimensions["kept"] <= 0.5
                assert not score.solved
                assert {name for name in ("walls", "marks") if score.dimensions[name] < 1} == set()


def test_of_two_routes_the_choice_is_what_one_is_ahead_of_the_other() -> None:
    fork = fork_of("prompt")
    other = fork.routes[1 - fork.drawn]
    values = []
    for cells in range(1, len(other)):
        frame = draw_frame(fork, other[:cells])
        for a, b in pairwise(fork.route):
            line(frame, a, b)
        paint(frame, fork.start, "green")
        paint(frame, fork.goal, "red")
        values.append(fork.score(frame[None]).dimensions["choice"])
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert 0 <= values[-1] < 0.5
    assert len(set(values)) > 2


@pytest.mark.parametrize("variant", ["free", "three"])
def test_every_route_is_right_where_none_was_asked_for(variant: str) -> None:
    fork = fork_of(variant)
    scores = [fork.score(draw_clip(fork, route)) for route in fork.routes]
    assert all(score.solved and "choice" not in score.dimensions for score in scores)
    assert [score.answer for score in scores] == [f"route-{i}" for i in range(len(fork.routes))]
    frame = draw_frame(fork, fork.route)
    a_second_route(frame, fork)
    assert fork.score(frame[None]).answer is None, "two answers are none"


def graded(maze: Maze, dimension: str, *frames: Frame) -> list[float]:
    return [maze.score(frame[None]).dimensions[dimension] for frame in frames]


def test_dimensions_are_graded() -> None:
    maze = next(m for seed in range(60) if suits(m := make_maze(seed, 5)))
    whole = draw_frame(maze, maze.route)
    passages = len(maze.route) - 1
    shown = graded(maze, "path", *(draw_frame(maze, maze.route[:count]) for count in range(1, passages + 2)))
    assert shown == [count / passages for count in range(passages + 1)]
    spoilt = {spoil: whole.copy() for spoil in (a_removed_wall, a_moved_wall, no_walls, a_dead_end, blots)}
    for spoil, frame in spoilt.items():
        spoil(frame, maze)
    one, two, none = graded(maze, "walls", *(spoilt[s] for s in (a_removed_wall, a_moved_wall, no_walls)))
    assert (1 - two) == pytest.approx(2 * (1 - one))
    assert none == 0
    little, much = graded(maze, "single", spoilt[a_dead_end], spoilt[blots])
    assert 0 < much < little < 1


def test_paint_beside_the_route_earns_nothing_but_what_stands_still() -> None:
    maze = next(m for seed in range(60) if suits(m := make_maze(seed, 5)))
    frame = maze.first_frame()
    blots(frame, maze)
    assert maze.score(frame[None]).overall == MAZE.do_nothing["plain"]


def test_lines_across_the_whole_picture_are_mostly_invalid() -> None:
    for seed in range(3):
        fork = fork_of("free", seed)
        frame = draw_frame(fork, fork.route)
        for i in range(8):
            rows = frame[i * 8 + 3 : i * 8 + 5]
            rows[np.isin(rows.sum(-1), [0, 765])] = COLOURS["blue"]
        low, _ = lowered(fork, frame)
        assert low == {"valid", "single"}


def test_shades_do_not_matter_but_half_a_shade_is_no_path() -> None:
    for variant in FORKS:
        fork = fork_of(variant)
        clip = fork.clip()
        noise = np.random.default_rng(0).integers(-40, 41, clip.shape)
        assert fork.score(np.clip(clip.astype(int) + noise, 0, 255).astype(np.uint8)).solved
        faint = (clip.astype(float) * 0.4 + clip[:1] * 0.6).astype(np.uint8)
        assert fork.score(faint).dimensions["path"] == 0


def test_soft_edges_do_not_matter() -> None:
    """Each pixel a little like its neighbours, as after an autoencoder."""
    for variant in FORKS:
        fork = fork_of(variant)
        clip = fork.clip().astype(float)
        around = sum(np.roll(clip, shift, axis) for axis in (1, 2) for shift in (-1, 1)) / 4
        assert fork.score((0.8 * clip + 0.2 * around).astype(np.uint8)).solved


def test_any_frame_can_be_asked() -> None:
    maze = make_maze(3, 5)
    assert [maze.score(maze.clip(), frame).solved for frame in (0, 6, 12, 16)] == [False, False, True, True]


def test_a_route_may_be_given_whole() -> None:
    fork = fork_of("free")
    route: Route = fork.routes[1]
    assert np.array_equal(draw_clip(fork, route)[-1], draw_frame(fork, route))

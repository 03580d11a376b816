"""The scorer is strict about routes: each way to be wrong is drawn here and must not count as solved."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.puzzles import draw_clip, draw_frame, make_maze, score_maze
from dit_lens.puzzles.draw import CELL_PIXELS, PALETTE
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.maze import Maze
from dit_lens.puzzles.score import DO_NOTHING_FLOOR, read_board

KINDS = st.sampled_from(["maze", "fork"])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 7), KINDS)
def test_ground_truth_is_solved_and_doing_nothing_scores_the_floor(seed: int, size: int, kind: str) -> None:
    maze = make_maze(seed, size, kind)
    clip = draw_clip(maze)
    truth, still = score_maze(clip, clip[0]), score_maze(np.repeat(clip[:1], 17, axis=0), clip[0])
    assert truth.solved
    assert truth.route == maze.answer
    assert truth.coverage == 1
    assert (float(still.solved), still.coverage) == (DO_NOTHING_FLOOR, DO_NOTHING_FLOOR)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 7), KINDS)
def test_the_first_frame_is_read_back_whole(seed: int, size: int, kind: str) -> None:
    maze = make_maze(seed, size, kind)
    board = read_board(draw_frame(maze))
    assert (board.start, board.goal, board.routes) == (maze.start, maze.goal, maze.routes)


def video_of(maze: Maze, *routes: tuple[tuple[int, int], ...]) -> np.ndarray:
    """One frame with several routes painted over each other."""
    frames = [draw_frame(maze, route) for route in routes]
    painted = np.all(np.stack(frames) == PALETTE["path"], axis=-1).any(0)
    frame = frames[0].copy()
    frame[painted] = PALETTE["path"]
    return frame[None]


def closed_pair(maze: Maze) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Two neighbours on the route with a wall between them."""
    pairs = (((r, c), other) for r, c in maze.route for other in ((r, c + 1), (r + 1, c)) if other in maze.route)
    return next((pair for pair in pairs if pair not in maze.passages), None)


@pytest.fixture
def maze() -> Maze:
    return next(maze for seed in range(100) if closed_pair(maze := make_maze(seed, 5)))


def test_a_path_that_stops_short_is_not_solved(maze: Maze) -> None:
    score = score_maze(video_of(maze, maze.route[:-1]), draw_frame(maze))
    assert not score.solved
    assert 0 < score.coverage < 1


def test_a_gap_is_not_solved(maze: Maze) -> None:
    middle = len(maze.route) // 2
    score = score_maze(video_of(maze, maze.route[:middle], maze.route[middle:]), draw_frame(maze))
    assert not score.solved


def test_a_dead_end_painted_as_well_is_not_solved(maze: Maze) -> None:
    branch = next(p for p in sorted(maze.passages) if (p[0] in maze.route) != (p[1] in maze.route))
    score = score_maze(video_of(maze, maze.route, branch), draw_frame(maze))
    assert not score.solved
    assert score.coverage == 1
    assert score.stray == 2, "the passage and the cell behind it"


def test_a_path_through_a_wall_is_not_solved_even_if_the_video_opens_the_wall(maze: Maze) -> None:
    closed = closed_pair(maze)
    assert closed is not None
    score = score_maze(video_of(maze, maze.route, closed), draw_frame(maze))
    assert not score.solved
    assert score.crossed == 1


def test_both_routes_of_a_fork_at_once_are_not_solved_and_either_alone_is() -> None:
    fork = make_maze(2, 5, "fork")
    first = draw_frame(fork)
    assert not score_maze(video_of(fork, *fork.routes), first).solved
    assert [score_maze(video_of(fork, route), first).route for route in fork.routes] == [0, 1]


def solved_frame(maze: Maze) -> np.ndarray:
    return draw_frame(maze, maze.route).copy()


def blot_cells(frame: np.ndarray, maze: Maze) -> None:
    """Paint in every cell off the route."""
    for row in range(8):
        for col in range(8):
            if (row, col) not in maze.route:
                frame[row * 8 + 1 : row * 8 + 7, col * 8 + 1 : col * 8 + 7] = PALETTE["path"]


def only_borders(frame: np.ndarray, maze: Maze) -> None:
    """Wipe the middle of every cell of the route: the borders alone join nothing."""
    for row, col in maze.route[1:-1]:
        frame[row * 8 + 1 : row * 8 + 7, col * 8 + 1 : col * 8 + 7] = PALETTE["floor"]


def thin_second_route(frame: np.ndarray, maze: Maze) -> None:
    """The other route as a line of two pixels."""
    for a, b in pairwise(maze.routes[1 - maze.answer]):
        (y0, x0), (y1, x1) = min(a, b), max(a, b)
        frame[y0 * 8 + 3 : y1 * 8 + 5, x0 * 8 + 3 : x1 * 8 + 5] = PALETTE["path"]


def lines_through_walls(frame: np.ndarray, maze: Maze) -> None:
    """Thin lines across the whole picture."""
    for i in range(8):
        frame[i * 8 + 3 : i * 8 + 5][np.all(frame[i * 8 + 3 : i * 8 + 5] == 255, axis=-1)] = PALETTE["path"]
        frame[i * 8 + 3 : i * 8 + 5][np.all(frame[i * 8 + 3 : i * 8 + 5] == 0, axis=-1)] = PALETTE["path"]


def no_goal(frame: np.ndarray, maze: Maze) -> None:
    """The path painted over the goal."""
    row, col = maze.goal
    frame[row * 8 + 1 : row * 8 + 7, col * 8 + 1 : col * 8 + 7] = PALETTE["path"]


def no_walls(frame: np.ndarray, maze: Maze) -> None:
    """All walls gone."""
    frame[np.all(frame == PALETTE["wall"], axis=-1)] = PALETTE["floor"]


@pytest.mark.parametrize("spoil", [blot_cells, only_borders, thin_second_route, lines_through_walls, no_goal, no_walls])
@pytest.mark.parametrize("seed", range(3))
def test_a_spoilt_answer_is_not_solved(spoil: Callable[[np.ndarray, Maze], None], seed: int) -> None:
    fork = make_maze(seed, 5, "fork")
    frame = solved_frame(fork)
    assert score_maze(frame[None], draw_frame(fork)).solved
    spoil(frame, fork)
    assert not score_maze(frame[None], draw_frame(fork)).solved


def test_shades_do_not_matter_but_half_a_shade_is_no_path(maze: Maze) -> None:
    clip = draw_clip(maze)
    noise = np.random.default_rng(0).integers(-40, 41, clip.shape)
    assert score_maze(np.clip(clip.astype(int) + noise, 0, 255).astype(np.uint8), clip[0]).solved
    faint = (clip.astype(float) * 0.4 + clip[:1] * 0.6).astype(np.uint8)
    assert score_maze(faint, clip[0]).coverage == 0


def test_any_frame_can_be_asked(maze: Maze) -> None:
    clip = draw_clip(maze)
    assert [score_maze(clip, clip[0], frame).solved for frame in (0, 6, 12, 16)] == [False, False, True, True]


def test_a_cell_is_a_token() -> None:
    assert draw_frame(make_maze(0)).shape[0] == 8 * CELL_PIXELS


def test_pictures_that_cannot_be_scored_are_refused(maze: Maze) -> None:
    frame = draw_frame(maze)
    with pytest.raises(BadPuzzle, match=r"got frames of \(32, 32, 3\), allowed \(64, 64, 3\)"):
        score_maze(np.zeros((1, 32, 32, 3), np.uint8), frame)
    with pytest.raises(BadPuzzle, match=r"the first frame shows no start; got no cell coloured \(0, 255, 0\)"):
        read_board(np.full_like(frame, 255))

"""The clip, its masks, and which routes a frame shows."""

from __future__ import annotations

import numpy as np
import pytest

from dit_lens.puzzles import Maze, make_puzzle, routes_visible
from dit_lens.puzzles.canvas import COLOURS, FRAMES, LAST_GROWING_FRAME
from dit_lens.puzzles.maze import draw_frame, make_maze
from dit_lens.puzzles.maze.routes import own_cells

KINDS = [("maze", "plain"), ("maze", "large"), ("maze", "long"), ("fork", "free"), ("fork", "three"), ("fork", "cue")]


@pytest.fixture(params=KINDS, ids="-".join)
def maze(request: pytest.FixtureRequest) -> Maze:
    task, variant = request.param
    puzzle = make_puzzle(task, 4, variant)
    assert isinstance(puzzle, Maze)
    return puzzle


def test_a_clip_grows_from_the_first_frame_and_is_whole_before_the_end(maze: Maze) -> None:
    clip = maze.clip()
    assert (clip.shape, clip.dtype) == ((FRAMES, 64, 64, 3), np.uint8)
    assert np.array_equal(clip[0], maze.first_frame())
    assert all(np.array_equal(clip[frame], clip[-1]) for frame in range(LAST_GROWING_FRAME, FRAMES))
    assert not np.array_equal(clip[LAST_GROWING_FRAME - 1], clip[-1])
    blue = np.all(clip == COLOURS["blue"], axis=-1)
    assert np.array_equal(blue, maze.masks()["path"])
    assert all((blue[i] <= blue[i + 1]).all() for i in range(FRAMES - 1)), "no paint goes away"
    assert set(map(tuple, clip.reshape(-1, 3))) <= set(COLOURS.values())


def test_masks_say_where_things_are(maze: Maze) -> None:
    masks, clip = maze.masks(), maze.clip()
    assert all((mask.shape, mask.dtype) == ((FRAMES, 64, 64), np.bool_) for mask in masks.values())
    assert np.array_equal(masks["foreground"], np.any(clip != 255, axis=-1))
    assert np.array_equal(masks["walls"], np.all(clip == 0, axis=-1))
    for name, cell in (("green", maze.start), ("red", maze.goal)):
        assert masks["marks"][:, cell[0] * 8 + 4, cell[1] * 8 + 4].all(), name
    assert masks["marks"].sum() == FRAMES * 2 * 36
    assert ("cue" in masks) == (maze.cue is not None)


def test_the_masks_of_routes_are_the_middles_of_their_own_cells(maze: Maze) -> None:
    masks = maze.masks()
    named = [name for name in masks if name.startswith("route-")]
    assert named == ([f"route-{i}" for i in range(len(maze.routes))] if maze.task == "fork" else [])
    for name, cells in zip(named, own_cells(maze.routes), strict=False):
        assert masks[name].sum() == FRAMES * 16 * len(cells)
        shown = np.all(draw_frame(maze, maze.routes[int(name[-1])]) == COLOURS["blue"], axis=-1)
        assert shown[masks[name][0]].all()
    assert sum(masks[name][0].astype(int) for name in named).max() == 1 if named else True


def test_each_route_is_visible_as_far_as_it_is_painted(maze: Maze) -> None:
    assert set(routes_visible(maze, maze.first_frame()).values()) == {0.0}
    for i, route in enumerate(maze.routes):
        seen = routes_visible(maze, draw_frame(maze, route))
        assert seen == {f"route-{j}": float(i == j) for j in range(len(maze.routes))}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45])
def test_two_faint_routes_are_seen_where_a_verdict_sees_none(share: float) -> None:
    fork = make_maze(3, 5, task="fork")
    floor, one, other = (draw_frame(fork, route).astype(float) for route in ((), *fork.routes))
    faint = floor + share * (one - floor) + 0.2 * (other - floor)
    frame = np.clip(faint, 0, 255).astype(np.uint8)
    assert routes_visible(fork, frame) == pytest.approx({"route-0": share, "route-1": 0.2}, abs=0.01)
    assert fork.score(frame[None]).answer is None


def test_half_a_route_is_half_visible() -> None:
    fork = next(f for seed in range(50) if len(own_cells((f := make_maze(seed, 7, task="fork")).routes)[0]) == 4)
    half = fork.routes[0].index(own_cells(fork.routes)[0][2])
    assert routes_visible(fork, draw_frame(fork, fork.routes[0][:half]))["route-0"] == 0.5

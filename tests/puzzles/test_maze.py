"""A maze is what it says: one route or two equal ones, found again by a search of our own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.puzzles import Maze, make_maze, unseen
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.maze import CANVAS_CELLS, UNSEEN_SEEDS

SIZES = st.integers(3, 7)
SEEDS = st.integers(0, 2**32)


def all_routes(maze: Maze) -> list[tuple[tuple[int, int], ...]]:
    """Depth-first search over passages, written without networkx."""
    found: list[tuple[tuple[int, int], ...]] = []
    stack = [(maze.start,)]
    while stack:
        route = stack.pop()
        if route[-1] == maze.goal:
            found.append(route)
            continue
        row, col = route[-1]
        for cell in ((row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)):
            if cell not in route and (min(cell, route[-1]), max(cell, route[-1])) in maze.passages:
                stack.append((*route, cell))
    return sorted(found)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES)
def test_a_maze_is_a_spanning_tree_with_one_route(seed: int, size: int) -> None:
    maze = make_maze(seed, size)
    assert len(maze.passages) == size * size - 1
    assert list(maze.routes) == all_routes(maze)
    assert len(maze.routes) == 1
    assert len(maze.route) >= size


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES)
def test_a_fork_has_exactly_two_routes_of_equal_length(seed: int, size: int) -> None:
    fork = make_maze(seed, size, "fork")
    assert len(fork.passages) == size * size
    assert list(fork.routes) == all_routes(fork)
    assert len(fork.routes) == 2
    assert len(fork.routes[0]) == len(fork.routes[1])
    assert fork.route in fork.routes


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, st.sampled_from(["maze", "fork"]))
def test_a_puzzle_lies_on_the_canvas_and_follows_from_its_seed(seed: int, size: int, kind: str) -> None:
    maze = make_maze(seed, size, kind)
    assert maze == make_maze(seed, size, kind)
    assert all(0 <= i < CANVAS_CELLS for passage in maze.passages for cell in passage for i in cell)


def test_both_routes_of_forks_are_taken_about_equally_often() -> None:
    first = sum(make_maze(seed, 4, "fork").answer for seed in range(200))
    assert 70 < first < 130


def test_unseen_puzzles_start_where_training_seeds_end() -> None:
    assert unseen(3, 4).seed == UNSEEN_SEEDS + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 2}, "a maze has 3 to 7 cells a side; got 2; choose a size in that range"),
        ({"kind": "mase"}, "unknown kind of puzzle; got 'mase', allowed maze, fork; did you mean 'maze'?"),
        ({"seed": -1}, "a puzzle seed is 0 or more; got -1; choose another"),
    ],
)
def test_bad_puzzles_are_refused_in_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BadPuzzle) as caught:
        make_maze(**{"seed": 0, **arguments})  # type: ignore[arg-type]
    assert str(caught.value) == message

"""A maze is what it says: one, two or three equal routes, found again by a search of our own."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.puzzles import BadPuzzle, Maze, make_puzzle, unseen
from dit_lens.puzzles.canvas import CANVAS_CELLS, COLOURS
from dit_lens.puzzles.maze import FORK, LONGEST_TRAINED_ROUTE, MAZE, make_maze
from dit_lens.puzzles.maze.routes import own_cells

SEEDS = st.integers(0, 2**32)
TASKS = {"maze": MAZE, "fork": FORK}
KINDS = [
    (task.name, variant, size) for task in TASKS.values() for variant in task.variants for size in task.sizes[variant]
]
ROUTES = {"maze": 1, "fork": 2}


def make(kind: tuple[str, str, int], seed: int) -> Maze:
    task, variant, size = kind
    puzzle = make_puzzle(task, seed, variant, size)
    assert isinstance(puzzle, Maze)
    return puzzle


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


@settings(max_examples=120, deadline=None)
@given(SEEDS, st.sampled_from(KINDS))
def test_routes_are_as_many_as_the_variant_says_and_equally_long(seed: int, kind: tuple[str, str, int]) -> None:
    maze = make(kind, seed)
    wanted = 3 if maze.variant == "three" else ROUTES[maze.task]
    assert list(maze.routes) == all_routes(maze)
    assert (len(maze.routes), len({len(route) for route in maze.routes})) == (wanted, 1)
    assert len(maze.passages) == maze.size**2 - 2 + wanted, "a tree, and one passage more for each further route"
    assert maze == make(kind, seed)


@settings(max_examples=120, deadline=None)
@given(SEEDS, st.sampled_from(KINDS))
def test_a_puzzle_lies_on_the_canvas_and_its_routes_have_the_length_of_its_split(
    seed: int, kind: tuple[str, str, int]
) -> None:
    maze = make(kind, seed)
    assert all(0 <= i < CANVAS_CELLS for passage in maze.passages for cell in passage for i in cell)
    if maze.parameters["split"] == "in-domain":
        assert len(maze.route) <= LONGEST_TRAINED_ROUTE
    if maze.task == "maze":
        assert len(maze.route) >= (LONGEST_TRAINED_ROUTE + 1 if maze.variant == "long" else maze.size)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([5, 6, 7]))
def test_three_routes_share_no_cell_but_where_they_part_and_join(seed: int, size: int) -> None:
    fork = make(("fork", "three", size), seed)
    own = own_cells(fork.routes)
    shared = set(fork.route) - set(own[fork.drawn])
    assert all(set(route) - set(cells) == shared for route, cells in zip(fork.routes, own, strict=True))
    assert len(own[0]) >= 2, "two routes at least three passages long cannot be one open square"
    assert len(set(fork.moves)) == 3


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(3, 7))
def test_the_prompt_names_the_first_own_step_of_the_route(seed: int, size: int) -> None:
    fork = make(("fork", "prompt", size), seed)
    steps = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    word = next(word for word in fork.prompt.split() if word in steps)
    first = own_cells(fork.routes)[fork.drawn][0]
    before = fork.route[fork.route.index(first) - 1]
    assert (first[0] - before[0], first[1] - before[1]) == steps[word]
    assert fork.prompt == f"Draw the path and take the {word} route."
    assert len(set(fork.moves)) == 2
    assert fork.answer == f"route-{fork.drawn}"


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(3, 7))
def test_the_cue_is_late_on_the_right_route_and_on_no_other(seed: int, size: int) -> None:
    fork = make(("fork", "cue", size), seed)
    own = own_cells(fork.routes)[fork.drawn]
    assert fork.cue in own
    assert own.index(fork.cue) >= len(own) * 2 / 3 - 1
    assert all(fork.cue not in route for route in fork.routes if route != fork.route)
    row, col = fork.cue
    assert tuple(fork.first_frame()[row * 8 + 4, col * 8 + 4]) == COLOURS["yellow"]
    assert fork.answer == f"route-{fork.drawn}"


@pytest.mark.parametrize("variant", ["free", "three"])
def test_where_all_routes_are_right_each_is_drawn_about_equally_often(variant: str) -> None:
    forks = [make(("fork", variant, 7), seed) for seed in range(150)]
    share = 150 / len(forks[0].routes)
    counts = np.bincount([fork.drawn for fork in forks])
    assert all(0.65 * share < count < 1.35 * share for count in counts), counts
    assert {fork.answer for fork in forks} == {None}


def test_sizes_are_drawn_from_the_seed_where_none_is_given() -> None:
    sizes = [make_maze(seed).size for seed in range(300)]
    shares = np.bincount(sizes, minlength=8)[3:] / 300
    assert np.abs(shares - [0.10, 0.16, 0.26, 0.24, 0.24]).max() < 0.08
    assert make_maze(9) == make_maze(9, make_maze(9).size)


def test_what_a_puzzle_is_called() -> None:
    kinds = [("maze", "plain", 5), ("fork", "free", 4), ("fork", "cue", 5), ("maze", "large", 8)]
    assert [make(kind, 1).label for kind in kinds] == ["maze-5x5", "fork-4x4", "fork-cue-5x5", "maze-large-8x8"]


@pytest.mark.parametrize("kind", [("maze", "long", 6), ("fork", "three", 5), ("fork", "cue", 4)])
def test_parameters_are_json_and_say_where_the_routes_run(kind: tuple[str, str, int]) -> None:
    maze = make(kind, 5)
    read = json.loads(json.dumps(dict(maze.parameters)))
    assert read == dict(maze.parameters)
    assert [tuple(map(tuple, route)) for route in read["routes"]] == list(maze.routes)
    assert (read["task"], read["variant"], read["size"], read["seed"], read["answer"]) == (*kind, 5, maze.answer)
    assert read["route_cells"] == len(maze.route)


def test_rejection_is_quick() -> None:
    """The dearest kind takes some 20 ms a puzzle on one core; a mistake in the sampling would take seconds."""
    before = time.process_time()
    for seed in range(30):
        make(("fork", "three", 5), seed)
        make(("maze", "long", 6), seed)
    assert time.process_time() - before < 10


def test_unseen_puzzles_are_those_of_the_room() -> None:
    assert unseen("maze", 3, size=4) == make_maze(2**31 + 3, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 2}, "a maze ('plain') has no such size; got 2, allowed 3, 4, 5, 6, 7; choose one of them"),
        ({"variant": "lng"}, "unknown variant of maze; got 'lng', allowed plain, large, long; did you mean 'long'?"),
        ({"seed": -1}, "a puzzle seed is 0 or more; got -1; choose another"),
    ],
)
def test_bad_puzzles_are_refused_in_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BadPuzzle) as caught:
        make_puzzle("maze", **{"seed": 0, **arguments})  # type: ignore[arg-type]
    assert str(caught.value) == message

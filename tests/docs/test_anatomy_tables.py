"""The pure functions behind the page on tiny-wan, on cases whose answers are known."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
import pytest

from anatomy.groups import BY_NAME, MAZES, ONE_OF_EACH
from anatomy.parts.energy import foreground_share, token_weights
from anatomy.reading import Reading, commitment, first_readable, steps_to_read
from anatomy.shares import gain, mean, share
from anatomy.tables import (
    chosen_right,
    commitment_rows,
    expected_minority,
    frame_rows,
    group_rows,
    layer_rows,
    reached_by,
    right_by_step,
    route_rows,
    shares_of,
    split_rows,
    step_rows,
    swap_rows,
    visible_routes,
)
from dit_lens.puzzles import unseen

A: Reading = ("route-0", True)
B: Reading = ("route-1", True)
SPOILT: Reading = ("route-0", False)
NONE: Reading = (None, False)


@pytest.mark.parametrize(
    ("readings", "final", "first", "committed"),
    [
        ([A, A, A], A, 0, 0),
        ([NONE, B, A, A], A, 2, 2),
        ([A, B, A], A, 0, 2),
        ([A, SPOILT, A, A], A, 0, 2),  # the same answer with another verdict is another reading
        ([A, A, B], A, 0, None),  # the last x0 still differs
        ([B, B], A, None, None),
        ([NONE, NONE], NONE, None, None),  # no answer, nothing to commit to
        ([SPOILT, SPOILT], SPOILT, 0, 0),  # a wrong answer is an answer
    ],
)
def test_when_an_answer_is_readable_and_final(
    readings: list[Reading], final: Reading, first: int | None, committed: int | None
) -> None:
    assert first_readable(readings, final) == first
    assert commitment(readings, final) == committed


@pytest.mark.parametrize(("steps", "reads"), [(20, 12), (20, 10), (50, 7), (4, 9), (1, 3), (2, 2)])
def test_steps_that_are_read_rise_from_the_first_to_the_last(steps: int, reads: int) -> None:
    read = steps_to_read(steps, reads)
    assert read[0] == 0
    assert read[-1] == steps - 1
    assert len(read) == min(steps, reads) == len(set(read))
    assert list(read) == sorted(read)


def test_newcombes_own_example() -> None:
    """Of 50 pairs, 36 right both times, 12 only the second time, 2 only the first: Statistics in Medicine 17, 1998."""
    before = [True] * 36 + [False] * 12 + [True] * 2
    after = [True] * 36 + [True] * 12 + [False] * 2
    assert f"{gain(before, after):.4f}" == "0.2000 [0.0569, 0.3404]"
    assert f"{gain(after, before):.4f}" == "-0.2000 [-0.3404, -0.0569]"


def test_intervals_do_not_collapse_where_all_are_alike() -> None:
    z = 1.959964
    assert share([True] * 12).low == pytest.approx(12 / (12 + z**2), abs=1e-4)  # Wilson's, of all
    assert gain([True] * 12, [True] * 12).low < 0 < gain([True] * 12, [True] * 12).high
    assert mean([1.0] * 12).low == pytest.approx(0.025 ** (1 / 12))
    assert f"{share([])}" == "-"
    assert f"{mean([0.5])}" == "0.50"


def test_gap_by_group(courses: list[dict[str, Any]]) -> None:
    rows = group_rows(courses, MAZES)
    assert [row.title for row in rows] == [group.title for group in MAZES]
    assert {(row.end.n, row.first.value, row.end.value, row.gain.value) for row in rows} == {(2, 0.0, 0.5, 0.5)}
    assert [row.in_domain for row in rows] == [True] * 5 + [False] * 2


def test_gap_by_route_counts_every_maze_once(courses: list[dict[str, Any]]) -> None:
    rows = route_rows(courses)
    counts = {(row.in_domain, row.title): row.end.n for row in rows}
    assert counts[True, "3 to 5 cells"] == counts[True, "9 to 12 cells"] == 5
    assert counts[False, "21 to 24 cells"] == 1
    assert counts[False, "8 to 20 cells"] == 1  # one of five cells has no range: no such maze is drawn there
    assert sum(counts.values()) == 12


def test_route_ranges_hold_every_maze() -> None:
    cells = [(group, group.puzzle(index).parameters["route_cells"]) for group in MAZES for index in range(40)]
    records = [
        {"group": group.name, "route_cells": count, "x0": [{"solved": False}], "final": {"solved": False}}
        for group, count in cells
    ]
    assert sum(row.end.n for row in route_rows(records)) == len(records)


def test_shares_along_the_steps(courses: list[dict[str, Any]]) -> None:
    read, right = right_by_step(courses, MAZES[0])
    assert read == [0, 1, 3]
    assert [each.value for each in right] == [0, 0.5, 0.5]
    assert reached_by(courses, MAZES[0], "final") == ([0, 1, 3], [0.0, 1.0, 1.0], 1)


def test_commitment_is_told_in_steps_and_leaves_out_what_has_no_answer(courses: list[dict[str, Any]]) -> None:
    row = commitment_rows(courses, [BY_NAME["fork"]])[0]
    assert (row.n, row.answered, row.late) == (2, 1, 0)
    assert row.first == row.final == (1, 1, 1)
    assert row.at_once.value == row.revised.value == 0


def test_revised_and_late() -> None:
    def read(*answers: str | None) -> list[dict[str, Any]]:
        return [{"answer": answer, "solved": answer == "a"} for answer in answers]

    records = [
        {"group": "fork", "read": [0, 2], "x0": read("b", "a"), "final": read("a")[0]},
        {"group": "fork", "read": [0, 2], "x0": read("a", None), "final": read("a")[0]},
    ]
    row = commitment_rows(records, [BY_NAME["fork"]])[0]
    assert (row.final, row.late, row.revised.value) == ((2, 2, 2), 1, 0.5)


def test_no_answer_at_all() -> None:
    nothing = {"answer": None, "solved": False}
    records = [{"group": "grounding", "read": [0], "x0": [nothing], "final": nothing}]
    row = commitment_rows(records, [BY_NAME["grounding"]])[0]
    assert (row.answered, row.first, row.final, f"{row.at_once}") == (0, None, None, "-")
    assert isnan(reached_by(records, BY_NAME["grounding"], "first")[1][0])


def test_seeds_split_between_routes() -> None:
    answers = ["route-1", "route-0", "route-1", None, "route-1"]
    record = {
        "label": "fork-5x5",
        "index": 3,
        "routes": 2,
        "seeds": [{"final": {"answer": answer, "visible": [0, 1], "solved": answer is not None}} for answer in answers],
    }
    row = split_rows([record])[0]
    assert (row.label, row.taken, row.none, row.whole, row.minority) == ("fork-5x5 no. 3", (1, 3), 1, 4, 0.25)
    seen = visible_routes([record], "final")
    assert (seen.every.value, seen.one.value, seen.solved.value) == (0, 1, 0.8)
    nobody = {**record, "seeds": record["seeds"][3:4]}
    assert isnan(split_rows([nobody])[0].minority)


def test_even_odds() -> None:
    """Of three seeds and two routes the least taken one has 0, 1, 1, 0 of 3 in 1, 3, 3, 1 of 8 cases."""
    assert expected_minority(3, 2) == pytest.approx((3 + 3) / 8 / 3)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(12, [1 / 3] * 3, size=40_000).min(1).mean() / 12
    assert expected_minority(12, 3) == pytest.approx(drawn, abs=0.003)
    assert isnan(expected_minority(0, 2))


def test_prompts_that_are_followed_and_not() -> None:
    def pair(*answers: str | None) -> dict[str, Any]:
        rows = [{"asked": asked, "answer": answer} for asked, answer in zip("ab", answers, strict=True)]
        return {"task": "grounding", "rows": rows}

    row = swap_rows([pair("a", "b"), pair("a", "a"), pair(None, None), pair("b", "a")])[0]
    assert (row.flips.value, row.stays.value, row.other.value) == (0.25, 0.25, 0.5)


def test_right_choices(courses: list[dict[str, Any]]) -> None:
    every, answered = chosen_right(courses, "fork-cue")
    assert (every.value, every.n, answered.value, answered.n) == (0.5, 2, 1.0, 1)


def test_sweeps_end_with_the_same_puzzles_at_full_length(found: dict[str, Any], courses: list[dict[str, Any]]) -> None:
    rows = step_rows(found["steps"]["records"], courses, 4)
    maze = [row for row in rows if row.group == "maze 7 x 7"]
    assert [(row.setting, row.solved.value, row.score.value) for row in maze] == [
        (1, 0.5, 0.625),
        (2, 0.5, 0.625),
        (4, 0.5, 0.625),
    ]
    cut = [row.cut for row in frame_rows(found["frames"]["records"], courses, 17) if row.group == "grounding"]
    assert cut[:2] == [1.0, 1.0]
    assert isnan(cut[2])


def test_each_puzzle_is_held_against_its_own_even_map(found: dict[str, Any]) -> None:
    other = {**found["energy"]["records"][0], "index": 1, "even": {"foreground": 0.4, "drawn": 0.1}}
    layers, shares, even = shares_of([*found["energy"]["records"], other], ONE_OF_EACH[0], "foreground")
    assert (layers, shares.shape, even.tolist()) == ([0, 1, 2], (2, 4, 3), [0.2, 0.4])


def test_layer_rows(found: dict[str, Any]) -> None:
    row = layer_rows(found["energy"]["records"], "foreground", 0)[0]
    assert (row.even, row.first, row.middle, row.last, row.peak_layer) == (0.2, 0.1, 0.2, 0.3, 2)


@pytest.mark.parametrize("task", ["maze", "fork", "grounding", "occlusion"])
def test_foreground_share_counts_pixels(task: str) -> None:
    """Another way to the same number: give every pixel of every video frame its part of its token's energy."""
    mask_FHW = unseen(task, 0).masks()["foreground"]
    energy_SLfN = np.random.default_rng(0).random((2, 3, 5, 64))
    weight_fN = token_weights(mask_FHW)
    assert weight_fN.mean(1)[0] == mask_FHW[0].mean()
    for step, layer in np.ndindex(2, 3):
        inside = whole = 0.0
        for frame in range(17):
            latent = (frame + 3) // 4
            pixels_HW = np.kron(energy_SLfN[step, layer, latent].reshape(8, 8), np.ones((8, 8))) / 64
            pixels_HW /= 1 if latent == 0 else 4
            inside += pixels_HW[mask_FHW[frame]].sum()
            whole += pixels_HW.sum()
        assert foreground_share(energy_SLfN, weight_fN)[step, layer] == pytest.approx(inside / whole, rel=1e-12)


def test_an_even_map_has_the_even_share() -> None:
    weight_fN = token_weights(unseen("maze", 1).masks()["path"])
    assert foreground_share(np.ones((1, 1, 5, 64)), weight_fN).item() == pytest.approx(weight_fN.mean())

"""Intervals against formulas and simulations that know nothing of the code."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.stats import beta

from dit_lens.bench import mean_interval, two_level_interval
from dit_lens.bench.intervals import Interval, _resampled, student_interval


def drawn(rng: np.random.Generator, puzzles: int, seeds: int, spread: tuple[float, float] = (1.0, 0.5)) -> np.ndarray:
    """Solved or not: every puzzle is as hard as it is, and every seed tries anew."""
    return rng.binomial(1, rng.beta(*spread, size=(puzzles, 1)), size=(puzzles, seeds)).astype(float)


def test_the_drawn_variance_is_that_of_the_formula() -> None:
    """Of many tasks the unseen puzzle is hardly there: what varies is the puzzles, by what a sample tells of them."""
    tables = [drawn(np.random.default_rng(i), 12, 4) for i in range(40)]
    spread = np.mean([table.mean(1).var(ddof=1) for table in tables]) / 12 / 40
    low, high = _resampled([table.mean(1) for table in tables], 40_000, 0, (0.0, 1.0))
    assert [np.var(low), np.var(high)] == pytest.approx([spread, spread], rel=0.05)


@pytest.mark.parametrize(("solved", "of"), [(21, 30), (15, 16), (1, 16), (2, 5)])
def test_of_verdicts_it_is_the_exact_interval(solved: int, of: int) -> None:
    found = two_level_interval(np.array([[1.0]] * solved + [[0.0]] * (of - solved)), resamples=40_000)
    expected = [beta.ppf(0.025, solved, of - solved + 1), beta.ppf(0.975, solved + 1, of - solved)]
    assert [found.low, found.high] == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(("puzzles", "seeds"), [(30, 1), (20, 3), (12, 8)])
def test_it_covers_the_true_mean_as_often_as_it_says(puzzles: int, seeds: int) -> None:
    rng, truth = np.random.default_rng(seeds), 2 / 3
    found = [two_level_interval(drawn(rng, puzzles, seeds), resamples=300, seed=i) for i in range(400)]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.93 <= covered <= 0.995  # of 400 experiments, and of few puzzles it is a little wide


@pytest.mark.parametrize("truth", [0.95, 0.98])
@pytest.mark.parametrize("tasks", [4, 11])
def test_it_covers_the_mean_of_several_tasks_near_the_ceiling(tasks: int, truth: float) -> None:
    """A failure that is rare enough not to be seen in most tasks."""
    rng = np.random.default_rng([tasks, int(truth * 100)])
    drawn_KP1 = (rng.random((300, tasks, 16, 1)) < truth).astype(float)
    found = [mean_interval(list(tables), resamples=200) for tables in drawn_KP1]
    assert np.mean([each.low <= truth <= each.high for each in found]) >= 0.93


def test_one_failure_more_never_lifts_an_end() -> None:
    """Not within a task either: 32 of 32, 31 of 32 and so on, the failures wherever they are."""
    ends = []
    for failures in range(17):
        tables = [np.ones((16, 1)), np.ones((16, 1))]
        tables[1][:failures] = 0
        found = mean_interval(tables)
        ends.append((found.low, found.high))
    assert all(after[0] <= before[0] and after[1] <= before[1] for before, after in pairwise(ends))
    assert ends[1][0] < beta.ppf(0.025, 32, 1) == pytest.approx(ends[0][0])


def test_of_unequal_tasks_the_small_one_decides() -> None:
    """102 of 102 puzzles are not worth 102 if two of them are half of the mean."""
    found = mean_interval([np.ones((100, 1)), np.ones((2, 1))])
    assert found.low == pytest.approx(0.025 ** (1 / (4 / (1 / 100 + 1 / 2))))
    nearly = np.ones((100, 1))
    nearly[0] = 0
    assert mean_interval([nearly, np.ones((2, 1))]).low <= found.low


def test_the_order_of_puzzles_changes_nothing() -> None:
    table = drawn(np.random.default_rng(2), 9, 2)
    assert two_level_interval(table[::-1]) == two_level_interval(table)


def test_runs_taken_for_independent_would_promise_too_much() -> None:
    """Eight seeds of alike runs are hardly more than one: the interval must not shrink as if they were."""
    one = drawn(np.random.default_rng(0), 24, 1, (0.2, 0.2))
    same = two_level_interval(np.repeat(one, 8, axis=1))
    assert same.high - same.low == pytest.approx(two_level_interval(one).high - two_level_interval(one).low, abs=0.03)


def test_tasks_weigh_the_same_and_are_not_resampled() -> None:
    rng = np.random.default_rng(5)
    tables = [drawn(rng, 40, 2), drawn(rng, 10, 2, (0.5, 1.0))]
    found = mean_interval(tables)
    assert found.mean == pytest.approx(np.mean([table.mean() for table in tables]))
    variance = sum(table.mean(1).var(ddof=1) / len(table) for table in tables) / 4
    assert found.high - found.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.15)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_are_alike_the_exact_bound_takes_over(value: float) -> None:
    found = two_level_interval(np.full((16, 4), value))
    low, high = (beta.ppf(0.025, 16, 1), 1.0) if value else (0.0, beta.ppf(0.975, 1, 16))
    assert [found.mean, found.low, found.high] == pytest.approx([value, low, high])


def test_of_one_puzzle_nothing_can_be_told() -> None:
    found = two_level_interval([[0.2, 0.9]])
    assert found.mean == pytest.approx(0.55)
    assert not found.known
    assert str(found) == "0.550"


def test_missing_runs_are_left_out() -> None:
    whole = two_level_interval([[1.0, 1.0], [0.0, 0.0], [0.5, 0.5]])
    holes = two_level_interval([[np.nan, 1.0], [0.0, np.nan], [0.5, 0.5], [np.nan, np.nan]])
    assert holes == whole


def test_it_is_the_same_every_time() -> None:
    table = drawn(np.random.default_rng(1), 9, 3)
    assert two_level_interval(table) == two_level_interval(table)
    assert two_level_interval(table) != two_level_interval(table, seed=1)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([], "got no task"),
        ([[[np.nan], [np.nan]]], "got none, allowed one or more"),
        ([[1.0, 0.0]], "got 1 dimensions, allowed 2"),
    ],
)
def test_what_is_no_table_is_refused(scores: list[object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mean_interval(scores)  # type: ignore[arg-type]


def test_an_interval_reads_well() -> None:
    assert str(Interval(2 / 3, 0.5, 0.75)) == "0.667 [0.500, 0.750]"


def test_of_one_task_a_difference_has_the_interval_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random((20, 3)), rng.random((20, 3))
    known = stats.ttest_rel(after.mean(1), before.mean(1)).confidence_interval(0.95)
    found = student_interval([after - before])
    assert (found.low, found.high) == pytest.approx((known.low, known.high))


def test_of_two_tasks_it_is_that_of_welch() -> None:
    """Half the sum of two means: Welch's interval of the difference of one and of the other with its sign turned."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.1, 0.2, 12), rng.normal(0.3, 0.05, 30)
    known = stats.ttest_ind(one, -other, equal_var=False).confidence_interval(0.95)
    found = student_interval([one[:, None], other[:, None]])
    assert (found.low, found.high) == pytest.approx((known.low / 2, known.high / 2))


def test_differences_that_are_mostly_none_are_covered() -> None:
    """Of 32 puzzles a fifth change, by amounts of either sign: nine in ten intervals hold the true mean or more."""
    rng = np.random.default_rng(2)
    drawn = rng.choice([-0.3, 0.0, 0.6], p=[0.1, 0.8, 0.1], size=(2000, 32, 1))
    found = [student_interval([each]) for each in drawn]
    assert np.mean([each.low <= 0.03 <= each.high for each in found]) > 0.9


def test_alike_or_alone() -> None:
    assert student_interval([np.full((5, 2), 0.25)]) == Interval(0.25, 0.25, 0.25)
    assert not student_interval([[[0.25]]]).known

"""Intervals against formulas and simulations that know nothing of the code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom

from dit_lens.bench import mean_interval, two_level_interval
from dit_lens.bench.intervals import Interval, _resampled


def drawn(rng: np.random.Generator, puzzles: int, seeds: int, spread: tuple[float, float] = (1.0, 0.5)) -> np.ndarray:
    """Solved or not: every puzzle is as hard as it is, and every seed tries anew."""
    return rng.binomial(1, rng.beta(*spread, size=(puzzles, 1)), size=(puzzles, seeds)).astype(float)


def test_the_resampled_variance_is_that_of_the_formula() -> None:
    table = drawn(np.random.default_rng(3), 12, 4)
    between, within = table.mean(1).var(), table.var(1).mean()
    assert np.var(_resampled(table, 40_000, (0, 0))) == pytest.approx((between + within / 4) / 12, rel=0.04)


def test_of_one_seed_it_is_the_bootstrap_over_puzzles() -> None:
    """The resampled share of 30 puzzles of which 21 are solved is a binomial number over 30."""
    table = np.array([[1.0]] * 21 + [[0.0]] * 9)
    found = two_level_interval(table)
    expected = binom.ppf([0.025, 0.975], 30, 0.7) / 30
    assert [found.low, found.high] == pytest.approx(expected, abs=1 / 30 + 1e-9)
    assert np.var(_resampled(table, 40_000, (0, 0))) == pytest.approx(0.7 * 0.3 / 30, rel=0.04)


@pytest.mark.parametrize(("puzzles", "seeds"), [(30, 1), (20, 3), (12, 8)])
def test_it_covers_the_true_mean_as_often_as_it_says(puzzles: int, seeds: int) -> None:
    rng, truth = np.random.default_rng(seeds), 2 / 3
    found = [two_level_interval(drawn(rng, puzzles, seeds), resamples=300, seed=i) for i in range(400)]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.91 <= covered <= 0.99  # of 400 experiments, and percentiles of few puzzles are a little narrow


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
    variance = sum(np.var(_resampled(table, 20_000, (1, i))) for i, table in enumerate(tables)) / 4
    assert found.high - found.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.08)


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


def test_it_is_the_same_every_time_however_much_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    table = drawn(np.random.default_rng(1), 9, 3)
    assert two_level_interval(table) == two_level_interval(table)
    assert two_level_interval(table) != two_level_interval(table, seed=1)
    whole = two_level_interval(table)
    monkeypatch.setattr("dit_lens.bench.intervals._DRAWS_AT_ONCE", 30)
    parts = two_level_interval(table)
    assert [parts.low, parts.high] == pytest.approx([whole.low, whole.high], abs=0.04)


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

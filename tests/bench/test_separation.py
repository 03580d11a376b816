"""The area under a ROC curve is that of scikit-learn, and its interval keeps what it promises."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dit_lens.bench import separation


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=12))
def test_the_area_is_the_share_of_pairs_in_the_right_order(data):
    values, failed = [float(value) for value, _ in data], [bad for _, bad in data]
    found = separation(values, failed, resamples=50)
    pairs = [
        0.5 if values[i] == values[j] else float(values[i] > values[j])
        for i, j in itertools.product(range(len(data)), repeat=2)
        if failed[i] and not failed[j]
    ]
    if pairs:
        assert found.area.mean == pytest.approx(sum(pairs) / len(pairs))
        assert found.no_area == ""
        assert np.trapezoid(found.true_rates, found.false_rates) == pytest.approx(found.area.mean)
    else:
        assert math.isnan(found.area.mean)
        assert found.no_area.startswith("all ")


@pytest.mark.parametrize("area", [0.5, 0.8, 0.95])
def test_a_planted_predictor_has_the_area_of_scikit_learn(area):
    rng = np.random.default_rng(0)
    failed = rng.random(60) < 0.4
    values = rng.normal(norm.ppf(area) * math.sqrt(2) * failed, 1)
    found = separation(values.tolist(), failed.tolist())
    assert found.area.mean == pytest.approx(roc_auc_score(failed, values), abs=1e-12)
    assert found.area.low < area < found.area.high
    assert (found.failed, found.solved) == (failed.sum(), 60 - failed.sum())


def test_the_interval_is_near_that_of_delong_where_there_are_many():
    """DeLong, DeLong and Clarke-Pearson 1988: variances of the placements, by hand."""
    rng = np.random.default_rng(1)
    bad, good = rng.normal(1.0, 1, 150), rng.normal(0, 1, 200)
    above = np.sign(bad[:, None] - good) / 2 + 0.5
    error = math.sqrt(above.mean(1).var(ddof=1) / 150 + above.mean(0).var(ddof=1) / 200)
    found = separation([*bad, *good], [True] * 150 + [False] * 200).area
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.2)


@pytest.mark.parametrize(("failed", "solved", "area"), [(3, 5, 0.5), (6, 6, 0.9), (8, 24, 0.75), (5, 15, 1.0)])
def test_it_covers_the_truth_in_at_least_nineteen_of_twenty(failed, solved, area):
    rng, far, held = np.random.default_rng(2), 20.0 if area == 1 else norm.ppf(area) * math.sqrt(2), 0
    for _ in range(120):
        values = [*rng.normal(far, 1, failed), *rng.normal(0, 1, solved)]
        found = separation(values, [True] * failed + [False] * solved, resamples=400).area
        held += found.low <= area <= found.high
    assert held >= 114


def test_what_separates_all_that_was_seen_is_not_certain():
    few, many = (separation(range(2 * n), [False] * n + [True] * n).area for n in (3, 60))
    assert few.mean == many.mean == few.high == many.high == 1
    assert few.low < 0.5 < 0.9 < many.low < 1


@pytest.mark.parametrize("count", [12, 30])
def test_order_of_questions_changes_nothing_and_seeds_of_the_weights_little(count):
    rng = np.random.default_rng(3)
    values, failed = rng.random(count), np.arange(count) % 2 == 0
    found = separation(values.tolist(), failed.tolist()).area
    assert found.low < found.mean < found.high
    for _ in range(4):
        order = rng.permutation(count)
        assert separation(values[order].tolist(), failed[order].tolist()).area == found
    other = separation(values.tolist(), failed.tolist(), seed=1).area
    assert other.mean == found.mean
    assert (other.low, other.high) != (found.low, found.high)
    assert (other.low, other.high) == pytest.approx((found.low, found.high), abs=0.03)


def test_what_foretells_solving_is_the_mirror_of_what_foretells_failing():
    rng = np.random.default_rng(3)
    values, failed = rng.random(30), rng.random(30) < 0.5
    found, turned = (separation(each.tolist(), failed.tolist()).area for each in (values, 1 - values))
    assert turned.mean == pytest.approx(1 - found.mean)
    assert turned.low == pytest.approx(1 - found.high, abs=0.02)


def test_it_says_why_there_is_no_area_and_no_interval():
    assert separation([0.1, 0.2], [False, False]).no_area == "all 2 questions were solved"
    assert separation([math.nan], [True]).no_area == "no question has a predictor and a verdict"
    for failed, words in (
        ([True, False, False], "only 1 of 3 questions failed"),
        ([True, True, False], "only 1 of 3 questions was solved"),
    ):
        found = separation([0.3, 0.2, 0.1], failed)
        assert (found.area.mean, found.no_interval) == (1.0, words)
        assert math.isnan(found.area.low)
        assert math.isnan(found.area.high)


def test_what_foretells_nothing_is_at_chance():
    values = np.random.default_rng(0).random(400).tolist()
    found = separation(values, [bool(i % 2) for i in range(400)]).area
    assert found.low < 0.5 < found.high
    assert abs(found.mean - 0.5) < 0.08

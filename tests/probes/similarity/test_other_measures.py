"""Procrustes, mutual nearest neighbours, pooling and its intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dit_lens.probing import BadParams
from dit_lens_probes.similarity import (
    choose_batch,
    draw_counts,
    kind_of,
    mutual_neighbours,
    pair_draws,
    pooled,
    prepare_rows,
    procrustes,
    resampled,
    token_batches,
)
from dit_lens_probes.similarity.batches import kept_bytes


def rows_of(tokens, channels, seed=0):
    return np.random.default_rng(seed).standard_normal((tokens, channels)) + 5


@pytest.mark.parametrize(("tokens", "channels", "others"), [(100, 12, 7), (10, 30, 40), (30, 40, 12), (40, 40, 40)])
def test_procrustes_is_the_formula(tokens, channels, others):
    x, y = rows_of(tokens, channels), rows_of(tokens, others, 1)
    one, other = (rows - rows.mean(0) for rows in (x, y))
    values = np.linalg.svd(one.T @ other, compute_uv=False).sum()
    assert procrustes(x, y) == pytest.approx(values / np.linalg.norm(one) / np.linalg.norm(other), abs=1e-6)


def test_procrustes_of_a_turned_representation_is_one():
    x = rows_of(100, 12)
    turn = np.linalg.qr(rows_of(12, 12, 2))[0]
    assert procrustes(x, 4 * x @ turn + 9) == pytest.approx(1, abs=1e-6)
    assert np.isnan(procrustes(x, np.ones((100, 3))))


def test_procrustes_is_a_metric_by_its_angle():
    angles = {}
    for seed in range(20):
        x, y, z = (rows_of(30, 6, 3 * seed + i) + (rows_of(30, 6, 999) if i else 0) for i in range(3))
        angles[seed] = [np.arccos(procrustes(a, b)) for a, b in ((x, y), (y, z), (x, z))]
    assert all(xz <= xy + yz + 1e-9 for xy, yz, xz in angles.values())


def test_neighbours_are_those_by_hand():
    x, y = rows_of(50, 4), rows_of(50, 3, 1)

    def by_hand(rows, k):
        far = ((rows[:, None] - rows[None]) ** 2).sum(-1)
        np.fill_diagonal(far, np.inf)
        return [set(np.argsort(line, kind="stable")[:k]) for line in far]

    for k in (1, 5, 20):
        expected = np.mean([len(a & b) / k for a, b in zip(by_hand(x, k), by_hand(y, k), strict=True)])
        assert mutual_neighbours(x, y, k) == pytest.approx(expected)


def test_neighbours_of_independent_tokens_are_shared_by_chance():
    found = mutual_neighbours(rows_of(1000, 8), rows_of(1000, 8, 1), 10)
    assert found == pytest.approx(10 / 999, abs=0.005)
    assert mutual_neighbours(rows_of(1000, 8), 3 * rows_of(1000, 8) - 1, 10) == 1
    assert np.isnan(mutual_neighbours(rows_of(50, 8), np.ones((50, 8)), 10))
    with pytest.raises(BadParams, match="got 10 neighbours of 10 tokens, allowed 1 to 9; set fewer"):
        mutual_neighbours(rows_of(10, 3), rows_of(10, 3), 10)


@pytest.mark.parametrize("measure", ["cka", "procrustes", "mutual_knn"])
def test_a_shuffled_sketch_is_that_of_shuffled_rows(measure):
    """Shuffling loses what two have in common, and changes nothing in what each is."""
    kind = kind_of(measure)
    x, _ = prepare_rows(rows_of(200, 20))
    kept = kind.sketch(x, token_batches(200))
    moved = kind.shuffled(kept, seed=3)
    assert kind.table([moved], [moved]).sum() == pytest.approx(1, abs=1e-6)
    assert kind.table([kept], [moved]).sum() < {"cka": 0.1, "procrustes": 0.6, "mutual_knn": 0.2}[measure]
    order = np.random.default_rng(3).permutation(200)
    truly = kind.sketch(
        x[torch.from_numpy(order)] if measure != "mutual_knn" else x[np.argsort(order)], token_batches(200)
    )
    assert kind.table([kept], [moved]).sum() == pytest.approx(kind.table([kept], [truly]).sum(), abs=1e-6)


def test_groups_of_minibatches_add_up():
    kind = kind_of("cka")
    x, _ = prepare_rows(rows_of(300, 20))
    y, _ = prepare_rows(rows_of(300, 20) + rows_of(300, 20, 1))
    one, other = (kind.sketch(rows, token_batches(300, 20)) for rows in (x, y))
    table = kind.table([one, other], [other])
    assert table.shape == (8, 2, 1)
    assert table.sum(0)[1, 0] == pytest.approx(1, abs=1e-6)


def test_pooling_is_the_cka_of_all_videos_centred_apart():
    """Numerators and denominators are summed; the mean of ratios is something else."""
    rng = np.random.default_rng(0)
    cosines, left, right = rng.uniform(-1, 1, (5, 7)), rng.uniform(0.1, 9, (5, 7)), rng.uniform(0.1, 9, (5, 7))
    expected = (cosines * left * right).sum(0) / np.sqrt((left**2).sum(0) * (right**2).sum(0))
    np.testing.assert_allclose(pooled(cosines, left, right), expected)
    assert not np.allclose(expected, cosines.mean(0), atol=0.05)
    np.testing.assert_allclose(pooled(cosines, 1e200 * left, 1e200 * right), expected)
    cosines[2, 3] = np.nan
    assert np.isnan(pooled(cosines, left, right)).tolist() == [False] * 3 + [True] + [False] * 3


def test_intervals_resample_videos_and_cover_the_truth():
    """Nineteen in twenty of many experiments of 30 videos, within what 200 experiments can tell."""
    rng, hits = np.random.default_rng(0), 0
    ones = np.ones((30, 1))
    counts = draw_counts(30, 400, seed=0)
    for _ in range(200):
        low, high = resampled(rng.normal(0.3, 0.2, (30, 1)), ones, ones, counts)
        hits += bool(low[0] <= 0.3 <= high[0])
    assert 0.88 < hits / 200 < 0.99


def test_an_interval_over_pairs_draws_their_videos():
    counts = draw_counts(4, 50, seed=1)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    weights = pair_draws(counts, pairs)
    kept = counts[(counts > 0).sum(1) > 1]
    np.testing.assert_array_equal(weights[:, 0], kept[:, 0] * kept[:, 1])
    values = np.array([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]])
    low, high = resampled(values, np.ones_like(values), np.ones_like(values), weights)
    assert 0.1 <= low[0] < 0.35 < high[0] <= 0.6
    values[3] = np.nan
    assert all(np.isnan(end[0]) for end in resampled(values, np.ones_like(values), np.ones_like(values), weights))


@pytest.mark.parametrize("tokens", [100, 1449, 2000, 32760])
def test_the_minibatch_that_is_chosen_fits_and_the_next_does_not(tokens):
    keep = 4 * 2**20
    size = choose_batch(tokens, keep)
    assert kept_bytes(tokens, size) <= keep * 1.02
    assert size is None or kept_bytes(tokens, size) > keep / 2.5
    with pytest.raises(BadParams, match="the Gram matrices of 32760 tokens do not fit; got room for minibatches of 2"):
        choose_batch(32760, 2**17 - 2**16)

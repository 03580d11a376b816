"""CKA against the formulas of the papers in float64, known answers, and what must not be done."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.probing import BadParams
from dit_lens_probes.similarity import (
    cka,
    cka_matrix,
    frame_batches,
    packed_grams,
    packed_rows,
    pair_products,
    prepare_rows,
    token_batches,
)

from .direct import cka_direct

TOLERANCE = 1e-5
SHAPES = [(64, 256), (200, 96), (512, 32)]


def related(tokens, channels, seed=0, share=0.7):
    """Two representations with something in common."""
    rng = np.random.default_rng(seed)
    common, *own = rng.standard_normal((3, tokens, channels))
    mixed = [share * common + (1 - share) * part for part in own]
    return [rows @ rng.standard_normal((channels, channels)) for rows in mixed]


def shifted(rows, ratio, seed):
    """Move rows until their mean is so many times as long as their spread; float32, as a model gives them."""
    direction = np.random.default_rng(seed).standard_normal(rows.shape[1])
    spread = np.sqrt(rows.var(0).sum())
    return (rows - rows.mean(0) + ratio * spread * direction / np.linalg.norm(direction)).astype(np.float32)


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ratio", [0, 1, 3, 10, 30, 100])
def test_it_is_the_formula_however_far_the_mean(ratio, shape, estimator):
    x, y = (shifted(rows, ratio, seed) for seed, rows in enumerate(related(*shape)))
    expected = cka_direct(x, y, estimator)
    assert cka(x, y, estimator) == pytest.approx(expected, abs=TOLERANCE)
    assert float(cka_matrix([x, y], estimator, tile=48)[0, 1]) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [10, 1000])
@pytest.mark.parametrize("where", ["token", "channel", "both"])
def test_it_is_the_formula_with_what_is_massive(where, size, shape, estimator):
    x, y = (shifted(rows, 30, seed) for seed, rows in enumerate(related(*shape)))
    for rows in (x, y):
        if where in ("channel", "both"):
            rows[:, 3] *= size
        if where in ("token", "both"):
            rows[7] *= size
    expected = cka_direct(x, y, estimator)
    assert cka(x, y, estimator) == pytest.approx(expected, abs=TOLERANCE)
    assert float(cka_matrix([x, y], estimator, tile=64)[0, 1]) == pytest.approx(expected, abs=TOLERANCE)


def test_a_gram_matrix_of_rows_as_they_are_would_fail_that():
    """The negative control: float32 without centring, as most implementations have it."""
    x, y = (shifted(rows, 100, seed) for seed, rows in enumerate(related(64, 256)))
    one, other = (packed_grams(torch.from_numpy(rows @ rows.T)[None], "debiased").double() for rows in (x, y))
    assert abs(float(one @ other / one.norm() / other.norm()) - cka_direct(x, y)) > 10 * TOLERANCE


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(4, 90),
    st.integers(1, 60),
    st.integers(1, 7),
    st.sampled_from(["debiased", "biased"]),
)
def test_all_pairs_by_tiles_are_the_pairs_one_by_one(seed, tokens, channels, tile, estimator):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((tokens, channels)) + 3
    rows = [(common + rng.standard_normal((tokens, channels)))[:, : max(1, channels - i)] for i in range(3)]
    found = cka_matrix(rows, estimator, tile=tile)
    for i in range(3):
        for j in range(3):
            if tokens > 6:  # below, a debiased length may be next to nothing
                assert float(found[i, j]) == pytest.approx(cka_direct(rows[i], rows[j], estimator), abs=1e-4)


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
@pytest.mark.parametrize("minibatch", [None, 50])
def test_a_representation_is_like_itself(estimator, minibatch):
    for seed, (tokens, channels) in enumerate(SHAPES):
        rows = shifted(related(tokens, channels)[0], 100, seed)
        assert cka(rows, rows, estimator, minibatch) == pytest.approx(1, abs=1e-6)
        assert cka_matrix([rows, rows], estimator).numpy() == pytest.approx(np.ones((2, 2)), abs=1e-6)


@pytest.mark.parametrize("channels", [64, 1024, 5120])
def test_independent_representations_have_nothing_in_common(channels):
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(1024, channels, generator=draw) for _ in range(2))
    assert abs(cka(x, y)) <= 0.02
    if channels > 1024:
        assert cka(x, y, "biased") > 0.8  # why the other is the default


@pytest.mark.parametrize("minibatch", [None, 100])
def test_rotation_scale_and_shift_do_not_matter(minibatch):
    x, _ = related(400, 48)
    turn = np.linalg.qr(np.random.default_rng(5).standard_normal((48, 48)))[0]
    assert cka(x, 7.5 * x @ turn + 3, minibatch=minibatch) == pytest.approx(1, abs=1e-6)
    stretched = x @ np.diag(np.geomspace(1, 100, 48))
    assert cka(x, stretched, minibatch=minibatch) < 0.95  # any other linear map does


def test_a_shared_subspace_comes_out_as_planted():
    """k of the d white directions in common: k / d, of many tokens."""
    rng = np.random.default_rng(1)
    common = rng.standard_normal((2048, 32))
    for k in (0, 8, 16, 24, 32):
        x, y = (np.concatenate([common[:, :k], rng.standard_normal((2048, 32 - k))], 1) for _ in range(2))
        assert cka(x, y) == pytest.approx(k / 32, abs=0.03)


def framed(frames=8, tokens=256, channels=64):
    """What two representations share is the frame that a token is in, and nothing within one."""
    rng = np.random.default_rng(0)
    of_frame = np.repeat(rng.standard_normal((frames, channels)), tokens, axis=0)
    return [5 * of_frame + rng.standard_normal((frames * tokens, channels)) for _ in range(2)]


@pytest.mark.parametrize("size", [128, 256])
def test_minibatches_are_permuted_and_a_run_of_tokens_would_be_wrong(size):
    x, y = framed()
    truth = cka_direct(x, y)
    assert truth > 0.95
    assert cka(x, y, minibatch=size) == pytest.approx(truth, abs=0.01)
    runs = np.arange(len(x)).reshape(-1, size)
    assert abs(cka_direct(x, y, batches=runs)) < 0.02  # the negative control: chunks of a store


def test_no_minibatch_is_a_run_of_tokens():
    for tokens, size in ((4096, 128), (320, 16), (32760, 64)):
        batches = token_batches(tokens, size)
        assert len(np.unique(batches)) == batches.size > tokens - len(batches)
        assert (np.diff(np.sort(batches, axis=1), axis=1) == 1).mean() < 0.2
        np.testing.assert_array_equal(batches, token_batches(tokens, size))
        assert (batches != token_batches(tokens, size, seed=1)).mean() > 0.9


def test_minibatches_inside_frames_are_another_quantity():
    """Of its own name: it is what the formula says of frames, and not what it says of the video."""
    x, y = framed(8, 64, 16)
    batches = frame_batches(8, 64)
    vectors = []
    for rows in (x, y):
        packed = packed_rows(prepare_rows(rows)[0], batches, "debiased")
        vectors.append((packed / packed.norm()).double())
    assert float(vectors[0] @ vectors[1]) == pytest.approx(cka_direct(x, y, batches=batches), abs=TOLERANCE)
    assert abs(float(vectors[0] @ vectors[1])) < 0.1 < cka_direct(x, y)


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
def test_minibatches_are_averaged_before_they_are_divided(estimator):
    x, y = (shifted(rows, 10, seed) for seed, rows in enumerate(related(300, 40)))
    expected = cka_direct(x, y, estimator, batches=token_batches(300, 60))
    assert cka(x, y, estimator, minibatch=60) == pytest.approx(expected, abs=TOLERANCE)


def test_nothing_is_clipped():
    """Debiased values of little data lie on both sides of 0, evenly."""
    draw = torch.Generator().manual_seed(0)
    values = [cka(*(torch.randn(12, 40, generator=draw) for _ in range(2))) for _ in range(200)]
    assert min(values) < -0.1
    assert abs(np.mean(values)) < 0.03


def test_long_sums_are_cut():
    """The negative control is one float32 product of everything."""
    draw = torch.Generator().manual_seed(0)
    vectors = 1 + 1e-3 * torch.randn(2, 2**21, generator=draw)
    exact = vectors.double() @ vectors.double().T
    found = pair_products(vectors, vectors)[0]
    assert float(((found - exact).abs() / exact).max()) < 1e-6
    edges = [5, 40000, 10**6]
    groups = pair_products(vectors, vectors, edges)
    torch.testing.assert_close(groups.sum(0), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        groups[1], vectors[:, 5:40000].double() @ vectors[:, 5:40000].double().T, rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("size", [1e-30, 1e15])
def test_the_scale_of_a_model_overflows_nothing(size):
    x, y = related(100, 20)
    small = [(size * rows).astype(np.float32) for rows in (x, y)]
    assert cka(*small) == pytest.approx(cka_direct(x, y), abs=TOLERANCE)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.full((50, 8), 0.1), "constant"),
        (np.full((50, 8), 1e4) + 1e-4 * np.eye(50, 8), "constant"),
        (np.where(np.arange(400).reshape(50, 8) == 9, np.nan, 1.0), "not finite"),
        (np.where(np.arange(400).reshape(50, 8) == 9, np.inf, 1.0), "not finite"),
        (np.eye(3, 8), "too few tokens: 3, allowed 4 or more"),
        (np.zeros((50, 0)), "no channels"),
    ],
)
def test_of_nothing_nothing_is_said(rows, reason):
    other = np.random.default_rng(0).standard_normal((len(rows), 8))
    assert prepare_rows(rows)[1].reason.startswith(reason)
    assert np.isnan(cka(rows, other))
    found = cka_matrix([rows, other]).numpy()
    assert np.isnan(found[0]).all()
    assert np.isnan(found[:, 0]).all()
    assert len(rows) < 4 or found[1, 1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("tokens", [10, 60, 300])
def test_tokens_that_are_equally_far_from_each_other_are_like_nothing(tokens):
    corners = 7 * np.linalg.qr(np.random.default_rng(0).standard_normal((tokens, tokens)))[0] + 3
    assert np.isnan(cka(corners, corners))
    assert np.isnan(cka_matrix([corners, corners]).numpy()).all()
    assert cka(corners, corners, "biased") == pytest.approx(1, abs=1e-6)


def test_one_direction_less_is_nothing_where_there_is_one():
    rows = np.outer(np.arange(20.0), np.ones(4))
    assert prepare_rows(rows, "drop_first")[1].reason == "constant: nothing is left after drop_first"


def test_what_is_normalised_stands_what_it_is_for():
    """Table of outliers: z-scores take a channel, the norm of tokens takes a token, the first component a channel."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((600, 64))
    x, y = (0.5 * common + rng.standard_normal((600, 64)) for _ in range(2))
    truth = cka(x, y)
    token, channel = 100 * rng.standard_normal(64), 30 * rng.standard_normal(600)
    with_token, with_channel = ([rows.copy() for rows in (x, y)] for _ in range(2))
    for rows in with_token:
        rows[0] = token
    for rows in with_channel:
        rows[:, 5] = channel
    assert cka(*with_channel) > 0.9
    assert cka(*with_channel, normalise="channel_z") == pytest.approx(truth, abs=0.02)
    assert cka(*with_channel, normalise="drop_first") == pytest.approx(truth, abs=0.02)
    assert cka(*with_token, "biased") > 0.9
    assert cka(*with_token, "biased", normalise="token_ln") < 0.3
    assert cka(*with_token, normalise="token_ln") == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("normalise", ["token_ln", "channel_z", "drop_first"])
@pytest.mark.parametrize("shape", [(60, 100), (100, 60)])
def test_what_is_normalised_is_the_formula(normalise, shape):
    x, y = (rows.astype(np.float32) for rows in related(*shape))

    def by_hand(rows):
        rows = rows.astype(np.float64)
        if normalise == "token_ln":
            return (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
        rows = rows - rows.mean(0)
        if normalise == "channel_z":
            return rows / rows.std(0)
        left, values, right = np.linalg.svd(rows, full_matrices=False)
        return (left[:, 1:] * values[1:]) @ right[1:]

    assert cka(x, y, normalise=normalise) == pytest.approx(cka_direct(by_hand(x), by_hand(y)), abs=TOLERANCE)


def test_facts_are_those_of_the_rows():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 30))
    rows[:, 4] *= 20
    rows[3] *= 2
    found = prepare_rows(shifted(rows, 12, 0))[1]
    centred = shifted(rows, 12, 0).astype(np.float64)
    centred -= centred.mean(0)
    squares = centred**2 / (centred**2).sum()
    assert found.mean_ratio == pytest.approx(12, rel=1e-3)
    assert found.top_channel == pytest.approx(squares.sum(0).max(), rel=1e-3)
    assert found.top_token == pytest.approx(squares.sum(1).max(), rel=1e-3)
    assert (found.tokens, found.channels, found.reason) == (500, 30, "")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: cka(x, x[:-1]), "representations of other tokens cannot be compared; got 19 and 20 tokens"),
        (lambda x: cka_matrix([x, x[:-1]]), "representations of other tokens cannot be compared; got 19 and 20"),
        (lambda x: cka_matrix([]), "representations of other tokens cannot be compared; got no tokens"),
        (lambda x: cka(x[None], x), "got the shape 1x20x5, allowed tokens x channels"),
        (lambda x: cka(x, x, estimator="song"), "no such estimator; got 'song', allowed debiased, biased"),
        (lambda x: cka(x, x, normalise="ln"), "got 'ln', allowed none, token_ln, channel_z, drop_first"),
        (lambda x: cka(x, x, minibatch=3), "minibatches of tokens cannot be that small; got 3, allowed 4 or more"),
    ],
)
def test_what_cannot_be_asked_is_refused(call, words):
    with pytest.raises(BadParams, match=words) as info:
        call(np.random.default_rng(0).standard_normal((20, 5)))
    assert isinstance(info.value, ValueError)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_float_is_taken_and_left_as_it_was(dtype):
    rows = torch.from_numpy(related(60, 20)[0]).to(dtype)
    before = rows.clone()
    assert cka(rows, rows) == pytest.approx(1, abs=1e-6)
    cka_matrix([rows, rows])
    assert torch.equal(rows, before)

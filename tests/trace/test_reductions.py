"""Every reduction against an independent formula in float64."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dit_lens.captures import REDUCTIONS, SITES, Capture, Selection
from dit_lens.engine import draws
from dit_lens.engine.arrays import array_specs
from dit_lens.engine.errors import BeyondFloat16, IncompleteTrace
from dit_lens.engine.flow import stored_values
from dit_lens.engine.layout import Layout
from dit_lens.engine.reductions import Reducer
from dit_lens.engine.statistics import row_chunks
from dit_lens_stores.encodings import widened

INSIDE = tuple(site.name for site in SITES.values() if "layer" in site.event_dims and not site.name.startswith("block"))
LAYOUT = Layout(
    branches=("cond",),
    experts=("transformer",),
    timesteps=None,
    sigmas=None,
    layers=1,
    tokens=(4, 3, 5),
    channels=24,
    latent=(6, 4, 6, 10),
    video=(13, 48, 80),
    dtype="bfloat16",
    heads=3,
    head_channels=8,
    text_tokens=11,
    site_layers=dict.fromkeys(INSIDE, (0,)),
)
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
ARGUMENTS = {"raw": "", "energy": "", "mean": "", "std": "", "project": ":5", "gram": ":4", "top": ":3"}


def event(site: str, dtype: torch.dtype = torch.float32, layout: Layout = LAYOUT, seed: int = 0) -> torch.Tensor:
    """Values with a mean far from zero and one channel much louder than the others."""
    generator = torch.Generator().manual_seed(seed)
    shape = [len(layout.labels(dim, site)) for dim in SITES[site].value_dims]
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    feature = SITES[site].value_dims.index(SITES[site].feature_dim)
    values += 3 * torch.randn(shape[feature], generator=generator, dtype=torch.float64).reshape(
        [-1 if axis == feature else 1 for axis in range(len(shape))]
    )
    values.select(feature, shape[feature] // 2).mul_(20)
    return values.to(dtype)


def reducer(text: str, layout: Layout = LAYOUT) -> Reducer:
    return Reducer(Capture.parse(text).resolve(layout), layout)


def attributes(text: str, layout: Layout = LAYOUT) -> dict:
    return dict(array_specs([Capture.parse(text).resolve(layout)], layout, video=False)[0].attrs)


def close(got: torch.Tensor, expected: np.ndarray, relative: float = 1e-5) -> None:
    assert got.dtype == torch.float32
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=relative, atol=relative * np.abs(expected).max())


def rows(values: torch.Tensor, site: str) -> np.ndarray:
    """(tokens, what is kept, features) in float64."""
    dims = SITES[site].value_dims
    moved = np.moveaxis(values.double().numpy(), dims.index(SITES[site].feature_dim), -1)
    tokens = int(np.prod(moved.shape[: len(SITES[site].token_dims)]))
    return moved.reshape(tokens, -1, moved.shape[-1])


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_what_comes_out_has_the_shape_of_the_array(site, reduction):
    capture = Capture.parse(f"{site}:{reduction}{ARGUMENTS[reduction]}")
    resolved = capture.resolve(LAYOUT)
    values = event(site)
    before = values.clone()
    random = torch.get_rng_state().clone()
    out = Reducer(resolved, LAYOUT)(values)
    expected = [len(labels) for dim, labels in resolved.labels.items() if dim not in resolved.event_dims]
    assert list(out.shape) == expected
    assert torch.equal(values, before)
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("site", ["block.out", "attn1.q", "attn2.k", "latent", "attn2.words"])
def test_energy(site, dtype):
    values = event(site, dtype)
    feature = SITES[site].value_dims.index(SITES[site].feature_dim)
    close(reducer(f"{site}:energy")(values), np.sqrt((values.double().numpy() ** 2).sum(feature)), 2e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("site", "axes"),
    [
        ("block.out", "frame+token"),
        ("block.out", "frame"),
        ("block.out", "token"),
        ("block.out", "channel"),
        ("block.out", "frame+channel"),
        ("block.out", "frame+token+channel"),
        ("attn1.q", "head"),
        ("attn1.v", "token+head_channel"),
        ("attn2.v", "text_token"),
        ("latent", "frame+h+w"),
        ("latent", "latent_channel"),
    ],
)
def test_mean_and_std(site, axes, dtype):
    values = event(site, dtype)
    at = tuple(SITES[site].value_dims.index(axis) for axis in axes.split("+"))
    exact = values.double().numpy()
    close(reducer(f"{site}:mean:{axes}")(values), exact.mean(at), 2e-6)
    close(reducer(f"{site}:std:{axes}")(values), exact.std(at), 2e-6)


def test_std_survives_a_mean_far_from_zero():
    values = event("block.out") + 3e4
    close(reducer("block.out:std")(values), values.double().numpy().std((0, 1)), 1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("site", ["block.out", "attn1.k", "attn2.k", "x0"])
def test_top(site, dtype):
    values = event(site, dtype)
    squares_HC = (rows(values, site) ** 2).mean(0)
    order_HC = np.argsort(-squares_HC, axis=-1, kind="stable")[:, :3]
    expected = np.stack(
        [
            order_HC,
            np.take_along_axis(np.sqrt(squares_HC), order_HC, -1),
            np.take_along_axis(squares_HC / squares_HC.sum(-1, keepdims=True), order_HC, -1),
        ],
        axis=-1,
    )
    out = reducer(f"{site}:top:3")(values)
    close(out, expected.reshape(out.shape))
    assert (out[..., 0].numpy() == order_HC.reshape(out.shape[:-1])).all()


def test_top_of_equal_channels_and_of_nothing():
    out = reducer("block.out:top:3")(torch.zeros(4, 15, 24))
    assert out.tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("site", ["block.out", "attn1.q", "attn2.v", "latent"])
def test_project_can_be_made_again_from_the_attributes(site, dtype):
    """Written from the sentence in the attributes, with nothing of the package."""
    facts = attributes(f"{site}:project:5")
    size = facts["features"] * facts["components"]
    raw = np.random.PCG64(facts["seed"]).random_raw(2 * size)
    u = (raw >> np.uint64(11)) / 2**53
    normal = np.sqrt(-2 * np.log(1 - u[:size])) * np.cos(2 * np.pi * u[size:])
    matrix_CK = normal.reshape(facts["features"], facts["components"]) / np.sqrt(facts["components"])
    values = event(site, dtype)
    feature = SITES[site].value_dims.index(SITES[site].feature_dim)
    expected = np.moveaxis(np.moveaxis(values.double().numpy(), feature, -1) @ matrix_CK, -1, feature)
    close(reducer(f"{site}:project:5")(values), expected)


def test_the_projection_is_gaussian_and_keeps_squared_lengths():
    matrix_CK = draws.projection(draws.SEED, 2000, 50).astype(np.float64) * np.sqrt(50)
    assert abs(matrix_CK.mean()) < 4 / np.sqrt(matrix_CK.size)
    assert abs(matrix_CK.var() - 1) < 4 * np.sqrt(2 / matrix_CK.size)
    assert abs((matrix_CK**4).mean() - 3) < 4 * np.sqrt(96 / matrix_CK.size)
    assert np.isfinite(matrix_CK).all()


def test_the_draws_never_change():
    assert draws.permutation(0, 8).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    np.testing.assert_allclose(draws.projection(0, 2, 2), [[0.38970593, 0.47857115], [-0.16032128, -0.01658506]], 1e-6)
    assert sorted(draws.permutation(0, 500)) == list(range(500))
    assert not np.array_equal(draws.permutation(0, 500), draws.permutation(1, 500))


def permuted_batches(facts: dict) -> np.ndarray:
    """Written from the sentence in the attributes, with nothing of the package."""
    order = np.argsort(np.random.PCG64(facts["seed"]).random_raw(facts["tokens"]), kind="stable")
    return order[: facts["batch"] * facts["batches"]].reshape(facts["batches"], facts["batch"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "text", ["block.out:gram:7", "block.out:gram:10x3", "attn1.q:gram:5", "attn2.k:gram:4", "x0:gram:9x2"]
)
def test_gram(text, dtype):
    site = Capture.parse(text).site
    values = event(site, dtype)
    batches_MB = permuted_batches(attributes(text))
    rows_HNC = rows(values, site).transpose(1, 0, 2)
    expected = np.stack(
        [
            [(b - b.mean(0)) @ (b - b.mean(0)).T for b in (rows_NC[batch] for batch in batches_MB)]
            for rows_NC in rows_HNC
        ]
    )
    out = reducer(text)(values)
    close(out, expected.reshape(out.shape))


def hsic(X_NC: np.ndarray, Y_NC: np.ndarray) -> float:
    """Song's unbiased estimator as it was published, from features that are not centred."""
    n = len(X_NC)
    K, L = X_NC @ X_NC.T, Y_NC @ Y_NC.T
    np.fill_diagonal(K, 0)
    np.fill_diagonal(L, 0)
    cross = (K.sum() * L.sum()) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (K.sum(0) @ L.sum(0))
    return float(((K * L).sum() + cross) / (n * (n - 3)))


def hsic_of_grams(K: np.ndarray, L: np.ndarray) -> float:
    """The same from centred Gram matrices, as they are stored."""
    n, k, m = len(K), np.diag(K), np.diag(L)
    return float(((K * L).sum() - n / (n - 2) * (k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2))) / (n * (n - 3)))


def test_debiased_cka_from_stored_grams_equals_the_one_from_features():
    layout = dataclasses.replace(LAYOUT, tokens=(4, 16, 16))
    text = "block.out:gram:64x8"
    first = event("block.out", layout=layout)
    second = event("block.out", layout=layout, seed=1) + 0.3 * first.roll(1, dims=-1)
    grams = [reducer(text, layout)(values).double().numpy() for values in (first, second)]
    batches_MB = permuted_batches(attributes(text, layout))
    features = [rows(values, "block.out")[:, 0] for values in (first, second)]

    def stored(one: int, other: int) -> float:
        return float(np.mean([hsic_of_grams(K, L) for K, L in zip(grams[one], grams[other], strict=True)]))

    def direct(one: int, other: int) -> float:
        return float(np.mean([hsic(features[one][batch], features[other][batch]) for batch in batches_MB]))

    cka = stored(0, 1) / np.sqrt(stored(0, 0) * stored(1, 1))
    expected = direct(0, 1) / np.sqrt(direct(0, 0) * direct(1, 1))
    assert cka == pytest.approx(expected, abs=1e-5)
    assert 0.05 < expected < 0.99


def minibatch_cka(grams: list[np.ndarray]) -> float:
    between, one, other = (
        np.mean([hsic_of_grams(K, L) for K, L in zip(grams[a], grams[b], strict=True)])
        for a, b in ((0, 1), (0, 0), (1, 1))
    )
    return float(between / np.sqrt(one * other))


def test_minibatches_are_drawn_from_all_frames():
    """What the tokens of a frame share is gone once a frame is centred: only permuted minibatches can see it."""
    layout = dataclasses.replace(LAYOUT, tokens=(16, 8, 8))
    generator = torch.Generator().manual_seed(3)
    shared_F1C = torch.randn(16, 1, 24, generator=generator) * 5
    first, second = (shared_F1C + torch.randn(16, 64, 24, generator=generator) for _ in range(2))
    permuted = [reducer("block.out:gram:64", layout)(values).double().numpy() for values in (first, second)]
    centred = [values.double() - values.double().mean(1, keepdim=True) for values in (first, second)]
    by_frame = [(values @ values.mT).numpy() for values in centred]
    assert minibatch_cka(permuted) > 0.9
    assert minibatch_cka(by_frame) < 0.1


@given(st.data())
def test_selected_equals_numpy_indexing(data):
    site = SITES[data.draw(st.sampled_from(sorted(name for name in SITES if not SITES[name].probabilities)))]
    layout = dataclasses.replace(LAYOUT, frame_stride=3)
    axes = sorted({"frame", "token", "head"} & set(site.value_dims))
    chosen = {
        axis: data.draw(st.lists(st.sampled_from(layout.labels(axis, site.name)), min_size=1, max_size=6, unique=True))
        for axis in data.draw(st.sets(st.sampled_from(axes) if axes else st.nothing()))
    }
    capture = Capture(site.name, "raw", Selection(**{axis: tuple(labels) for axis, labels in chosen.items()}))
    resolved = capture.resolve(layout)
    values = event(site.name, layout=layout)
    at = [
        sorted(layout.labels(dim, site.name).index(label) for label in chosen[dim])
        if dim in chosen
        else range(len(layout.labels(dim, site.name)))
        for dim in site.value_dims
    ]
    selected = Reducer(resolved, layout).select(values)
    assert np.array_equal(selected.numpy(), values.numpy()[np.ix_(*at)])


def test_all_of_it_and_neighbours_are_not_copied():
    values = event("block.out")
    assert reducer("block.out").select(values) is values
    assert reducer("block.out[frame=1:3]").select(values).data_ptr() == values[1].data_ptr()
    assert reducer("block.out[token=1+2+7]").select(values).data_ptr() != values.data_ptr()


def test_positions_are_for_who_computes_probabilities():
    strided = dataclasses.replace(LAYOUT, frame_stride=2)
    assert reducer("attn1.frames[frame=2:6,head=-1,y=1]", strided).positions == {
        "frame": (1, 2),
        "head": (2,),
        "key_frame": (0, 1, 2, 3),
        "token": (5, 6, 7, 8, 9),
    }


@pytest.mark.parametrize(("text", "made"), [("block.out:project:4", "projection"), ("block.out:gram:4", "permutation")])
def test_what_is_drawn_is_drawn_once(text, made, monkeypatch):
    calls = []
    draw = getattr(draws, made)
    monkeypatch.setattr(draws, made, lambda *args: (calls.append(args), draw(*args))[1])
    one = reducer(text)
    first = one(event("block.out"))
    assert torch.equal(one(event("block.out")), first)
    assert len(calls) == 1
    assert torch.equal(reducer(text)(event("block.out")), first)


def _float32(values):
    """What an exact array holds in the end."""
    return widened(stored_values(values), "float32")


@pytest.mark.parametrize("reduction", ["raw", "mean:frame", "std:frame", "energy", "project:4", "gram:4"])
@pytest.mark.parametrize("source", DTYPES)
def test_dtypes(reduction, source):
    values = event("block.out", source)
    exact = _float32(reducer(f"block.out:{reduction}")(values))
    assert exact.dtype == np.float32
    rounded = torch.from_numpy(exact).to(torch.bfloat16)
    kept = _float32(reducer(f"block.out:{reduction}@bfloat16")(values))
    assert kept.dtype == np.float32
    assert not (kept.view(np.uint32) & 0xFFFF).any()
    assert np.array_equal(kept, rounded.float().numpy())
    bits = stored_values(reducer(f"block.out:{reduction}@bits")(values), "bits")
    assert bits.dtype == np.uint16
    assert np.array_equal(bits, (kept.view(np.uint32) >> 16).astype(np.uint16))
    half = stored_values(reducer(f"block.out:{reduction}@float16")(values), "float16")
    assert half.dtype == np.float16
    assert np.array_equal(half, exact.astype(np.float16))


def test_raw_leaves_the_device_as_narrow_as_it_came():
    values = event("block.out", torch.bfloat16)
    assert reducer("block.out")(values).dtype == torch.bfloat16
    assert np.array_equal(_float32(reducer("block.out")(values)), values.float().numpy())


def test_what_float16_cannot_hold_ends_the_run():
    values = event("block.out")
    values[0, 0, 0] = -70000.0
    with pytest.raises(BeyondFloat16) as caught:
        reducer("block.out@float16")(values)
    assert str(caught.value) == (
        "values of block.out.raw do not fit float16; got 70000, allowed 65504 at most; capture it as float32, without "
        "@float16"
    )
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, IncompleteTrace)
    values[0, 0, 0] = float("nan")  # what the model computed itself is recorded as it is
    values[0, 0, 1] = float("-inf")
    half = stored_values(reducer("block.out@float16")(values), "float16")
    assert np.isnan(half[0, 0, 0])
    assert half[0, 0, 1] == -np.inf


@pytest.mark.parametrize("reduction", ["energy", "mean", "std", "project:4", "gram:4", "top:2"])
def test_more_rows_than_a_piece_and_in_another_order_in_memory(reduction):
    layout = dataclasses.replace(LAYOUT, tokens=(3, 20, 30))
    values = event("block.out", torch.bfloat16, layout)
    assert len(list(row_chunks(values.flatten(0, 1)))) > 2
    one = reducer(f"block.out:{reduction}", layout)
    strange = values.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert not strange.is_contiguous()
    expected = one(values.double())
    for version in (values, strange):
        np.testing.assert_allclose(one(version), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_autocast_changes_nothing():
    values = event("block.out", torch.bfloat16)
    for reduction, argument in ARGUMENTS.items():
        plain = reducer(f"block.out:{reduction}{argument}")(values)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(reducer(f"block.out:{reduction}{argument}")(values), plain)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_the_precision_of_the_users_products_changes_nothing(precision):
    values = event("block.out", torch.float32)
    for reduction, argument in ARGUMENTS.items():
        plain = reducer(f"block.out:{reduction}{argument}")(values)
        torch.set_float32_matmul_precision(precision)
        try:
            assert torch.equal(reducer(f"block.out:{reduction}{argument}")(values), plain)
            assert torch.get_float32_matmul_precision() == precision
        finally:
            torch.set_float32_matmul_precision("highest")


def test_what_is_made_anew_shares_no_memory():
    values = event("block.out")
    for reduction, argument in ARGUMENTS.items():
        one, taken = reducer(f"block.out:{reduction}{argument}"), values.clone()
        reduced = one(taken)
        before = reduced.clone()
        taken.fill_(7.0)
        assert one.makes_anew == torch.equal(reduced, before), reduction


def test_gradients_stay_behind():
    values = event("block.out").requires_grad_()
    for reduction, argument in ARGUMENTS.items():
        assert not reducer(f"block.out:{reduction}{argument}")(values).requires_grad

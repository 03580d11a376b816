"""Principal components: exact against one matrix of all tokens, the same for any split, and always of one sign."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from dit_lens.figures import data_of
from dit_lens.probing import BadParams, analyze, prepare
from dit_lens.probing.chunks import cut_trace
from dit_lens.testing import check_probe, synthetic_store
from dit_lens_probes.pca import Pca
from dit_lens_probes.pca.components import components_of
from dit_lens_probes.pca.figures import colours_of
from dit_lens_probes.pca.moments import merge_moments, moments_of


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return synthetic_store(tmp_path_factory.mktemp("s") / "s.zarr", ["block.out:raw"], "abc", video=False)


@pytest.fixture(scope="module")
def result(store):
    return analyze(store, Pca, {"components": 6})


def tokens_of(store, **at):
    """All tokens of one cell of all traces, float64."""
    raw = [store[trace]["block.out.raw"].sel(at).transpose("frame", "token", "channel").values for trace in "abc"]
    return np.concatenate(raw).reshape(-1, 6).astype(np.float64)


@pytest.mark.parametrize(
    "params", [{}, {"capture": "block.out:raw[step=0:2,layer=1]", "basis": "layer", "project": 3, "standardise": True}]
)
def test_it_conforms(params):
    assert check_probe(Pca, params)[-1] == "draw"


@pytest.mark.parametrize("at", [{"branch": "cond", "step": 0, "layer": 0}, {"branch": "uncond", "step": 3, "layer": 2}])
def test_components_are_those_of_all_tokens_at_once(store, result, at):
    x = tokens_of(store, **at)
    expected, here = PCA(6, svd_solver="full").fit(x), result.sel(at)
    np.testing.assert_allclose(here["explained"], expected.explained_variance_ratio_, rtol=1e-9)
    cosines = np.abs(np.sum(here["vector"].values * expected.components_, axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-5)
    assert float(here["total"]) == pytest.approx(x.var(0).sum())
    ratio = np.linalg.norm(x.mean(0)) / np.sqrt(x.var(0).sum())
    assert float(here["mean_ratio"]) == pytest.approx(ratio)
    assert int(here["top_channel"]) == x.var(0).argmax()
    assert float(here["top_share"]) == pytest.approx(x.var(0).max() / x.var(0).sum())
    assert int(here["tokens"]) == len(x)


def test_maps_are_the_scores_of_the_first_trace_at_their_place(store, result):
    at = {"branch": "cond", "step": 2, "layer": 1}
    own = store["a"]["block.out.raw"].sel(at)
    vectors = result["vector"].sel(at).values[:3].astype(np.float64)
    scores = (own.values - tokens_of(store, **at).mean(0)) @ vectors.T
    for token in range(own.sizes["token"]):
        place = {"y": int(own["y"][token]), "x": int(own["x"][token])}
        np.testing.assert_allclose(result["map"].sel(at | place).values, scores[:, token], atol=1e-4)
    assert result["map"].attrs["trace"] == "a"


def test_a_trace_can_be_chosen_for_the_maps(store, result):
    other = analyze(store, Pca, {"components": 6, "trace": "c"})
    assert other["map"].attrs["trace"] == "c"
    xr.testing.assert_allclose(other["explained"], result["explained"])
    assert not np.allclose(other["map"], result["map"])


def test_one_basis_for_all_steps_of_a_layer(store):
    shared = analyze(store, Pca, {"basis": "layer", "components": 6})
    everything = [
        tokens_of(store, branch=branch, step=step, layer=1) for branch in ("cond", "uncond") for step in range(4)
    ]
    expected = PCA(6, svd_solver="full").fit(np.concatenate(everything))
    vectors = shared["vector"].sel(layer=1)
    assert (vectors == vectors.isel(branch=0, step=0)).all()
    np.testing.assert_allclose(
        np.abs(np.sum(vectors.isel(branch=0, step=0).values * expected.components_, axis=1)), 1, atol=1e-4
    )
    x = everything[2] - everything[2].mean(0)
    along = ((x @ expected.components_.T) ** 2).sum(0) / (x**2).sum()
    np.testing.assert_allclose(shared["explained"].sel(branch="cond", step=2, layer=1), along, rtol=1e-5)


# Digits and signs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_a_large_mean_costs_no_digits(offset):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 5)) * [3, 2, 1, 0.5, 0.1]
    merged = merge_moments([moments_of(part + offset) for part in np.array_split(x, 7)])
    np.testing.assert_allclose(merged.covariance, np.cov(x.T, bias=True), atol=1e-9 * max(offset, 1))


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(8)), st.integers(1, 6), st.integers(0, 100))
def test_moments_do_not_depend_on_the_split(order, cut, seed):
    parts = np.array_split(np.random.default_rng(seed).standard_normal((80, 4)) + 50, 8)
    whole = moments_of(np.concatenate(parts))
    first, second = ([moments_of(parts[at]) for at in side] for side in (order[:cut], order[cut:]))
    merged = merge_moments([merge_moments(second), merge_moments(first)])
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.mean_D, whole.mean_D, rtol=1e-12)
    np.testing.assert_allclose(merged.scatter_DD, whole.scatter_DD, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_sign_is_that_of_the_largest_loading(seed):
    x = np.random.default_rng(seed).standard_normal((50, 6)) * np.arange(1, 7)
    found, turned = (components_of(moments_of(rows), 6) for rows in (x, x[::-1].copy()))
    largest = np.abs(found.vector_KD).argmax(1)
    assert (found.vector_KD[np.arange(6), largest] > 0).all()
    np.testing.assert_allclose(found.vector_KD, turned.vector_KD, atol=1e-6)


def test_the_gap_says_where_components_may_be_turned_into_each_other():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20_000, 3)) * [3, 3, 1]
    gap = components_of(moments_of(x), 3).gap_K
    assert gap[0] < 0.05
    assert gap[1] > 0.8
    assert gap[2] == 1


def test_a_massive_channel_is_one_among_many_if_standardised():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 8)) * [1000, 1, 1, 1, 1, 1, 1, 1]
    plain, even = (components_of(moments_of(x), 3, standardise) for standardise in (False, True))
    assert plain.explained_K[0] > 0.99
    assert plain.dimensions < 1.01
    assert even.explained_K[0] < 0.25
    assert even.dimensions > 7


# Input -----------------------------------------------------------------------------------------------------------


def states_of(probe, store):
    for trace in store.traces:
        cut = cut_trace(trace, store[trace], probe)
        yield from (probe.map(cut.chunk(place)) for place in cut.places)


def test_the_state_is_one_trace_and_a_matrix_a_cell_however_many_traces(store):
    probe = Pca()
    states = list(states_of(probe, store))
    merged = probe.combine(states)
    assert {trace for trace, _ in merged.tokens} == {"a"}
    cells = 2 * 4 * 3
    assert probe.finish(merged).attrs["state_bytes"] == cells * (8 * 6 * 6 + 4 * 6 * 3 * 20)
    assert {trace for trace, _ in probe.combine(states[::-1]).tokens} == {"a"}


def test_a_constant_representation_is_nan_with_its_reason(tmp_path, monkeypatch):
    from dit_lens.testing import synthetic

    values = synthetic._values
    monkeypatch.setattr(synthetic, "_values", lambda *given: np.full_like(values(*given), 3.0))
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:raw"], ["a"], video=False)
    result = analyze(store, Pca)
    assert (result["reason"] == "the representation is the same in all tokens, or not finite").all()
    for name in ("explained", "total", "dimensions", "map", "vector"):
        assert result[name].isnull().all(), name
    assert sorted(Pca().draw(result)) == ["explained", "layers_in_colour", "steps_in_colour"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"capture": "block.out:energy"}, "pca.capture holds no vector for a token of a layer; got 'block.out:energy'"),
        ({"capture": "block.out:mean"}, "pca.capture holds no vector"),
        ({"trace": "z"}, "finds no trace 'z'; got 'z', allowed a, b, c"),
        ({"memory": 1e-6}, r"more memory than pca\.memory; got .* GB, allowed 1e-06 GB; take fewer cells"),
        ({"components": 0}, "components cannot be used; got 0"),
    ],
)
def test_bad_input_is_refused_before_anything_is_read(store, params, words):
    with pytest.raises(BadParams, match=words):
        prepare(store, Pca, params)


@pytest.mark.parametrize("params", [{"branch": "cnod"}, {"step": 9}, {"layer": -9}])
def test_labels_that_are_not_there_cannot_be_drawn(result, params):
    with pytest.raises(BadParams, match="probe 'pca' finds no"):
        Pca(Pca.Params(**params)).draw(result)


# Figures ---------------------------------------------------------------------------------------------------------


def test_colours_are_scaled_over_all_frames_and_grey_where_there_is_no_token():
    scores = np.linspace(-1, 1, 2 * 3 * 4 * 3).reshape(2, 3, 4, 3)
    scores[0, 1, 1] = np.nan
    colours = colours_of(scores)
    assert colours.min() == 0
    assert colours.max() == 1
    assert (colours[0, 1, 1] == 0.82).all()
    assert colours[0].mean() < colours[1].mean()


def test_figures_say_what_they_show(result, same_as_noted):
    figures = Pca(Pca.Params(step=-1, layer=0)).draw(result)
    same_as_noted(figures["explained"])
    noted = data_of(figures["layers_in_colour"])["map"]
    assert noted.equals(result["map"].sel(branch="cond", step=result["step"][-1]).transpose(*noted.dims))
    assert sorted(figures) == ["explained", "layers_in_colour", "steps_in_colour"]
    title = figures["layers_in_colour"].get_suptitle()
    assert title.split("\n") == [
        "First three components as red, green, blue",
        "a",
        "step 3, σ 0.430, transformer_2 · branch cond",
    ]
    assert "3 traces, 180 tokens a cell" in figures["explained"].get_suptitle()
    images = [axis.images[0] for axis in figures["steps_in_colour"].axes]
    assert len(images) == 4 * 3
    shown = colours_of(result["map"].sel(branch="cond", layer=0, step=0).values)
    np.testing.assert_allclose(np.asarray(images[0].get_array()), shown[0], atol=1e-6)

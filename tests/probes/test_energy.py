"""The numbers of the energy probe, against formulas written out by hand in double precision."""

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dit_lens.engine.layout import Layout
from dit_lens.probing import BadParams, MissingCapture, analyze
from dit_lens.probing.chunks import cut_trace
from dit_lens.testing import SMALL, synthetic_store
from dit_lens_probes.energy import Energy, robust_map
from dit_lens_probes.energy.view import choose_view

CELLS = [
    (trace, branch, step, layer)
    for trace in "ab"
    for branch in SMALL.branches
    for step in range(4)
    for layer in range(3)
]


@pytest.fixture(scope="module")
def result(energies):
    return analyze(energies, Energy)


def by_hand(values, low, high):
    """Clip to percentiles, then z-score: plain Python, exact sums."""
    ordered = sorted(values)

    def percentile(q):
        place = (len(ordered) - 1) * q / 100
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    floor, ceiling = percentile(low), percentile(high)
    clipped = [min(max(value, floor), ceiling) for value in values]
    mean = math.fsum(clipped) / len(clipped)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in clipped) / len(clipped))
    return [(value - mean) / deviation for value in clipped]


def test_energy_is_the_norm_of_the_raw_values_at_their_place(result, energies):
    for trace in "ab":
        raw = xr.open_zarr(energies.path, group=trace, consolidated=False, chunks=None)["block.out.raw"].load()
        for token in range(raw.sizes["token"]):
            here = raw.sel(token=token)
            norm = np.sqrt((here.values.astype(np.float64) ** 2).sum(-1))
            there = result["energy"].sel(trace=trace, y=int(here["y"]), x=int(here["x"]))
            np.testing.assert_allclose(there.values, norm, rtol=1e-6)


def test_energy_is_the_stored_value_to_the_bit(result, energies):
    stored = energies["b"]["block.out.energy"]
    np.testing.assert_array_equal(result["energy"].sel(trace="b").values.reshape(stored.shape), stored.values)


@pytest.mark.parametrize(("low", "high"), [(1.0, 99.0), (0.0, 100.0), (10.0, 80.0)])
def test_robust_is_the_formula(energies, low, high):
    result = analyze(energies, Energy, {"clip_low": low, "clip_high": high})
    assert (result["robust"].attrs["clip_low"], result["robust"].attrs["clip_high"]) == (low, high)
    for trace, branch, step, layer in CELLS[::5]:
        at = {"trace": trace, "branch": branch, "step": step, "layer": layer}
        expected = by_hand([float(v) for v in result["energy"].sel(at).values.ravel()], low, high)
        np.testing.assert_allclose(result["robust"].sel(at).values.ravel(), expected, rtol=1e-5, atol=1e-6)


def test_robust_ignores_a_massive_token_that_raw_is_ruled_by():
    values = np.random.default_rng(0).normal(10, 1, (4, 16, 16))
    values[0, 0, 0] = 1e4
    calm = robust_map(values, 1, 99)
    assert abs(calm[1:].std() - 1) < 0.05
    assert calm.max() < 4
    plain = robust_map(values, 0, 100)
    assert plain[1:].std() < 0.01


def test_robust_of_equal_values_is_zero_and_nan_stays_nan():
    values = np.ones((1, 2, 2))
    assert not robust_map(values, 1, 99).any()
    values[0, 0, 0] = np.nan
    flat = robust_map(values, 1, 99)
    assert np.isnan(flat[0, 0, 0])
    assert np.nansum(np.abs(flat)) == 0


def test_steps_keep_their_sigma_timestep_and_expert(result):
    assert result["sigma"].dims == ("step",)
    assert tuple(result["sigma"].values) == SMALL.sigmas
    assert tuple(result["timestep"].values) == SMALL.timesteps
    assert tuple(result["expert"].values) == SMALL.experts


def test_a_selection_keeps_its_true_labels(tmp_path):
    store = synthetic_store(
        tmp_path / "s.zarr", ["block.out:energy[step=1+3,layer=1:,branch=cond,frame=2,token=6+8+13]"]
    )
    result = analyze(store, Energy)
    labels = {dim: result[dim].values.tolist() for dim in ("branch", "step", "layer", "frame", "y", "x")}
    assert labels == {"branch": ["cond"], "step": [1, 3], "layer": [1, 2], "frame": [2], "y": [1, 2], "x": [1, 3]}
    here = result["energy"].sel(trace="a", branch="cond", step=3, layer=2, frame=2)
    stored = store["a"]["block.out.energy"].sel(branch="cond", step=3, layer=2, frame=2)
    assert here.sel(y=2, x=3) == stored.sel(token=13)
    assert np.isnan(here.sel(y=2, x=1))  # token 11 was not captured
    assert np.isnan(result["robust"].sel(trace="a", branch="cond", step=3, layer=2, frame=2, y=2, x=1))


def test_traces_with_other_steps_share_a_result_but_no_sigma(tmp_path):
    short = Layout(**{**vars(SMALL), "experts": SMALL.experts[1:3], "sigmas": (0.9, 0.5), "timesteps": (900.0, 500.0)})
    store = synthetic_store(tmp_path / "s.zarr", traces=["long"])
    synthetic_store(store.path, traces=["short"], layout=short)
    result = analyze(store, Energy)
    assert result["sigma"].dims == result["expert"].dims == ("trace", "step")
    np.testing.assert_array_equal(result["sigma"].sel(trace="short"), [0.9, 0.5, np.nan, np.nan])
    assert result["expert"].sel(trace="short").values.tolist() == ["transformer", "transformer_2", "", ""]
    assert np.isnan(result["energy"].sel(trace="short", step=3)).all()
    assert np.isfinite(result["energy"].sel(trace="long")).all()
    assert sorted(Energy().draw(result.sel(trace=["short"]))) == ["layer_over_steps", "layers_by_frames"]


@pytest.mark.parametrize("trace", ["few", "many"])
@pytest.mark.parametrize("scale", ["raw", "robust"])
def test_traces_that_hold_other_layers_and_branches_are_drawn_each_as_it_is(tmp_path, trace, scale):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:energy[layer=2,branch=uncond,step=1:3,frame=1:]"], ["few"])
    synthetic_store(store.path, ["block.out:energy[layer=0:2]"], traces=["many"])
    result = analyze(store, Energy)
    assert (result.sizes["layer"], result.sizes["branch"]) == (3, 2)
    params = Energy.Params(trace=trace, scale=scale)
    view = choose_view(result, params)
    assert (view.branch, view.step, view.layer) == {"few": ("uncond", 2, 2), "many": ("cond", 2, 1)}[trace]
    assert sorted(Energy(params).draw(result)) == ["layer_over_steps", "layers_by_frames"]


@pytest.mark.parametrize(("params", "allowed"), [({"layer": 1}, "2"), ({"branch": "cond"}, "uncond")])
def test_what_only_another_trace_holds_is_refused(tmp_path, params, allowed):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:energy[layer=2,branch=uncond]"], ["few"])
    synthetic_store(store.path, traces=["many"])
    result = analyze(store, Energy)
    for refuses in (lambda: analyze(store, Energy, params), lambda: choose_view(result, Energy.Params(**params))):
        with pytest.raises(BadParams, match=f"finds no .* allowed {allowed}[;?]"):
            refuses()


@st.composite
def groupings(draw, count=8):
    """Any tree over any order of ``count`` states: nested lists with numbers as leaves."""
    parts = draw(st.permutations(range(count)))
    while len(parts) > 1:
        size = draw(st.integers(2, len(parts)))
        start = draw(st.integers(0, len(parts) - size))
        parts = [*parts[:start], parts[start : start + size], *parts[start + size :]]
    return parts[0]


@pytest.fixture(scope="module")
def states(energies):
    probe = Energy(Energy.Params(overlay=True))
    cuts = [cut_trace(trace, energies[trace], probe) for trace in "ab"]
    return probe, [probe.map(cut.chunk(place)) for cut in cuts for place in cut.places]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=groupings())
def test_any_split_in_any_order_gives_the_same_result(states, tree):
    probe, leaves = states

    def merged(node):
        return leaves[node] if isinstance(node, int) else probe.combine([merged(part) for part in node])

    xr.testing.assert_identical(probe.finish(merged(tree)), probe.finish(probe.combine(leaves)))


def test_overlay_takes_the_last_video_frame_of_each_latent_frame(energies):
    result = analyze(energies, Energy, {"overlay": True})
    assert result["video"].dims == ("trace", "frame", "video_y", "video_x", "rgb")
    for trace in "ab":
        np.testing.assert_array_equal(result["video"].sel(trace=trace), energies[trace]["video"].values[[0, 4, 8]])
    assert "video" not in analyze(energies, Energy)


def test_overlay_of_selected_frames_takes_the_right_pictures(tmp_path):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:energy[frame=1]"], ["a"])
    result = analyze(store, Energy, {"overlay": True})
    np.testing.assert_array_equal(result["video"].sel(trace="a", frame=1), store["a"]["video"].values[4])


def test_overlay_is_refused_where_it_cannot_be_placed(tmp_path, monkeypatch):
    monkeypatch.setattr("dit_lens.testing.synthetic._manifest", lambda *_: {"model": "synthetic"})
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:energy[frame=1]"], ["a"])
    with pytest.raises(MissingCapture, match="cannot place its overlay; got a capture with frame=1"):
        analyze(store, Energy, {"overlay": True})
    whole = synthetic_store(tmp_path / "w.zarr", ["block.out:energy"], ["a"])
    assert analyze(whole, Energy, {"overlay": True})["video"].sizes["frame"] == 3

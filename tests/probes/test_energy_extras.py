"""What the energy probe adds when asked: sinks, massive channels, the share on a mask, and curves."""

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from dit_lens.engine.layout import Layout
from dit_lens.facts import image_sha256
from dit_lens.probing import BadParams, MissingCapture, analyze, prepare
from dit_lens.puzzles import named_puzzle
from dit_lens.testing import SMALL, check_probe, synthetic, synthetic_store
from dit_lens_probes.energy import Energy
from dit_lens_probes.energy.curves import mean_over_traces
from dit_lens_probes.energy.maps import robust_map
from dit_lens_probes.energy.sinks import dominance, massive_channels

ALL = {"sinks": "mask", "sink_ratio": 3, "curves": True, "channels": "top:2"}
GRID = Layout(**{**vars(SMALL), "tokens": (5, 8, 8), "latent": (4, 5, 8, 8), "video": (17, 64, 64)})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "s.zarr"
    return synthetic_store(path, ["block.out:energy", "block.out:raw", "block.out:top:3"])


def test_it_conforms_with_everything_on():
    assert check_probe(Energy, ALL)[-1] == "draw"


def test_what_was_not_asked_for_is_not_there(store):
    assert sorted(analyze(store, Energy).data_vars) == ["energy", "robust"]


# Sinks -----------------------------------------------------------------------------------------------------------


def loud(share_of_layers, times):
    """Ten layers of tokens of equal energy, but for one that is loud in some of them."""
    energy = xr.DataArray(np.ones((10, 2, 3, 4)), dims=("layer", "frame", "y", "x"))
    energy[: round(10 * share_of_layers), 1, 2, 3] = times
    return energy


@pytest.mark.parametrize(("share", "times", "expected"), [(0.6, 50, 0.6), (1, 10, 1), (1, 9.9, 0), (0, 1, 0)])
def test_a_token_dominates_where_it_is_many_times_the_median(share, times, expected):
    found = dominance(loud(share, times), ratio=10)
    assert float(found[1, 2, 3]) == pytest.approx(expected)
    assert float(found.sum()) == pytest.approx(expected)


def test_sinks_are_left_out_of_the_robust_map_and_of_curves_but_not_of_energy(store):
    plain, masked = analyze(store, Energy, {"curves": True}), analyze(store, Energy, {**ALL, "channels": ""})
    xr.testing.assert_identical(plain["energy"], masked["energy"])
    sinks = (masked["dominance"] > 0.5).transpose("trace", "branch", "step", "frame", "y", "x")
    assert 0 < int(sinks.sum()) < sinks.size / 4
    assert masked["robust"].where(sinks).isnull().all()
    at = {"trace": "a", "branch": "cond", "step": 1, "layer": 2}
    here = plain["energy"].sel(at).values.astype(float)
    here[sinks.sel(trace="a", branch="cond", step=1).values] = np.nan
    np.testing.assert_allclose(masked["robust"].sel(at), robust_map(here, 1, 99), rtol=1e-5, atol=1e-6)
    assert float(masked["mean"].sel(at)) == pytest.approx(np.nanmean(here), rel=1e-6)
    assert float(masked["peak"].sel(at)) == pytest.approx(np.nanmax(here) / np.nanmedian(here), rel=1e-6)
    assert float(masked["mean"].sel(at)) <= float(plain["mean"].sel(at))


def test_found_sinks_are_ringed_and_change_nothing(store):
    plain, found = analyze(store, Energy), analyze(store, Energy, {"sinks": "find", "sink_ratio": 3})
    xr.testing.assert_identical(plain["robust"], found["robust"])
    figure = Energy(Energy.Params(step=1)).draw(found)["layers_by_frames"]
    there = int((found["dominance"].sel(trace="a", branch="cond", step=1) > 0.5).sum())
    assert there > 0
    # The colour bar has collections of its own, without rings.
    panels = [axis for axis in figure.axes if axis.images]
    rings = sum(len(collection.get_offsets()) for axis in panels for collection in axis.collections)
    assert rings == there * 3
    assert figure.get_suptitle().endswith("ring: sink")


# Massive channels ------------------------------------------------------------------------------------------------


def test_channels_are_ranked_by_their_share(store):
    result = analyze(store, Energy, {"channels": "raw"})
    raw = store["a"]["block.out.raw"].sel(branch="cond", step=2, layer=1).values.astype(float)
    squares = (raw**2).sum((0, 1))
    here = result.sel(trace="a", branch="cond", step=2, layer=1)
    assert here["channel"].values.tolist() == np.argsort(-squares)[:4].tolist()
    np.testing.assert_allclose(here["channel_share"], np.sort(squares)[::-1][:4] / squares.sum(), rtol=1e-6)


def test_top_and_raw_agree(store):
    raw, top = (analyze(store, Energy, {"channels": name}) for name in ("raw", "top:3"))
    assert top["channel"].dims == ("trace", "branch", "step", "layer", "rank")
    xr.testing.assert_equal(top["channel"], raw["channel"].isel(rank=slice(0, 3)))
    xr.testing.assert_allclose(top["channel_share"], raw["channel_share"].isel(rank=slice(0, 3)), rtol=1e-4)


def test_where_channels_were_not_captured_there_are_none(tmp_path):
    captures = ["block.out:energy", "block.out:raw[step=2:4,layer=1,branch=cond]"]
    result = analyze(synthetic_store(tmp_path / "s.zarr", captures, ["a"]), Energy, {"channels": "raw"})
    held = result["channel"] >= 0
    assert held.sel(branch="cond", step=[2, 3], layer=1).all()
    assert int(held.sum()) == 2 * 4
    assert result["channel_share"].notnull().equals(held)


def test_a_massive_channel_is_found():
    values = np.random.default_rng(0).standard_normal((1, 1, 1, 2, 9, 30))
    values[..., 17] += 40
    dims = ("branch", "step", "layer", "frame", "token", "channel")
    found = massive_channels(xr.DataArray(values, dims=dims), 2)
    assert int(found["channel"][0, 0, 0, 0]) == 17
    assert float(found["channel_share"][0, 0, 0, 0]) > 0.95


def test_channels_need_a_capture_that_shows_them(store, tmp_path):
    with pytest.raises(BadParams, match="shows no channels; got 'energy', allowed raw or top:K"):
        prepare(store, Energy, {"channels": "energy"})
    poor = synthetic_store(tmp_path / "s.zarr", ["block.out:energy"], ["a"])
    with pytest.raises(MissingCapture, match=r"does not hold 'block\.out\.top.*--capture block\.out:top:4"):
        prepare(poor, Energy, {"channels": "top:4"})


# Masks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mazes(tmp_path, monkeypatch):
    """Two traces that ask what their names say."""

    def manifest(trace_id, layout):
        puzzle = named_puzzle(trace_id)
        picture = image_sha256(Image.fromarray(puzzle.first_frame()))
        return {"prompt": puzzle.prompt, "image_sha256": picture, "tokens": list(layout.tokens)}

    monkeypatch.setattr(synthetic, "_manifest", manifest)
    names = ["maze-5x5-0-seed-0", "maze-5x5-1-seed-0"]
    return synthetic_store(tmp_path / "s.zarr", ["block.out:energy"], names, layout=GRID)


def test_the_share_on_a_mask_is_that_of_the_puzzle(mazes):
    result = analyze(mazes, Energy, {"mask": "path"})
    for trace in mazes.traces:
        mask = named_puzzle(trace).masks()["path"].reshape(17, 8, 8, 8, 8).mean((2, 4))
        weight = np.concatenate([mask[:1], mask[1:].reshape(4, 4, 8, 8).mean(1)])
        energy = result["energy"].sel(trace=trace).values.astype(float)
        expected = (energy * weight).sum((-3, -2, -1)) / energy.sum((-3, -2, -1))
        np.testing.assert_allclose(result["mask_share"].sel(trace=trace), expected, rtol=1e-5)
        np.testing.assert_allclose(result["mask_even"].sel(trace=trace), weight.mean(), rtol=1e-5)
    assert result["mask_share"].dims == ("trace", "branch", "step", "layer")
    assert sorted(Energy().draw(result)) == ["curves", "layer_over_steps", "layers_by_frames"]


def test_masks_are_refused_where_there_is_none(mazes, store):
    with pytest.raises(BadParams, match=r"energy\.mask names a mask that maze-5x5 does not have; got 'paht'"):
        analyze(mazes, Energy, {"mask": "paht"})
    with pytest.raises(BadParams, match="trace 'a' is not of a shipped puzzle, so it has no mask 'path'"):
        analyze(store, Energy, {"mask": "path"})


def test_a_mask_needs_the_video(tmp_path):
    silent = synthetic_store(tmp_path / "v.zarr", ["block.out:energy"], ["a"], video=False)
    with pytest.raises(MissingCapture, match="does not hold 'video'"):
        prepare(silent, Energy, {"mask": "path"})


# Curves ----------------------------------------------------------------------------------------------------------


def test_curves_are_of_all_traces(store, same_as_noted):
    result = analyze(store, Energy, {"curves": True})
    energy = result["energy"].astype(float)
    np.testing.assert_allclose(result["mean"], energy.mean(("frame", "y", "x")), rtol=1e-5)
    np.testing.assert_allclose(result["median"], energy.median(("frame", "y", "x")), rtol=1e-5)
    figure = Energy().draw(result)["curves"]
    same_as_noted(figure)
    assert figure.get_suptitle() == "Energy by layer and step · mean over 2 traces, 95 % · branch cond"
    left = figure.axes[0].lines[0]
    expected = result["mean"].sel(branch="cond", step=0).mean("trace")
    np.testing.assert_allclose(left.get_ydata(), expected, rtol=1e-5)


def test_an_interval_holds_the_mean_and_a_single_trace_has_none():
    mean, low, high = mean_over_traces(np.random.default_rng(0).normal(5, 1, (40, 3)))
    assert ((low < mean) & (mean < high)).all()
    assert (np.abs((high - low) / 2 - 1.96 / np.sqrt(40)) < 0.12).all()
    assert np.isnan(mean_over_traces(np.ones((1, 3)))[1:]).all()

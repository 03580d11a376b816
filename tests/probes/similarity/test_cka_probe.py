"""The CKA probe on stores: its numbers against the formulas in float64, its refusals, and what it says of itself."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from dit_lens.probing import BadParams, MissingCapture, analyze
from dit_lens.probing.chunks import cut_trace
from dit_lens.testing import SMALL, check_probe, synthetic_store
from dit_lens_probes.cka import Cka, CkaParams
from dit_lens_probes.cka.compare import jackknife
from dit_lens_probes.similarity import (
    cka_matrix,
    frame_batches,
    mutual_neighbours,
    prepare_rows,
    procrustes,
    token_batches,
)

from .direct import cka_direct, hsic_song, kernel

ALL = ("protocol", "params", "captures", "map", "combine", "finish", "draw")
TOLERANCE = 1e-5
WITHIN = ("step", "layer", "step_b", "layer_b")
FEW = {"permutations": 0, "resamples": 20}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three traces of 60 tokens, raw and as Gram matrices."""
    captures = ["block.out:raw", "block.out:gram:12"]
    return synthetic_store(tmp_path_factory.mktemp("s") / "s.zarr", captures, ["a", "b", "c"], video=False)


@pytest.fixture(scope="module")
def within(store):
    return analyze(store, Cka, {"permutations": 5})


def rows(store, trace, **at):
    """Tokens by channels, straight from the store."""
    return store[trace]["block.out.raw"].sel(at).values.reshape(-1, SMALL.channels)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"pairs": "across", "measure": "angular", "estimator": "biased"},
        pytest.param({"pairs": "branches", "within_frame": True}, marks=pytest.mark.slow),
        pytest.param({"source": "gram:8"}, marks=pytest.mark.slow),
        pytest.param({"measure": "procrustes", "steps": "0:2"}, marks=pytest.mark.slow),
        pytest.param({"measure": "mutual_knn", "pairs": "across", "reference": "b"}, marks=pytest.mark.slow),
    ],
)
def test_it_keeps_the_promises_of_a_probe(params):
    assert check_probe(Cka, FEW | params) == ALL


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
def test_every_pair_of_a_trace_is_the_formula(store, estimator):
    result = analyze(store, Cka, FEW | {"estimator": estimator})
    assert result["similarity"].dims == ("trace", "branch", *WITHIN)
    for at, other in (((0, 0), (3, 2)), ((1, 2), (1, 0)), ((2, 1), (2, 1))):
        x, y = (rows(store, "b", branch="uncond", step=step, layer=layer) for step, layer in (at, other))
        found = result["similarity"].sel(trace="b", branch="uncond", step=at[0], layer=at[1], step_b=other[0])
        assert float(found.sel(layer_b=other[1])) == pytest.approx(cka_direct(x, y, estimator), abs=TOLERANCE)
    swapped = result["similarity"].transpose("trace", "branch", *WITHIN[2:], *WITHIN[:2])
    np.testing.assert_allclose(result["similarity"].values, swapped.values, atol=1e-7)
    np.testing.assert_allclose((result["dissimilarity"] + result["similarity"]).values, 1)
    assert not result["error"].values.any()  # one exact Gram matrix


def test_all_pairs_are_those_of_the_plain_function(store, within):
    every = [rows(store, "a", branch="cond", step=step, layer=layer) for step in range(4) for layer in range(3)]
    found = within["similarity"].sel(trace="a", branch="cond").values.reshape(12, 12)
    np.testing.assert_allclose(found, cka_matrix(every).numpy(), atol=1e-6)


def test_across_compares_the_same_address(store):
    result = analyze(store, Cka, FEW | {"pairs": "across"})
    assert list(result["trace_pair"].values) == ["a ~ b", "a ~ c", "b ~ c"]
    for pair, (one, other) in zip(result["trace_pair"].values, combinations("abc", 2), strict=True):
        at = {"branch": "cond", "step": 2, "layer": 1}
        expected = cka_direct(rows(store, one, **at), rows(store, other, **at))
        assert float(result["similarity"].sel(trace_pair=pair, **at)) == pytest.approx(expected, abs=TOLERANCE)
    of_one = analyze(store, Cka, FEW | {"pairs": "across", "reference": "b"})
    assert list(of_one["trace_pair"].values) == ["a ~ b", "b ~ c"]


def test_branches_are_compared_at_the_same_address(store):
    result = analyze(store, Cka, FEW | {"pairs": "branches"})
    x, y = (rows(store, "c", branch=branch, step=3, layer=0) for branch in ("cond", "uncond"))
    found = result["similarity"].sel(trace="c", branch_pair="cond ~ uncond", step=3, layer=0)
    assert float(found) == pytest.approx(cka_direct(x, y), abs=TOLERANCE)


def test_the_pool_is_the_ratio_of_sums_over_videos(store, within):
    """As if all videos were one set of tokens, each centred by itself."""
    kernels = [[kernel(rows(store, t, branch="cond", step=1, layer=at)) for t in "abc"] for at in (0, 2)]
    cross, one, other = (
        sum(hsic_song(k, m) for k, m in zip(*pair, strict=True)) for pair in (kernels, kernels[:1] * 2, kernels[1:] * 2)
    )
    found = within["similarity_pooled"].sel(branch="cond", step=1, layer=0, step_b=1, layer_b=2)
    assert float(found) == pytest.approx(cross / np.sqrt(one * other), abs=TOLERANCE)
    assert (within["similarity_low"] <= within["similarity_pooled"] + 1e-9).all()
    assert (within["similarity_high"] >= within["similarity_pooled"] - 1e-9).all()
    assert within.attrs["unit_count"] == 3
    assert within.attrs["resamples"] == 1000


def test_minibatches_are_permuted_over_the_whole_video(store):
    result = analyze(store, Cka, FEW | {"minibatch": 15, "seed": 4})
    x, y = (rows(store, "a", branch="cond", step=0, layer=layer) for layer in (0, 1))
    batches = token_batches(60, 15, seed=4)
    assert len({token // 20 for token in batches[0].tolist()}) == 3  # tokens of every frame
    found = result["similarity"].sel(trace="a", branch="cond", step=0, layer=0, step_b=0, layer_b=1)
    assert float(found) == pytest.approx(cka_direct(x, y, batches=batches), abs=TOLERANCE)
    assert (result.attrs["minibatch"], result.attrs["minibatches"], result.attrs["seed"]) == (15, 4, 4)
    assert float(result["error"].sel(trace="a", branch="cond", step=0, layer=0, step_b=0, layer_b=1)) > 0


def test_inside_frames_is_named_so(store):
    result = analyze(store, Cka, FEW | {"within_frame": True})
    x, y = (rows(store, "a", branch="cond", step=0, layer=layer) for layer in (0, 1))
    found = result["similarity"].sel(trace="a", branch="cond", step=0, layer=0, step_b=0, layer_b=1)
    assert float(found) == pytest.approx(cka_direct(x, y, batches=frame_batches(3, 20)), abs=TOLERANCE)
    assert result["similarity"].attrs["long_name"] == "within-frame CKA"


def test_gram_matrices_that_were_captured_give_the_same(store):
    """Those of a capture are of the same permutation."""
    raw = analyze(store, Cka, FEW | {"minibatch": 12})
    gram = analyze(store, Cka, FEW | {"source": "gram:12"})
    np.testing.assert_allclose(gram["similarity"].values, raw["similarity"].values, atol=1e-5)
    np.testing.assert_allclose(gram["similarity_pooled"].values, raw["similarity_pooled"].values, atol=1e-5)
    assert (gram.attrs["tokens"], gram.attrs["minibatch"], gram.attrs["channels"]) == (60, 12, 0)
    assert any(caution.startswith("not_known") for caution in gram.attrs["warnings"])


def test_other_measures_are_their_functions(store):
    x, y = (rows(store, "a", branch="cond", step=0, layer=layer) for layer in (0, 1))
    at = {"trace": "a", "branch": "cond", "step": 0, "layer": 0, "step_b": 0, "layer_b": 1}
    few = {"steps": "0", "layers": "0+1", "branches": "cond"}
    turned = analyze(store, Cka, few | {"measure": "procrustes"})
    assert float(turned["similarity"].sel(at)) == pytest.approx(procrustes(x, y), abs=1e-6)
    assert float(turned["dissimilarity"].sel(at)) == pytest.approx(np.arccos(procrustes(x, y)), abs=1e-5)
    near = analyze(store, Cka, few | {"measure": "mutual_knn", "neighbours": 5})
    assert float(near["similarity"].sel(at)) == pytest.approx(mutual_neighbours(x, y, 5))
    angle = analyze(store, Cka, few | {"measure": "angular", "permutations": 0})
    assert float(angle["dissimilarity"].sel(at)) == pytest.approx(np.arccos(cka_direct(x, y)), abs=1e-5)
    assert float(angle["dissimilarity"].sel(at | {"layer_b": 0})) == pytest.approx(0, abs=2e-3)
    assert "p" not in turned


def test_what_two_share_stands_out_of_the_null(tmp_path):
    """A trace beside itself against one beside another."""
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:raw[step=0,branch=cond]"], ["a", "b"], video=False)
    apart = analyze(store, Cka, {"pairs": "across", "permutations": 39})
    assert float(apart["p"].min()) >= 1 / 40
    assert float((apart["p"] > 0.05).mean()) > 0.5
    own = analyze(store, Cka, {"permutations": 39}, traces=["a"])
    diagonal = own["p"].isel(trace=0, branch=0, step=0, step_b=0).values.diagonal()
    np.testing.assert_allclose(diagonal, 1 / 40)
    assert abs(float(own["null_mean"].mean())) < 0.1


def test_the_jackknife_tells_the_error_of_minibatches():
    """Of independent groups it is what many draws show."""
    rng = np.random.default_rng(0)
    draws = rng.normal(0.5, 0.1, (8, 4000)) / 8
    ones = np.full((8, 4000), 1 / 8)
    assert jackknife(draws, ones, ones).mean() == pytest.approx(draws.sum(0).std(), rel=0.1)


def test_the_result_says_what_it_is_of(within):
    told = {name: within.attrs[name] for name in ("tokens", "channels", "estimator", "minibatch", "seed", "measure")}
    expected = {"tokens": 60, "channels": 6, "estimator": "debiased", "minibatch": 0, "seed": 0, "measure": "cka"}
    assert told == expected
    assert tuple(within["sigma"].values) == tuple(within["sigma_b"].values) == SMALL.sigmas
    assert tuple(within["expert_b"].values) == SMALL.experts
    assert within["reason"].dims == ("trace", "branch", "step", "layer")
    assert not any(within["reason"].values.ravel())


def changed(store, change, params=None):
    """The result of chunks that were changed on their way."""
    probe = Cka(CkaParams(**FEW | (params or {})))
    states = []
    for trace in store.traces:
        cut = cut_trace(trace, store[trace], probe)
        for place in cut.places:
            chunk = cut.chunk(place).copy(deep=True)
            chunk = chunk.assign_attrs(manifest=dict(chunk.attrs["manifest"]))
            change(trace, chunk)
            states.append(probe.map(chunk))
    return probe, probe.finish(probe.combine(states))


def spoiled(value):
    def change(trace, chunk):
        if trace == "a":
            chunk["block.out.raw"].loc[{"step": chunk["step"].values[0], "layer": 1}] = value

    return change


@pytest.mark.parametrize("pairs", ["within", "across", "branches"])
def test_what_is_noted_is_what_is_drawn(store, within, pairs, same_as_noted):
    result = within if pairs == "within" else analyze(store, Cka, FEW | {"pairs": pairs})
    for figure in Cka().draw(result).values():
        same_as_noted(figure)


@pytest.mark.parametrize(
    ("value", "reason"), [(3.25, "constant: all tokens are equal"), (np.nan, "not finite: holds NaN or infinity")]
)
def test_of_a_bad_representation_nothing_is_said(store, value, reason):
    probe, result = changed(store, spoiled(value))
    assert set(result["reason"].sel(trace="a", layer=1).values.ravel()) == {reason}
    assert result["similarity"].sel(trace="a", layer=1).isnull().all()
    assert result["similarity"].sel(trace="a", layer_b=1).isnull().all()
    assert result["similarity"].sel(trace="a", layer=0, layer_b=2).notnull().all()
    assert result["similarity"].sel(trace="b").notnull().all()
    for name in ("pooled", "low", "high"):
        assert result[f"similarity_{name}"].sel(layer=1).isnull().all()
        assert result[f"similarity_{name}"].sel(layer=0, layer_b=2).notnull().all()
    assert any(caution.startswith("undefined") for caution in result.attrs["warnings"])
    for figure in probe.draw(result).values():
        figure.savefig(io.BytesIO(), format="png", dpi=40)


@pytest.mark.parametrize("source", ["raw", "gram:4"])
def test_tokens_that_are_equally_far_from_each_other_have_no_number(tmp_path, source):
    """What is left of the debiased matrix is rounding."""

    def even(trace, chunk):
        for name, corners in (("block.out.raw", np.eye(4, 6).reshape(2, 2, 6)), ("block.out.gram.4", np.eye(4) - 0.25)):
            if name in chunk:
                chunk[name].values[:] = np.broadcast_to(corners, chunk[name].shape)

    captures = ["block.out:raw[frame=0:2,token=0:2]", "block.out:gram:4[frame=0:2,token=0:2]"]
    store = synthetic_store(tmp_path / "s.zarr", captures, ["a", "b"], video=False)
    _, result = changed(store, even, {"source": source})
    assert all(str(reason).startswith("no likeness to itself") for reason in result["reason"].values.ravel())
    assert result["similarity"].isnull().all()


@pytest.mark.parametrize(
    ("params", "words"), [({}, "too few tokens: 3"), ({"measure": "mutual_knn"}, "too few tokens")]
)
def test_too_few_tokens_are_told(tmp_path, params, words):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:raw[frame=0,token=0:3]"], ["a", "b"], video=False)
    result = analyze(store, Cka, FEW | params)
    assert all(str(reason).startswith(words) for reason in result["reason"].values.ravel())
    assert result["similarity"].isnull().all()
    assert result["similarity_pooled"].isnull().all()


def test_one_video_has_no_interval(store):
    result = analyze(store, Cka, FEW, traces=["a"])
    assert result["similarity_low"].isnull().all()
    assert result["similarity_high"].isnull().all()
    assert result["similarity_pooled"].notnull().all()
    assert any(caution.startswith("few_units") for caution in result.attrs["warnings"])
    two = analyze(store, Cka, FEW | {"pairs": "across"}, traces=["a", "b"])
    assert two["similarity_low"].isnull().all()  # one pair
    assert any("pairs of traces: 1" in caution for caution in two.attrs["warnings"])


def massive(trace, chunk):
    values = chunk["block.out.raw"]
    values.loc[{"layer": 0}] = values.sel(layer=0) * np.array([1, 1, 300, 1, 1, 1])
    values.loc[{"layer": 1, "frame": 0, "token": 0}] = 1e4 * np.arange(6)
    values.loc[{"layer": 2}] = values.sel(layer=2) + 1e3


def test_what_decides_alone_is_told(store):
    _, result = changed(store, massive, {"estimator": "biased"})
    codes = {caution.split(":")[0] for caution in result.attrs["warnings"]}
    assert {"one_token", "one_channel", "mean_ratio"} <= codes
    assert (result["top_channel"].sel(layer=0) > 0.9).all()
    assert (result["top_token"].sel(layer=1) > 0.9).all()
    assert (result["mean_ratio"].sel(layer=2) > 100).all()
    calm = analyze(store, Cka, FEW | {"normalise": "token_ln"})
    assert not any(caution.startswith("mean_ratio") for caution in calm.attrs["warnings"])


def test_the_biased_form_is_warned_of_where_tokens_are_few(store):
    few = analyze(store, Cka, FEW | {"estimator": "biased", "minibatch": 15})
    assert any(caution.startswith("biased_few_tokens") for caution in few.attrs["warnings"])
    many = analyze(store, Cka, FEW | {"estimator": "biased"})  # 60 tokens, 6 channels
    assert not any(caution.startswith("biased_few_tokens") for caution in many.attrs["warnings"])


def other_weights(trace, chunk):
    chunk.attrs["manifest"]["weights_sha256"] = {"transformer": "1" if trace == "b" else "0"}


def other_schedule(trace, chunk):
    if trace == "b":
        chunk["sigma"].values[:] = chunk["sigma"].values / 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_weights, "got 'a' and 'b' of different weights, allowed the same weights_sha256"),
        (other_schedule, "cannot put step 0 of 'b' beside that of 'a'; got sigma 0.5"),
    ],
)
def test_what_is_not_of_one_kind_is_refused(store, change, words):
    with pytest.raises(BadParams, match=words) as info:
        changed(store, change)
    assert info.value.exit_code == 2


def test_other_weights_may_be_named(store):
    _, result = changed(store, other_weights, {"other_model": True, "pairs": "across"})
    assert result["similarity"].notnull().all()


@pytest.mark.parametrize(
    ("capture", "words"),
    [
        ("block.out:raw[frame=0:2]", "got frame 0, 1 in 'b' and frame 0, 1, 2 in 'a', allowed the same"),
        ("block.out:raw[token=0:10]", "got 10 tokens from 0 to 9 in 'b' and 20 tokens from 0 to 19 in 'a'"),
        ("block.out:raw[step=1:3]", "got step 1, 2 in 'b' and 4 steps from 0 to 3 in 'a'"),
        ("block.out:raw[branch=cond]", "got branch cond in 'b' and branch cond, uncond in 'a'"),
    ],
)
def test_another_selection_is_refused(tmp_path, capture, words):
    path = tmp_path / "s.zarr"
    synthetic_store(path, ["block.out:raw"], ["a"], video=False)
    store = synthetic_store(path, [capture], ["b"], video=False)
    with pytest.raises(BadParams, match=words):
        analyze(store, Cka, FEW)


def test_another_grid_is_refused(tmp_path):
    """As many tokens in as many frames, in rows of another length: only the manifest knows."""
    path = tmp_path / "s.zarr"
    synthetic_store(path, ["block.out:gram:12"], ["a"], video=False)
    store = synthetic_store(path, ["block.out:gram:12"], ["b"], replace(SMALL, tokens=(3, 5, 4)), video=False)
    with pytest.raises(BadParams, match="got 'a' and 'b' of different grids or selections, allowed one"):
        analyze(store, Cka, FEW | {"source": "gram:12"})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"pairs": "across", "reference": "z"}, "finds no trace 'z'; got it as reference, allowed a, b, c"),
        ({"memory": 1e-5}, "would keep more than it may; got 72 representations of 0.00675 MiB"),
        ({"estimator": "song"}, "estimator"),
        ({"source": "grams"}, "raw, or gram:B such as gram:256"),
        ({"site": "latent"}, "allowed one of block.in, block.out, attn1.out"),
        ({"measure": "procrustes", "within_frame": True}, "measure cka or angular with within_frame"),
        ({"measure": "mutual_knn", "minibatch": 8}, "measure cka or angular with minibatch"),
        ({"source": "gram:12", "normalise": "token_ln"}, "source raw with normalise"),
        ({"reference": "a"}, "pairs across with reference"),
        ({"minibatch": 3}, "minibatch"),
        ({"device": "abacus"}, "cannot compute there; got device 'abacus', allowed auto, cpu"),
        ({"keep": 1e-3}, "the Gram matrices of 60 tokens do not fit"),
    ],
)
def test_bad_parameters_are_one_line(store, params, words):
    with pytest.raises(BadParams, match=words) as info:
        analyze(store, Cka, FEW | params)
    assert "\n" not in str(info.value)


def test_one_trace_or_branch_has_nothing_beside_it(store, tmp_path):
    with pytest.raises(BadParams, match="compares traces across; got 1 trace, allowed 2 or more"):
        analyze(store, Cka, {"pairs": "across"}, traces=["a"])
    with pytest.raises(BadParams, match="compares branches; got cond, allowed 2 or more"):
        analyze(store, Cka, {"pairs": "branches", "branches": "cond"})


def test_what_is_not_there_is_told_with_a_command(store):
    with pytest.raises(MissingCapture, match=r"block\.out:gram:24"):
        analyze(store, Cka, {"source": "gram:24"})


def test_a_selection_of_steps_and_layers_is_read_alone(store):
    result = analyze(store, Cka, FEW | {"steps": "1:3", "layers": -1, "branches": "uncond"})
    assert [result[dim].values.tolist() for dim in ("step", "layer", "branch")] == [[1, 2], [2], ["uncond"]]
    assert result["sigma"].values.tolist() == list(SMALL.sigmas[1:3])


@pytest.mark.parametrize("params", [{}, {"pairs": "across"}, {"pairs": "branches"}])
def test_figures_show_sigma_and_every_caution(store, params):
    probe = Cka(CkaParams(**FEW | params))
    result = analyze(store, probe, traces=["a", "b"])
    for figure in probe.draw(result).values():
        words = " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
        assert "0.93" in words
        assert "60 tokens x 6 channels" in words
        flat = words.replace("\n", " ")
        assert all(caution.split(":")[0] in flat for caution in result.attrs["warnings"])


def test_memory_grows_with_what_is_kept_alone(store):
    """A state holds a triangle for each representation and nothing of the chunk."""
    probe = Cka(CkaParams())
    cut = cut_trace("a", store["a"], probe)
    state = probe.map(cut.chunk(cut.places[0]))
    kept = sum(piece.sketch.values.nbytes for piece in state.pieces.values())
    assert kept == 2 * 3 * 4 * 60 * 59 // 2
    bounded = Cka(CkaParams(keep=0.004))
    small = bounded.map(cut.chunk(cut.places[0]))
    assert all(piece.sketch.values.nbytes <= 0.004 * 2**20 for piece in small.pieces.values())


def test_rows_are_not_changed(store):
    values = torch.from_numpy(rows(store, "a", branch="cond", step=0, layer=0).copy())
    before = values.clone()
    prepare_rows(values, "channel_z")
    assert torch.equal(values, before)

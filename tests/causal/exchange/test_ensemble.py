"""Ensembles: one seed is the plain run, means are those of the runs that they name, and costs are what was called."""

from __future__ import annotations

import io
from contextlib import ExitStack

import numpy as np
import pytest
import torch
import xarray as xr

from dit_lens import Edit, Selection
from dit_lens.bench import Condition, puzzle_questions
from dit_lens.causal.calls import counted
from dit_lens.errors import DitLensError
from dit_lens.probing import draw_result, load_result, save_result
from dit_lens.testing import check_probe
from dit_lens_probes import Ensemble
from dit_lens_probes.ensemble import EnsembleParams
from dit_lens_probes.ensemble.measure import conditions_of
from dit_lens_probes.ensemble.runs import Runs
from dit_lens_probes.ensemble.summary import say, summarize
from tests.causal.exchange.conftest import CONDITION, STEPS, context_of, prepared

A_STEP = 2  # calls: cond and uncond


@pytest.fixture(scope="module")
def result(lens, grounding, tmp_path_factory):
    return prepared(lens, Ensemble, grounding, tmp_path_factory.mktemp("ensemble")).run()


@pytest.fixture
def runs(lens, grounding, tmp_path):
    """The runs of one unit, by hand."""
    with ExitStack() as stack:

        def made(steps=STEPS, shared="0", **params):
            condition = Condition(steps=steps, extra=CONDITION.extra)
            context = context_of(lens, grounding, tmp_path / f"{steps}", condition=condition)
            calls = stack.enter_context(counted(lens))
            folder = stack.enter_context(context.scratch())
            params = {"baselines": (), "steps": shared, **params}
            return Runs(context, EnsembleParams(**params), context.units[0], folder, calls)

        yield made


def test_an_ensemble_of_one_seed_is_the_plain_run(lens, runs):
    own = runs(n=1, layers="0:3")
    plain = lens.generate(own.request)
    found, cost = own.shared(own.members, (0, 1, 2), "ensemble")
    assert torch.equal(found.latents, plain.latents)
    assert np.array_equal(found.video, plain.video)
    assert cost == A_STEP * (1 + STEPS)
    batched = runs(n=1, layers="0:3", mode="in-batch")
    assert torch.equal(batched.shared(batched.members, (0, 1, 2), "ensemble")[0].latents, plain.latents)


def test_the_sham_changes_no_bit(result):
    assert result["sham_identical"].all()
    assert result.attrs["controls"][0] == "sham: sham_identical"
    assert all(control.partition(": ")[2] in result for control in result.attrs["controls"])


def test_costs_are_the_calls_that_it_takes(result):
    """Three recordings of the first step, and a whole run; the members' further steps are those of the singles."""
    cost = {name: result["cost"].sel(condition=name) for name in result["condition"].values.tolist()}
    whole, shared = A_STEP * STEPS, 3 * A_STEP * 1
    expected = {
        "ensemble": shared + whole,
        "single": whole,
        "singles": 3 * whole,
        "best": 3 * whole,
        "end_mean": 3 * whole,
        "latents": shared + whole,
        "latents_reset": whole,
        "window_first": shared + whole,
        "window_all": shared + whole,
        "strangers": shared + whole,
        "more_steps": shared + whole,  # three steps more
    }
    assert list(cost) == list(expected) == list(conditions_of(EnsembleParams()))
    for name, calls in expected.items():
        assert (cost[name] == calls).all(), name
    further = 4 * whole + 2 * A_STEP + whole  # shared thrice and latents; strangers; sham
    assert (result["calls"] == 3 * whole + further + whole + whole + shared + whole).all()


def test_weights_count_runs_more_than_once(lens, runs):
    own = runs(weights=(2, 0, 1))
    found, cost = own.shared(own.members, (1,), "ensemble")
    assert cost == A_STEP * (2 + STEPS)  # one that does not count need not be recorded
    arrays = [own.store[f"member-{number}"]["block.out.raw"] for number in (0, 2)]

    def weighted(address, tensor):
        at = {"step": address.step, "layer": address.layer, "branch": address.branch}
        first, third = (torch.from_numpy(array.sel(at).values) for array in arrays)
        return ((first + first + third) / 3).to(tensor)

    by_hand = lens.generate(own.request, edits=[Edit("block.out", "step=0,layer=1", "replace", weighted)])
    assert torch.equal(found.latents, by_hand.latents)


def test_the_seed_that_goes_on_is_the_one_that_is_named(runs):
    own = runs(continues=2)
    assert own.request.seed == own.members[2].unit.seed == 2000
    assert [member.unit.seed for member in own.members] == [0, 1000, 2000]
    found, _ = own.shared(own.members, (1,), "ensemble")
    assert not torch.equal(found.latents, own.members[2].result.latents)
    strangers = own.strangers()
    assert strangers[2] is own.members[2]
    assert [member.unit.seed for member in strangers] == [0, 1000, 2000]
    assert len({member.unit.question.fingerprint() for member in strangers}) == 3


def test_a_branch_that_is_left_out_is_as_it_was(lens, runs):
    own = runs(n=2, layers="2", branches="cond")
    edit = own.mean(own.members, "block.out", own.places.where((2,)))
    lens.trace(own.request, ["velocity[step=0]"], own.store, trace_id="edited", edits=[edit], decode=False)
    lens.trace(own.request, ["velocity[step=0]"], own.store, trace_id="plain", decode=False)
    edited, plain = (own.store[name]["velocity.raw"].sel(step=0) for name in ("edited", "plain"))
    assert np.array_equal(edited.sel(branch="uncond"), plain.sel(branch="uncond"))
    assert not np.array_equal(edited.sel(branch="cond"), plain.sel(branch="cond"))


def test_two_passes_are_the_last_layer_and_in_batch_is_the_first(lens, runs):
    own, batched = runs(n=2, layers="0:2"), runs(n=2, layers="0:2", mode="in-batch")
    window = own.places.windows["ensemble"]
    assert window == (0, 1)
    means = {
        layer: lens.generate(own.request, edits=[own.mean(own.members, "block.out", own.places.where((layer,)))])
        for layer in window
    }
    assert torch.equal(own.shared(own.members, window, "ensemble")[0].latents, means[1].latents)
    assert torch.equal(batched.shared(batched.members, window, "ensemble")[0].latents, means[0].latents)
    assert not torch.equal(means[0].latents, means[1].latents)


def test_in_batch_is_what_runs_side_by_side_do(lens, runs):
    """Against hooks of our own, which average the rows of a batch in every layer of the window, two steps long."""
    steps = 4
    own = runs(steps, layers="1:3", mode="in-batch", shared="0:2")
    found, cost = own.shared(own.members, own.places.windows["ensemble"], "ensemble")
    requests = [own.context.request(member.unit) for member in own.members]
    rows = _side_by_side(lens, requests, layers=(1, 2), steps=2)
    torch.testing.assert_close(found.latents, rows[0].latents, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found.latents, own.members[0].result.latents, rtol=1e-3, atol=1e-4)
    assert cost == A_STEP * (3 * 1 + 3 * 2 + steps)


def _side_by_side(lens, requests, layers, steps):
    """A batch whose rows share the means of layers in the first steps; made without the engine."""
    seen = dict.fromkeys(layers, 0)

    def share(layer):
        def hook(_module, _args, output):
            seen[layer] += 1
            return output.mean(0, keepdim=True).expand_as(output) if seen[layer] <= A_STEP * steps else None

        return hook

    with ExitStack() as stack:
        for expert in ("transformer", "transformer_2"):
            for layer in layers:
                block = getattr(lens.pipeline, expert).blocks[layer]
                stack.callback(block.register_forward_hook(share(layer)).remove)
        return lens.generate_batch(requests, decode=False)


def test_averaged_latents_are_the_mean_and_their_control_forgets_as_well(lens, runs):
    own = runs(baselines=("latents",))
    edit = own.mean(own.members, "state", Selection(step=(1,)))
    traced = lens.trace(own.request, ["latent[step=1]"], own.store, trace_id="mean", edits=[edit], decode=False)
    found = own.store["mean"]["latent.raw"].sel(step=1).values
    members = [own.store[f"member-{number}"]["latent.raw"].sel(step=1).values for number in range(3)]
    np.testing.assert_allclose(found, np.mean(members, axis=0), atol=1e-6)
    assert traced.resets == (1,)


def test_more_steps_and_strangers_are_other_runs(result):
    """Scores of an untrained model say little; that every condition was measured is what counts."""
    assert result["score"].notnull().all()
    assert result["solved"].isin([0, 1]).all()
    single, best = (result["score"].sel(condition=name) for name in ("single", "best"))
    assert (best >= single).all()


def test_differences_are_paired_by_puzzle():
    """Puzzles differ far more than conditions do: only pairs can tell the two apart."""
    rng = np.random.default_rng(0)
    puzzles = rng.uniform(0.0, 0.6, (24, 1))
    scores = np.stack([puzzles + 0.3, puzzles, puzzles + rng.normal(0.3, 0.05, (24, 1))], axis=-1)
    coords = {
        "question": [f"q{number}" for number in range(24)],
        "condition": ["ensemble", "single", "more_steps"],
        "task": ("question", ["maze"] * 24),
        "variant": ("question", ["plain"] * 24),
    }
    dims = ("question", "seed", "condition")
    units = xr.Dataset(dict.fromkeys(("score", "solved", "cost"), (dims, scores)), coords)
    found = summarize(units)
    assert found["within_noise"].values.tolist() == [False, True]
    assert found["says"].values[0].startswith("ensemble - single: +0.300 [")
    assert found["says"].values[0].endswith("], better")
    assert found["says"].values[1].endswith("], within noise")
    mixed = scores.copy()
    mixed[..., 1] = rng.permutation(mixed[..., 1])  # the same scores, of other puzzles
    unpaired = summarize(units.assign(score=(dims, mixed)))
    width, wider = (each["difference_high"] - each["difference_low"] for each in (found, unpaired))
    assert float(width.sel(baseline="single")) < float(wider.sel(baseline="single"))
    assert say("x", -0.2, -0.3, -0.1).endswith("worse")


def test_a_result_says_what_is_within_noise(result):
    assert result["within_noise"].dims == ("baseline",)
    assert len(result["says"]) == result.sizes["condition"] - 1
    assert all(("noise" in text) == bool(within) for text, within in
               zip(result["says"].values, result["within_noise"].values, strict=True))  # fmt: skip


def test_a_result_is_kept_and_drawn(result, tmp_path, same_as_noted):
    kept = load_result(save_result(result, tmp_path / "ensemble.zarr")).load()
    assert kept.equals(result)
    (figure,) = draw_result(Ensemble(), kept).values()
    same_as_noted(figure, told_in_words=("cost",))
    scores, differences = figure.axes
    assert len(scores.lines) == 11
    assert len(differences.lines) == 1 + 10
    assert scores.get_yticklabels()[0].get_text() == "ensemble · 10 calls"
    figure.savefig(io.BytesIO(), format="png", dpi=40)


@pytest.mark.slow
def test_it_keeps_the_promises_of_a_probe(grounding):
    """It leaves the model as it was, goes on where it stopped, and comes to the same result again."""
    checks = check_probe(Ensemble, {"n": 2, "baselines": ""}, grounding)
    assert checks == ("protocol", "params", "run", "resume", "draw")


BAD = {
    "layers": ({"layers": "9"}, "in parameter 'ensemble.layers'; got 9, allowed 0 to 2"),
    "steps": ({"steps": "2"}, "in parameter 'ensemble.steps'; got 2, allowed 0 to 1"),
    "branches": ({"branches": "cnod"}, "allowed cond, uncond; did you mean 'cond'?"),
    "continues": ({"continues": 3}, "continues below n, which is 3"),
    "weights": ({"weights": "1+1"}, "weights of 3 whole numbers, none below 0 and one above"),
    "no weight": ({"weights": "0+0+0"}, "weights of 3 whole numbers, none below 0 and one above"),
    "baselines": ({"baselines": "latent"}, "baselines"),
    "mode": ({"mode": "batch"}, "mode"),
    "last step": ({"steps": "1"}, "no latents to average after the last step; got step 1 of 2 steps, allowed 0 to 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_averaged_is_refused_in_one_line(lens, grounding, tmp_path, name):
    params, match = BAD[name]
    with pytest.raises(DitLensError, match=match) as caught:
        prepared(lens, Ensemble, grounding, tmp_path, **params)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_questions_that_nothing_scores_are_refused(lens, grounding, tmp_path):
    from dataclasses import replace

    path = tmp_path / "first.png"
    grounding[0].image().save(path)
    picture = replace(grounding[0], puzzle=None, picture=path)
    with pytest.raises(DitLensError, match=r"probe 'ensemble' compares scores; got .* which nothing scores") as caught:
        prepared(
            lens, Ensemble, [picture], tmp_path / "out", condition=Condition(steps=2, frames=17, extra=CONDITION.extra)
        )
    assert caught.value.exit_code == 2


@pytest.mark.slow
def test_it_runs_on_the_model_in_the_package(tmp_path):
    import dit_lens

    model, questions = dit_lens.load("tiny-wan"), puzzle_questions(["maze:plain"], n=2)
    found = prepared(model, Ensemble, questions, tmp_path, condition=Condition(steps=3), n=2).run()
    assert found["sham_identical"].all()
    assert found.attrs["edited_layers"] == [5, 6]
    assert found["score"].notnull().all()
    assert len(Ensemble().draw(found)) == 1

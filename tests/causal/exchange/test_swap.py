"""Swaps: the sham changes no bit, the last block gives the donor's x0, and what does nothing is told from what does."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import xarray as xr

from dit_lens import Edit, Mask, Stored
from dit_lens.bench import Condition, puzzle_questions
from dit_lens.causal import Unit
from dit_lens.errors import DitLensError
from dit_lens.probing import draw_result, load_result, save_result
from dit_lens.puzzles.grounding.draw import draw_clip
from dit_lens.testing import check_probe
from dit_lens_probes import Swap
from dit_lens_probes.strangers import stranger
from dit_lens_probes.swap import SwapParams
from dit_lens_probes.swap.answers import flipped, read_answer
from dit_lens_probes.swap.measure import SOURCES, Swaps
from dit_lens_probes.swap.noise import SameNorm
from dit_lens_probes.swap.pairs import pair_of
from dit_lens_probes.swap.places import pooled_mask, token_mask
from dit_lens_probes.swap.summary import summarize
from tests.causal.exchange.conftest import CONDITION, STEPS, context_of, maze, prepared

LAYERS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("swap")


@pytest.fixture(scope="module")
def result(lens, grounding, folder):
    return prepared(lens, Swap, grounding[:1], folder / "objects", layers="0+2").run()


@pytest.fixture
def swaps(lens, grounding, tmp_path):
    """The runs of one unit, by hand."""

    def made(**params):
        context = context_of(lens, grounding, tmp_path)
        made.number += 1
        own = Swaps(context, SwapParams(**params), context.units[0], tmp_path / str(made.number))
        runs = {name: own.record(name) for name in ("own", "donor", "stranger")}
        return own, runs

    made.number = 0
    return made


def test_the_sham_is_the_plain_run(lens, swaps, result):
    own, runs = swaps(verdict=True)
    plain = {name: lens.generate(own.context.request(getattr(own.pair, name))) for name in ("own", "donor")}
    for name, run in plain.items():
        assert torch.equal(runs[name].latents, run.latents)
        sham = own.swap(name, name, (0, 1, 2))
        assert torch.equal(sham.latents, run.latents)
        assert np.array_equal(sham.video, run.video)
    assert not torch.equal(own.swap("own", "donor", (0,)).latents, plain["own"].latents)
    assert result["sham_identical"].all()


def test_the_last_block_gives_the_x0_of_the_donor(result):
    """Both start from the same noise, so that x0 of the first step is the donor's bit for bit."""
    donor = result.sel(source="donor")
    assert (donor["effect"].sel(layer=LAYERS - 1) == 1).all()
    assert (donor["moved"].sel(layer=LAYERS - 1) == 1).all()
    first = donor["effect"].sel(layer=0)  # the layers behind it read another prompt
    assert ((first != 1) & (first != 0) & np.isfinite(first)).all()


def test_the_controls_are_there_and_are_not_the_donor(result):
    assert tuple(result["source"].values.tolist()) == SOURCES
    assert [control.partition(":")[0] for control in result.attrs["controls"]] == [
        "sham",
        "random donor (source random)",
        "noise of the same norm (source noise)",
    ]
    last = result.sel(layer=LAYERS - 1)
    for source in ("random", "noise"):
        effects = last["effect"].sel(source=source)
        assert (abs(effects) < 0.99).all()
        assert (last["moved"].sel(source=source) > 0.01).all()
    assert not np.array_equal(last["effect"].sel(source="random"), last["effect"].sel(source="noise"))


def test_the_step_is_told_with_its_noise_level_and_expert(result):
    assert (result.attrs["edited_steps"], result.attrs["edited_experts"]) == ([0], ["transformer"])
    assert result.attrs["edited_sigmas"][0] > 0.9
    assert result.attrs["edited_branches"] == ["cond", "uncond"]


def test_a_window_of_all_tokens_is_its_last_layer(swaps):
    own, _ = swaps(verdict=True)
    assert torch.equal(own.swap("own", "donor", (0, 1)).latents, own.swap("own", "donor", (1,)).latents)


def test_under_one_prompt_every_layer_is_alike(swaps):
    """At every step and branch each is the donor's run; under another prompt none but the last one is."""
    own, runs = swaps(donor="places", steps="0:2")
    for layer in range(LAYERS):
        assert torch.equal(own.swap("own", "donor", (layer,)).latents, runs["donor"].latents)
    single, runs = swaps(donor="places", steps="0")
    swapped = [single.swap("own", "donor", (layer,)) for layer in (0, 2)]
    assert torch.equal(swapped[0].latents, swapped[1].latents)
    assert not torch.equal(swapped[0].latents, runs["donor"].latents)
    other, runs = swaps(donor="prompt", steps="0:2", layers="1+2")
    assert not torch.equal(other.swap("own", "donor", (1,)).latents, runs["donor"].latents)
    assert torch.equal(other.swap("own", "donor", (2,)).latents, runs["donor"].latents)


def test_noise_moves_every_token_as_far_as_the_donor_does(lens, swaps, tmp_path):
    own, _ = swaps()
    store, where = own.store, own.places.where((1,))
    noise = Edit("block.out", where, "replace", SameNorm(store.path, "own", "donor", 0))
    lens.trace(own.context.request(own.pair.own), ["block.out[step=0]"], store, trace_id="noisy", edits=[noise])
    at = {"step": 0, "layer": 1}
    found, before, donor = (store[name]["block.out.raw"].sel(at).values for name in ("noisy", "own", "donor"))
    far, moved = (np.linalg.norm(values - before, axis=-1) for values in (donor, found))
    np.testing.assert_allclose(moved, far, rtol=1e-4)
    change, way = found - before, donor - before
    cosine = (change * way).sum(-1) / (moved * far)
    assert abs(cosine).mean() < 0.4  # 24 channels: a random direction has little to do with the donor's
    assert np.array_equal(
        store["noisy"]["block.out.raw"].sel(step=0, layer=0), store["own"]["block.out.raw"].sel(step=0, layer=0)
    )


def test_a_region_is_all_that_is_swapped(lens, swaps):
    own, _ = swaps(donor="objects", region="foreground", tokens="frame=0")
    both = (own.pair.own.question, own.pair.donor.question)
    mask = token_mask(both, "foreground", own.context.layout)
    pixels = np.logical_or(*(question.puzzle.masks()["foreground"] for question in both))
    assert np.array_equal(mask.array[0], pixels[0].reshape(8, 8, 8, 8).any(axis=(1, 3)))
    assert np.array_equal(mask.array[4], pixels[13:].reshape(4, 8, 8, 8, 8).any(axis=(0, 2, 4)))
    edit = Edit("block.out", own.places.where((1,)), "replace", Stored(str(own.store.path), "donor"), mask)
    lens.trace(own.context.request(own.pair.own), ["block.out[step=0]"], own.store, trace_id="part", edits=[edit])
    at = {"step": 0, "layer": 1, "branch": "cond"}
    found, before, donor = (own.store[name]["block.out.raw"].sel(at).values for name in ("part", "own", "donor"))
    inside = np.zeros((5, 64, 1), bool)
    inside[0] = mask.array[0].reshape(64, 1)
    assert np.array_equal(found, np.where(inside, donor, before))
    assert 0 < inside.sum() < 64


def test_x0_is_compared_where_it_is_read(swaps):
    own, runs = swaps(donor="objects", read="target")
    both = (own.pair.own.question, own.pair.donor.question)
    where = pooled_mask(both, "target", own.context.layout, own.context.layout.latent[1:])
    assert runs["own"].x0.shape == (16, where.sum())


@pytest.mark.parametrize("donor", ["objects", "prompt", "places", "seed"])
def test_a_donor_differs_in_one_thing(grounding, donor):
    own = Unit(grounding[0], 7)
    pair = pair_of(own, SwapParams(donor=donor))
    assert (pair.donor.seed == 7) == (donor != "seed")
    assert pair.stranger.seed == pair.donor.seed
    differs = pair.donor.question.fingerprint() != own.question.fingerprint()
    assert differs == (donor != "seed")
    assert stranger(own.question).fingerprint() not in {own.question.fingerprint(), pair.donor.question.fingerprint()}


def test_the_stranger_of_a_picture_has_its_pixels(tmp_path, grounding):
    from dataclasses import replace

    path = tmp_path / "first.png"
    grounding[0].image().save(path)
    picture = replace(grounding[0], puzzle=None, picture=path)
    own, other = (np.asarray(each.image()).reshape(-1, 3) for each in (picture, stranger(picture)))
    assert not np.array_equal(own, other)
    assert sorted(map(tuple, own.tolist())) == sorted(map(tuple, other.tolist()))


def test_an_answer_is_told_by_its_place(grounding):
    pair = pair_of(Unit(grounding[0], 0), SwapParams())
    own, donor = pair.own.question, pair.donor.question
    answers = [read_answer(question, question.puzzle.clip()) for question in (own, donor)]
    follows = draw_clip(own.puzzle.things, donor.puzzle.named.place)
    assert flipped(*answers, read_answer(own, follows)) == 1
    assert flipped(*answers, read_answer(own, own.puzzle.clip())) == 0
    assert flipped(*answers, read_answer(own, np.repeat(own.puzzle.first_frame()[None], 17, 0))) == 0
    assert np.isnan(flipped(answers[0], answers[0], answers[0]))


def test_without_a_verdict_a_run_stops_after_the_swap(lens, grounding, tmp_path, same_as_noted):
    found = prepared(lens, Swap, grounding[:1], tmp_path, verdict=False, donor="seed", layers="0+2").run()
    runs = 3 + 2 * 3 * 2 + 2  # recorded; directions, sources, windows; shams
    assert int(found["calls"].sum()) == 2 * runs
    assert found["effect_end"].isnull().all()
    assert found["effect"].notnull().all()
    assert found["layer"].values.tolist() == [0, 2]
    (drawn,) = Swap().draw(found).items()
    assert drawn[0] == "effect_by_layer"
    same_as_noted(drawn[1])


def test_calls_are_counted(result):
    whole, short = 2 * STEPS, 2
    runs = 2 + 2 * 3 * 2 + 2  # recorded; directions, sources, windows; shams
    assert (result["calls"] == whole * runs + short).all()


@pytest.mark.slow
def test_it_keeps_the_promises_of_a_probe(grounding):
    """It leaves the model as it was, goes on where it stopped, and comes to the same result again."""
    checks = check_probe(Swap, {"verdict": False, "layers": "1"}, grounding)
    assert checks == ("protocol", "params", "run", "resume", "draw")


def test_a_result_is_kept_and_drawn(result, tmp_path):
    kept = load_result(save_result(result, tmp_path / "swap.zarr")).load()
    assert kept.equals(result)
    figures = draw_result(Swap(), kept)
    assert set(figures) == {"effect_by_layer", "effect_end_by_layer"}  # an untrained model gives no answer to flip
    for figure in figures.values():
        assert [len(ax.lines) for ax in figure.axes] == [5, 5]  # two levels, three sources
        figure.savefig(io.BytesIO(), format="png", dpi=40)
    answered = kept.assign({f"flipped{part}": kept["effect" + part] for part in ("", "_mean", "_low", "_high")})
    assert "flips_by_layer" in Swap().draw(answered)


def test_intervals_are_over_puzzles():
    """Of effects that reach beyond 0 and 1 as well; repeats of a puzzle count once."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.9, 0.3, (12, 2, 2, 3, 1)).clip(-0.2, 1.5)
    dims = ("question", "seed", "direction", "source", "layer")
    coords = {"task": ("question", ["grounding"] * 12), "variant": ("question", ["plain"] * 12)}
    measured = dict.fromkeys(("effect", "moved", "effect_end"), (dims, values))
    scored = dict.fromkeys(("flipped", "score", "solved"), (dims, np.round(values.clip(0, 1))))
    found = summarize(xr.Dataset({**measured, **scored}, coords))
    for name in ("effect", "flipped"):
        low, mean, high = (found[f"{name}_{part}"] for part in ("low", "mean", "high"))
        assert mean.dims == ("direction", "source", "layer")
        assert ((low <= mean) & (mean <= high) & (low < high)).all()
        np.testing.assert_allclose(mean, found[name].mean(("question", "seed")))
        doubled = summarize(xr.concat([found[[*measured, *scored]]] * 2, "seed"))
        np.testing.assert_allclose(doubled[f"{name}_high"], high)


BAD = {
    "layers=9": ({"layers": "9"}, "does not fit the run in parameter 'swap.layers'; got 9, allowed 0 to 2"),
    "steps=2": ({"steps": "2"}, "does not fit the run in parameter 'swap.steps'; got 2, allowed 0 to 1"),
    "branches": ({"branches": "cnod"}, "allowed cond, uncond; did you mean 'cond'?"),
    "window": ({"window": 4}, "swaps no such window; got 4 layers, allowed 1 to 3"),
    "beyond": ({"window": 2, "layers": "2"}, "ends beyond the model; got 2 layers from 2 on, allowed first"),
    "region": ({"region": "forground"}, "finds no such mask for .*got 'forground', .*did you mean 'foreground'"),
    "read": ({"read": "marks"}, "finds no such mask for .*got 'marks', .*did you mean 'mark'"),
    "tokens": ({"tokens": "layer=1"}, "selects no such axis with tokens; got layer, allowed frame, token, y, x"),
    "empty": ({"region": "mark", "tokens": "frame=0"}, "comes to no place; got an empty region"),
    "donor": ({"donor": "object"}, "donor"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_swapped_is_refused_in_one_line(lens, grounding, tmp_path, name):
    params, match = BAD[name]
    with pytest.raises(DitLensError, match=match) as caught:
        prepared(lens, Swap, grounding, tmp_path, **params)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_puzzle_without_a_pair_is_refused(lens, tmp_path):
    with pytest.raises(
        DitLensError, match=r"makes no donor 'objects' of .*; got task maze, allowed grounding"
    ) as caught:
        prepared(lens, Swap, [maze()], tmp_path)
    assert caught.value.exit_code == 2


def test_a_mask_that_does_not_fit_the_run_is_refused(lens, grounding, tmp_path):
    short = Condition(steps=STEPS, frames=5, extra=CONDITION.extra)
    with pytest.raises(DitLensError, match="cannot lay the mask 'foreground' over the run; got 5 frames"):
        prepared(lens, Swap, grounding, tmp_path, region="foreground", condition=short)


def test_a_mask_is_one(lens, grounding, tmp_path):
    """What was checked is what is edited: the mask comes through as it is."""
    context = context_of(lens, grounding, tmp_path)
    assert isinstance(token_mask((grounding[0], grounding[0]), "objects", context.layout), Mask)
    assert token_mask((grounding[0], grounding[0]), "all", context.layout) is None


@pytest.mark.slow
def test_it_runs_on_the_model_in_the_package(tmp_path):
    import dit_lens

    model, questions = dit_lens.load("tiny-wan"), puzzle_questions(["grounding:plain"], n=2)
    found = prepared(model, Swap, questions, tmp_path, condition=Condition(steps=3), layers="0+9").run()
    assert found["sham_identical"].all()
    assert (found["effect"].sel(source="donor", layer=9) == 1).all()
    assert found["score"].notnull().all()
    assert set(Swap().draw(found)) >= {"effect_by_layer", "effect_end_by_layer"}

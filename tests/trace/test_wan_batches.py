"""Several prompts and seeds in one call: one trace for each row, under its own labels, with the values of its row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dit_lens_stores as stores
from dit_lens.engine.batch import Batch
from dit_lens.engine.errors import BadRequest
from dit_lens.engine.run import run_plain
from dit_lens.sites import SITES

from .test_wan_variants import EXACT
from .wan_kept import trace, trace_rows
from .wan_observer import framed, observed
from .wan_variants import VARIANTS, ask, look, picture

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "t2v-a14b"
ROWS = ({"seed": 3}, {"seed": 4, "prompt": "the path"}, {"seed": 5, "negative_prompt": "Draw"})


def _requests(name=NAME, rows=ROWS, **changes):
    return [ask(name, **{**row, **changes}) for row in rows]


def _plain(lens, requests):
    return run_plain(lens.pipeline, lens.family, Batch(tuple(requests), lens.check(requests[0])), False).latents


@pytest.mark.parametrize("guidance", [1.0, 3.0], ids=["off", "on"])
@pytest.mark.parametrize("name", [NAME, "i2v-a14b", "ti2v-5b-i2v", "i2v-2.1", "flf2v-2.1", "v2v"])
def test_every_row_is_a_trace_of_its_own(name, guidance):
    """Each row's values are those of an observer of the same batched run; the branches are never taken for samples."""
    variant, lens, requests = VARIANTS[name], look(name), _requests(name, guidance=guidance)
    kept, layout, latents = trace_rows(lens, requests)
    with observed(lens.pipeline, variant, requests) as seen:
        plain = _plain(lens, requests)
    branches = ("cond",) if guidance == 1 else ("cond", "uncond")
    assert layout.branches == branches
    assert len({latent.numpy().tobytes() for latent in latents}) == len(requests)
    for row, one in enumerate(kept):
        assert torch.equal(latents[row], plain[row])
        _check_row(one, seen, row, variant)
        assert {at[1] for at in one.writes} == {*branches, None}


def _check_row(one, seen, row, variant):
    sites = [site for site in SITES if "layer" in SITES[site].event_dims]
    assert sum(len(one.of(f"{site}.raw")) for site in sites) == len(seen.sites)
    for (_, branch, step, layer, site), values_B in seen.sites.items():
        stored = one.of(f"{site}.raw")[branch, step, layer]
        wanted = (framed(values_B, variant) if values_B.ndim == 3 else values_B)[row].numpy()
        if site in EXACT:
            assert np.array_equal(stored, wanted), (site, row)
        else:
            np.testing.assert_allclose(stored, wanted, atol=1e-5, err_msg=site)
    for call in seen.calls:
        assert np.array_equal(one.of("velocity.raw")[call.branch, call.step, None], call.velocity[row].numpy())
    for number, step in enumerate(seen.steps):
        assert np.array_equal(one.of("latent.raw")[None, number, None], step.latents[row].numpy())
        assert np.array_equal(one.of("velocity.guided.raw")[None, number, None], step.guided[row].numpy())


def test_a_row_is_close_to_the_same_request_alone():
    """Close, not equal: a matrix product of another shape rounds differently."""
    lens, requests = look(NAME), _requests()
    kept, _, latents = trace_rows(lens, requests, ["block.out", "x0", "attn2.words"])
    for row, request in enumerate(requests):
        alone, _, latent = trace(lens, request, ["block.out", "x0", "attn2.words"])
        torch.testing.assert_close(latents[row], latent, atol=1e-3, rtol=1e-3)
        assert alone.writes.keys() == kept[row].writes.keys()
        for at, values in alone.writes.items():
            np.testing.assert_allclose(kept[row].writes[at], values, atol=1e-3)


def test_the_store_has_a_trace_for_each_row(tmp_path):
    lens, requests = look(NAME), _requests()
    results = lens.trace_batch(requests, ["block.out:energy", "latent"], tmp_path / "a.zarr")
    store = stores.open_store(tmp_path / "a.zarr")
    assert [result.trace_id for result in results] == [lens.default_trace_id(request) for request in requests]
    assert sorted(store) == sorted(result.trace_id for result in results)
    for row, (request, result) in enumerate(zip(requests, results, strict=True)):
        manifest = store[result.trace_id].manifest
        assert manifest["batch"] == {"size": 3, "row": row}
        facts = (manifest["prompt"], manifest["negative_prompt"], manifest["seed"])
        assert facts == (request.prompt, request.negative_prompt, request.seed)
        assert result.video.shape == (9, 32, 48, 3)
        assert (store[result.trace_id]["video"].values == result.video).all()
        assert (lens.decode(result.latents) == result.video).all()
    alone = lens.trace(requests[0], ["latent"], tmp_path / "b.zarr")
    assert stores.open_store(tmp_path / "b.zarr")[alone.trace_id].manifest["batch"] is None


def test_chosen_rows_are_recorded_and_all_run(tmp_path):
    lens, requests = look(NAME), _requests()
    sites = ["block.out", "latent"]
    whole = lens.trace_batch(requests, sites, tmp_path / "all.zarr", decode=False)
    ids = ["first", "second", "third"]
    some = lens.trace_batch(requests, sites, tmp_path / "some.zarr", trace_ids=ids, only=[2, 0], decode=False)
    assert [result.trace_id for result in some] == ["third", "first"]
    store, all_of = stores.open_store(tmp_path / "some.zarr"), stores.open_store(tmp_path / "all.zarr")
    assert sorted(store) == ["first", "third"]
    for row, result in zip((2, 0), some, strict=True):
        assert torch.equal(result.latents, whole[row].latents)
        assert store[result.trace_id].manifest["batch"] == {"size": 3, "row": row}
        for array in ("block.out.raw", "latent.raw"):
            assert store[result.trace_id][array].identical(all_of[whole[row].trace_id][array])


def test_embeddings_of_one_prompt_serve_several_seeds():
    lens = look(NAME)
    generator = torch.Generator().manual_seed(0)
    words = {name: torch.randn(1, 8, 16, generator=generator) for name in ("prompt_embeds", "negative_prompt_embeds")}
    requests = [ask(NAME, seed=seed, extra=words) for seed in (3, 4)]
    kept, layout, latents = trace_rows(lens, requests, ["block.out"])
    assert layout.text_tokens == 8
    assert torch.equal(torch.cat(latents), torch.cat(_plain(lens, requests)))
    assert not np.array_equal(kept[0].of("block.out.raw")["cond", 0, 0], kept[1].of("block.out.raw")["cond", 0, 0])


WORDS = {"max_sequence_length": 8}
EMBEDDED = {"prompt_embeds": torch.zeros(1, 8, 16), "negative_prompt_embeds": torch.zeros(1, 8, 16)}
HALF = {"negative_prompt_embeds": torch.zeros(1, 8, 16)}
NOISE = {"max_sequence_length": 8, "latents": torch.zeros(1, 16, 2, 4, 6)}
DIFFER = (
    "requests of one batch differ in more than prompt, negative prompt and seed; got row 1 with another {}, allowed "
    "that of row 0; run it in a batch of its own"
)


@pytest.mark.parametrize(
    ("name", "rows", "options", "message"),
    [
        (NAME, [], {}, "the batch is empty; got no request, allowed one or more; add one"),
        (NAME, [{}, {"steps": 3}], {}, DIFFER.format("steps")),
        (NAME, [{}, {"guidance": 4.0}], {}, DIFFER.format("guidance")),
        (NAME, [{}, {"guidance_2": 4.0}], {}, DIFFER.format("guidance_2")),
        (NAME, [{}, {"extra": {"max_sequence_length": 9}}], {}, DIFFER.format("extra")),
        ("i2v-a14b", [{}, {"image": picture(99)}], {}, DIFFER.format("image_sha256")),
        (NAME, [{}, {}], {}, "the names of the traces do not fit the batch; got {id}, {id}, allowed 2 different names; "
         "give every request a seed or a name of its own"),
        (NAME, [{}, {"seed": 4}], {"trace_ids": ["a"]}, "the names of the traces do not fit the batch; got a, allowed "
         "2 different names; give every request a seed or a name of its own"),
        (NAME, [{}, {"seed": 4}], {"only": [2]}, "the batch has no such rows to record; got 2, allowed 0 to 1, each "
         "once; name rows of the batch"),
        (NAME, [{}, {"seed": 4}], {"only": []}, "the batch has no such rows to record; got none, allowed 0 to 1, each "
         "once; name rows of the batch"),
        (NAME, [{"extra": EMBEDDED}, {"extra": EMBEDDED, "prompt": "x"}], {}, "embeddings of one prompt cannot serve a "
         "batch of several; got 2 prompts beside them, allowed 1, and a pipeline that makes copies of it; give prompts "
         "as words, or trace them one by one"),
        (NAME, [{"extra": HALF}, {"extra": HALF, "seed": 4}], {}, "embeddings beside prompts in words are those of one "
         "prompt; got negative_prompt_embeds with a batch of 2, allowed a batch of 1; give all prompts as words, or "
         "trace the requests one by one"),
        (NAME, [{"extra": NOISE}, {"extra": NOISE, "seed": 4}], {}, "noise that is given is that of one sample; got "
         "latents with a batch of 2, allowed a batch of 1; leave it out, or trace the requests one by one"),
        ("vace", [{}, {"seed": 4}], {}, "WanVACEPipeline draws one video at a time; got a batch of 2, allowed 1; trace "
         "the requests one by one"),
    ],
)  # fmt: skip
def test_wrong_batches_write_nothing(tmp_path, name, rows, options, message):
    lens = look(name)
    requests = [ask(name, **row) for row in rows]
    with pytest.raises(BadRequest) as caught:
        lens.trace_batch(requests, ["latent"], tmp_path / "a.zarr", **options)
    assert str(caught.value) == message.replace("{id}", lens.default_trace_id(ask(name)))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "a.zarr").exists()

"""What was edited is in the trace and its manifest; an edit that did not come is an error; sources are streamed."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import torch

import dit_lens_stores as stores
from dit_lens.edits import Edit, Noise, Stored
from dit_lens.engine.donors import Donor
from dit_lens.errors import MissedEdit, OtherSettings, UnexpectedVisit
from tests.trace.test_resume import content, stop_after

ZERO = Edit("block.out", "step=4,layer=1", "zero")


def test_a_trace_says_what_was_edited(lens, kit, tmp_path):
    donor = lens.trace(kit.ask(seed=4), ["block.out"], tmp_path / "donors.zarr", decode=False)
    edits = [
        ZERO,
        Edit("state", "step=2", "noise", Noise(1, 0.1)),
        Edit("block.out", "step=0", "mean", [Stored(tmp_path / "donors.zarr", donor.trace_id)]),
    ]
    result = lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", edits=edits, decode=False)
    trace = stores.open_store(tmp_path / "a.zarr")[result.trace_id]
    told = trace.manifest["edits"]
    assert [edit["op"] for edit in told] == ["zero", "noise", "mean"]
    assert [edit["level"] for edit in told] == ["site", "state", "site"]
    assert told[2]["source"][0]["store"] == "donors.zarr"
    assert len(told[2]["source"][0]["manifest_sha256"]) == 64
    assert trace.manifest["solver_resets"] == [2]
    assert trace.manifest["resets"] == []
    assert str(tmp_path) not in json.dumps(trace.manifest)
    assert stores.verify(tmp_path / "a.zarr").ok


def test_a_plain_trace_is_what_it_was(lens, kit, tmp_path):
    result = lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", decode=False)
    manifest = stores.open_store(tmp_path / "a.zarr")[result.trace_id].manifest
    assert manifest["edits"] == []
    assert not {"resets", "solver_resets", "start", "stop_after"} & set(manifest)


def test_an_edited_trace_is_never_taken_for_another(lens, kit, tmp_path):
    path = tmp_path / "a.zarr"
    ways = [{}, {"edits": [ZERO]}, {"edits": [Edit("block.out", "step=4,layer=2", "zero")]}, {"resets": [2]},
            {"stop_after": 3}, {"edits": [ZERO], "resets": [2]}]  # fmt: skip
    ids = {lens.trace(kit.ask(), ["latent"], path, decode=False, **way).trace_id for way in ways}
    assert len(ids) == len(ways)
    with pytest.raises(KeyboardInterrupt):
        lens.trace(kit.ask(), ["latent"], path, trace_id="t", decode=False, edits=[ZERO], on_step=stop_after(2))
    for other in ({}, {"edits": ways[2]["edits"]}, {"edits": [ZERO], "resets": [2]}):
        with pytest.raises(OtherSettings):
            lens.trace(kit.ask(), ["latent"], path, trace_id="t", decode=False, **other)


def test_a_function_is_known_by_what_it_takes_from_outside(lens, kit):
    def steered(by):
        return Edit("block.out", "step=0,layer=1", "replace", lambda address, values: values + by)

    one, two, again = steered(1.0), steered(2.0), steered(1.0)
    assert one.sha256 == again.sha256 != two.sha256
    assert one.facts["source"][0]["values"] == {"by": "1.0"}


def test_an_edited_trace_resumes(lens, kit, tmp_path):
    edits = [ZERO, Edit("state", "step=2", "noise", Noise(1, 0.1))]
    options = {"trace_id": "t", "edits": edits, "decode": False}
    whole = lens.trace(kit.ask(), ["latent", "block.out"], tmp_path / "a" / "s.zarr", **options)
    with pytest.raises(KeyboardInterrupt):
        lens.trace(kit.ask(), ["latent", "block.out"], tmp_path / "b" / "s.zarr", on_step=stop_after(3), **options)
    resumed = lens.trace(kit.ask(), ["latent", "block.out"], tmp_path / "b" / "s.zarr", **options)
    assert torch.equal(whole.latents, resumed.latents)
    assert resumed.anew is None
    assert resumed.resets == whole.resets == (2,)
    assert content(tmp_path / "a" / "s.zarr" / "t") == content(tmp_path / "b" / "s.zarr" / "t")


def test_the_recorder_sees_what_the_edit_left(lens, kit, tmp_path):
    edits = [Edit(site, "step=1", "scale", 2.0) for site in ("attn1.out", "ffn.out", "velocity", "velocity.guided")]
    sites = [edit.site for edit in edits]
    edited, plain = (
        stores.open_store(result.store)[result.trace_id]
        for result in (lens.trace(kit.ask(), sites, tmp_path / f"{len(made)}.zarr", edits=made, decode=False)
                       for made in (edits, []))
    )  # fmt: skip
    first = {"step": 1, "layer": 0, "branch": "cond"}
    assert np.array_equal(edited["attn1.out.raw"].sel(first).values, 2 * plain["attn1.out.raw"].sel(first).values)
    velocity, guided = (edited[f"{site}.raw"].sel(step=1) for site in ("velocity", "velocity.guided"))
    cond, uncond = (velocity.sel(branch=name).values for name in ("cond", "uncond"))
    assert np.allclose(guided.values, 2 * (uncond + 3 * (cond - uncond)), atol=1e-5)


def test_an_edit_that_does_not_come_is_an_error_that_names_it(lens, kit, tmp_path):
    """Here a block does not run, as under a cache that skips it."""
    block = lens.pipeline.transformer_2.blocks[1]
    stock, calls = block.forward, []

    class Skipped(torch.nn.Module):
        def forward(self, hidden, *args):
            calls.append(1)
            return hidden

    lens.pipeline.transformer_2.blocks[1] = block
    plan = lens.family.layers(lens.pipeline.transformer_2)
    assert plan[1][2] is block
    edits = [ZERO, Edit("block.out", "step=0,layer=1", "zero")]

    def swap_in(done, steps):
        if done == 3:
            lens.pipeline.transformer_2.blocks[1] = Skipped()

    with pytest.raises(MissedEdit) as caught:
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", trace_id="t", edits=edits, on_step=swap_in, decode=False)
    lens.pipeline.transformer_2.blocks[1] = block
    assert block.forward == stock
    assert calls
    assert str(caught.value) == (
        "edits did not come to their addresses; got none of 'block.out:zero[step=4,layer=1]' at "
        "transformer_2/cond/step 4/layer 1/block.out, 'block.out:zero[step=4,layer=1]' at "
        "transformer_2/uncond/step 4/layer 1/block.out, allowed each once; a layer or a step did not run: leave the "
        "edit out, or run an unmodified pipeline"
    )
    assert caught.value.exit_code == 3
    assert [address.branch for address in caught.value.missing] == ["cond", "uncond"]
    assert stores.open_store(tmp_path / "a.zarr").status("t") == "failed"


def test_an_address_that_comes_twice_is_an_error(lens, kit):
    block = lens.pipeline.transformer_2.blocks[1]
    stock = block.__class__.__call__
    again = lens.pipeline.transformer_2.blocks[2]
    hook = again.register_forward_pre_hook(lambda module, args: (stock(block, *args), None)[1])
    with pytest.raises(
        UnexpectedVisit, match=r"got transformer_2/cond/step 4/layer 1/block.out again for edit 'block.out:"
    ):
        lens.generate(kit.ask(), edits=[ZERO], decode=False)
    hook.remove()


def test_every_edit_is_made_once_at_every_address(lens, kit):
    seen = []

    def note(address, values):
        seen.append(address)
        return values

    lens.generate(kit.ask(), edits=[Edit("block.out", op="replace", source=note)], decode=False)
    assert len(seen) == len(set(seen)) == 6 * 2 * kit.BLOCKS
    both = [Edit("view", "step=0", "replace", note), Edit("view", "step=0", "replace", note)]
    seen.clear()
    lens.generate(kit.ask(), edits=both, decode=False)
    assert len(seen) == 4


def test_sources_are_streamed(kit, tmp_path, monkeypatch):
    """A swap of all layers in all steps holds one event at a time, however many there are."""
    lens, path = kit.look(kit.build("t2v")), tmp_path / "a.zarr"
    request = kit.ask("t2v", height=128, width=128)
    event = 2 * 16 * 16 * 24 * 4
    lens.trace(request, ["block.out"], path, trace_id="t", decode=False)
    edits = [Edit("block.out", op="replace", source=Stored(path, "t"))]
    held = []
    read = Donor.at

    def measured(self, address, current):
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        values = read(self, address, current)
        held.append((before, tracemalloc.get_traced_memory()[1] - before))
        return values

    monkeypatch.setattr(Donor, "at", measured)
    tracemalloc.start()
    try:
        lens.generate(request, edits=edits, decode=False)
    finally:
        tracemalloc.stop()
    count = 6 * 2 * kit.BLOCKS
    assert len(held) == 2 * count, "once to check it, once to use it"
    assert max(peak for _, peak in held) < 5 * event, "an event, and what it takes to decode it"
    growth = held[-1][0] - held[count][0]
    assert growth < 3 * event, "nothing is kept from one address to the next"

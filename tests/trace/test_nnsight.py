"""The nnsight bridge: right visits, edits that equal hooks, traces that show them, and nothing left behind."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
import textwrap
import weakref

import numpy as np
import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from diffusers.models.transformers import transformer_wan

import dit_lens_stores as stores
from dit_lens.address import Address
from dit_lens.engine.errors import (
    BadBlock,
    BadSelection,
)
from dit_lens.lens import Lens
from dit_lens.nnsight_bridge import check_nnsight

from .families.build_a import TINY


def _plain(lens, request):
    return lens.generate(request, decode=False).latents


def _state(pipeline):
    """Everything on every module that nnsight or a hook could leave."""
    return {
        f"{expert}.{name}": (sorted(vars(module)), len(module._forward_hooks), len(module._forward_pre_hooks))
        for expert in ("transformer", "transformer_2", "vae", "text_encoder")
        for name, module in getattr(pipeline, expert).named_modules()
    }


# ---------------------------------------------------------------- the right visit of the right expert


@pytest.mark.parametrize(("kind", "scheduler", "experts", "guidance"), [
    ("i2v", "unipc", 2, 3.0), ("i2v", "unipc", 2, 1.0), ("t2v", "euler", 1, 3.0), ("t2v", "euler", 1, 1.0),
])  # fmt: skip
def test_every_address_is_the_visit_that_an_observer_saw(kit, kind, scheduler, experts, guidance):
    pipeline = kit.build(kind, scheduler, experts)
    lens, request = kit.look(pipeline), kit.ask(kind, guidance=guidance, steps=4)
    with kit.observer(pipeline) as seen:
        plain = _plain(lens, request)
    with lens.nnsight(request, decode=False) as (_model, at):
        for visit in at.visits:
            for layer in at.layers:
                at(visit.step, visit.branch, layer).save("block.out")
    assert torch.equal(at.result.latents, plain)
    branches = 1 if guidance <= 1 else 2
    assert len(at.saved) == len(seen.blocks) == 4 * branches * kit.BLOCKS
    assert len({address.expert for address in at.saved}) == experts
    for expert, branch, step, layer, values in seen.blocks:
        saved = at.saved[Address(expert, branch, step, layer, "block.out")]
        assert torch.equal(saved.flatten(0, 1), values)


def test_velocity_and_parts_are_what_an_observer_saw(lens, kit):
    parts = {}
    block = lens.pipeline.transformer_2.blocks[2]
    hooks = [
        getattr(block, name).register_forward_hook(lambda m, a, out, name=name: parts.setdefault(name, []).append(out))
        for name in ("attn1", "attn2", "ffn")
    ]
    with kit.observer(lens.pipeline) as seen:
        _plain(lens, kit.ask())
    for hook in hooks:
        hook.remove()
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        here = at(4, "uncond", 2, expert="transformer_2")
        for name in ("attn1", "attn2", "ffn"):
            assert torch.equal(here.save(f"{name}.out").flatten(0, 1), parts[name][3][0])  # step 4 is its second
        velocity = at(4, "uncond").save("velocity")
    (seen_velocity,) = [values for *place, values in seen.velocities if place == ["transformer_2", "uncond", 4]]
    assert torch.equal(velocity, seen_velocity)


def test_queries_keys_and_values_are_those_that_the_attention_got(lens, kit, monkeypatch):
    stock, got = transformer_wan.dispatch_attention_fn, []

    def dispatch(query, key, value, *args, **kwargs):
        got.append((query.clone(), key.clone(), value.clone()))
        return stock(query, key, value, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(transformer_wan, "dispatch_attention_fn", dispatch)
        _plain(lens, kit.ask(steps=4))
    per_call = len(got) // 8
    with lens.nnsight(kit.ask(steps=4), decode=False) as (_model, at):
        for step, branch in ((1, "uncond"), (3, "cond")):
            for what in ("attn1.q", "attn1.k", "attn1.v", "attn2.q", "attn2.k", "attn2.v"):
                at(step, branch, 1).save(what)
    calls = per_call // kit.BLOCKS  # of one layer: self-attention, over the image if there is one, over the prompt
    for step, branch in ((1, "uncond"), (3, "cond")):
        first = (2 * step + (branch == "uncond")) * per_call + calls
        for part, values in (("attn1", got[first]), ("attn2", got[first + calls - 1])):
            for what, expected in zip("qkv", values, strict=True):
                expert = "transformer" if step == 1 else "transformer_2"
                saved = at.saved[Address(expert, branch, step, 1, f"{part}.{what}")]
                assert torch.equal(saved.reshape(expected[0].shape), expected[0]), (part, what)


def test_timesteps_of_every_token_are_compared_as_well(kit):
    pipeline = kit.build("t2v", experts=1)
    config = {**pipeline.transformer.config, "patch_size": (1, 2, 2)}  # for which the pipeline expands timesteps
    pipeline.register_modules(transformer=transformer_wan.WanTransformer3DModel.from_config(config).eval())
    pipeline.register_to_config(expand_timesteps=True)
    given = []
    pipeline.transformer.register_forward_pre_hook(lambda m, a, k: given.append(k["timestep"].shape), with_kwargs=True)
    lens = kit.look(pipeline)
    plain = _plain(lens, kit.ask("t2v"))
    with lens.nnsight(kit.ask("t2v"), decode=False) as (_model, at):
        at(4, "uncond", 2).save("block.out")
    assert given[0] == (1, 8)
    assert torch.equal(at.result.latents, plain)


def test_source_is_served_in_the_call_that_was_asked_for_however_late_it_is_asked(lens, kit):
    """Natively nnsight counts what .source reaches from when it is first asked for."""
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        at(1, "cond", 0).save("block.out")
        for step in (2, 5):
            args, _kwargs = at(step, "cond", 1).attn1.source.self_processor_0.source.dispatch_attention_fn_1.inputs
            at(step, "cond", 1).save("my.query", args[0][0])
    with lens.nnsight(kit.ask(), decode=False) as (_model, alone):
        alone(5, "cond", 1).save("attn1.q")
    (late,) = [value for address, value in at.saved.items() if address.step == 5]
    (query,) = alone.saved.values()
    assert torch.equal(late, query.flatten(0, 1))
    assert not torch.equal(late, at.saved[Address("transformer", "cond", 2, 1, "my.query")])


@pytest.mark.filterwarnings("ignore:In CPU autocast", "ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["cogvideox", "mochi", "allegro"])
def test_families_that_batch_the_branches(name, tmp_path):
    """One visit serves both branches; other timesteps, other processors."""
    tiny = TINY[name]
    lens, request = Lens(tiny.build()), tiny.ask()
    traced = lens.trace(request, ["velocity", "block.out", "attn1.out"], tmp_path / "a.zarr", decode=False)
    with lens.nnsight(request, decode=False) as (_model, at):
        for step in at.steps:
            for layer in at.layers:
                for site in ("attn1.out", "block.out"):
                    at(step, layer=layer).save(site)
            at(step).save("velocity")
    trace = stores.open_store(tmp_path / "a.zarr")[traced.trace_id]
    assert len(at.saved) == 2 * len(at.steps) * (2 * len(at.layers) + 1)
    for address, value in at.saved.items():
        labels = {
            axis: getattr(address, axis) for axis in ("branch", "step", "layer") if getattr(address, axis) is not None
        }
        np.testing.assert_array_equal(trace[f"{address.site}.raw"].sel(labels).values, value.float())
    with pytest.raises(BadSelection, match=r"no such branch in step 0; got 'cond', allowed uncond\+cond"):
        lens.nnsight(request).run(lambda _model, at: at(0, "cond", 0))


# ---------------------------------------------------------------- edits


@pytest.mark.parametrize("path", ["", "attn1", "ffn"])
def test_an_edit_equals_the_same_edit_by_a_hook(lens, kit, path):
    plain, visits = _plain(lens, kit.ask()), []

    def hook(_module, _args, output):
        visits.append(1)
        return output * 0.5 if len(visits) == 4 else None  # transformer_2 visit 3: step 4, uncond

    handle = lens.pipeline.transformer_2.blocks[1].get_submodule(path).register_forward_hook(hook)
    by_hook = _plain(lens, kit.ask())
    handle.remove()
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        here = at(4, "uncond", 1)
        there = getattr(here, path) if path else here
        there.output = there.output * 0.5
    assigned = at.result.latents
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        (getattr(at(4, "uncond", 1), path) if path else at(4, "uncond", 1)).output[:] *= 0.5
    assert torch.equal(assigned, by_hook)
    assert torch.equal(at.result.latents, by_hook)
    assert not torch.equal(by_hook, plain)


def test_an_edit_of_a_query_equals_the_same_edit_in_the_processor(lens, kit, monkeypatch):
    stock, calls = transformer_wan.dispatch_attention_fn, []

    def dispatch(query, *args, **kwargs):
        calls.append(1)
        return stock(query * 0 if len(calls) == 1 else query, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(transformer_wan, "dispatch_attention_fn", dispatch)
        by_patch = _plain(lens, kit.ask())
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        at(0, "cond", 0).read("attn1.q")[:] = 0
    assert torch.equal(at.result.latents, by_patch)
    assert not torch.equal(by_patch, _plain(lens, kit.ask()))


def test_skip_and_inputs_and_calls_on_the_side(lens, kit):
    with lens.nnsight(kit.ask(), decode=False) as (model, at):
        here = at(2, "cond", 1)
        stream = here.input
        here.skip(stream)
        seen = here.output
        assert seen is stream
        projected = model.transformer.proj_out(at(2, "cond", 2).output)  # no visit: nothing waits for it
    assert projected.shape == (1, 32, 16)
    with lens.nnsight(kit.ask(), decode=False) as (_model, by_output):
        here = by_output(2, "cond", 1)
        here.output = here.input
    assert torch.equal(by_output.result.latents, at.result.latents)


def test_the_steps_of_an_expert_in_their_order(lens, kit):
    with lens.nnsight(kit.ask(), expert="transformer_2", decode=False) as (_model, at):
        norms = [float(here.output.norm()) for here in at.each("cond", -1)]
        after = "reached"
    assert at.steps == (3, 4, 5)
    assert len(norms) == 3
    assert after == "reached"
    session = lens.nnsight(kit.ask(), steps="1:3", decode=False)
    with session as (_model, at):
        at(2, "cond", 0).save("block.in")
    assert session.at is at
    with pytest.raises(BadSelection, match="no such step in the run; got 4, allowed 1, 2"):
        session.run(lambda _model, at: at(4, "cond", 0))


def test_names_are_bound_as_in_plain_python(lens, kit):
    kept, loose = "before", []
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        kept = at(0, "cond", 0).output.clone()
        loose.append(at(1, "uncond", 0).output.save())  # harmless, and not needed
        count = sum(1 for _ in at.each("cond"))
    assert isinstance(kept, torch.Tensor)
    assert loose[0].shape == kept.shape
    assert count == 6
    assert at.result.latents is not None


def test_a_block_as_a_function_needs_no_source(lens, kit):
    names = {}
    exec(textwrap.dedent("""
        def block(model, at):
            at(3, "cond", 2).output[:] = 0
            at(3, "cond", 2).save("block.out")
            return "returned"
    """), names)  # fmt: skip
    session = lens.nnsight(kit.ask(), decode=False)
    assert session.run(names["block"]) == "returned"
    assert not session.at.saved[Address("transformer_2", "cond", 3, 2, "block.out")].any()


# ---------------------------------------------------------------- traces


def test_recorders_see_the_edits_and_the_manifest_says_who_made_them(lens, kit, tmp_path):
    captures = ["block.out[layer=1]", "attn1.q[layer=1,step=4]", "velocity"]
    with lens.nnsight(kit.ask(), captures=captures, out=tmp_path / "a.zarr", decode=False) as (_model, at):
        at(4, "cond", 1).read("attn1.q")[:, :16] = 2
        at(4, "cond", 1).output[:] = 7
        at(4, "cond", 1).save("block.out")
        at(4, "cond").save("velocity")
    with lens.nnsight(kit.ask(), decode=False) as (_model, untraced):
        untraced(4, "cond", 1).read("attn1.q")[:, :16] = 2
        untraced(4, "cond", 1).output[:] = 7
    assert torch.equal(at.result.latents, untraced.result.latents)
    trace = stores.open_store(tmp_path / "a.zarr")[at.result.trace_id]
    blocks = trace["block.out.raw"]
    assert (blocks.sel(branch="cond", step=4, layer=1) == 7).all()
    assert int((blocks == 7).sum()) == 2 * 16 * 24
    queries = trace["attn1.q.raw"].sel(branch="cond", step=4, layer=1)
    assert (queries.sel(frame=0) == 2).all()
    assert not (queries.sel(frame=1) == 2).any()
    velocity = at.saved[Address("transformer_2", "cond", 4, None, "velocity")]
    np.testing.assert_array_equal(trace["velocity.raw"].sel(branch="cond", step=4), velocity)
    facts = trace.manifest["nnsight"]
    assert "at(4, 'cond', 1).output[:] = 7" in facts["block"]
    assert ast.parse(facts["block"])
    assert facts["version"] == check_nnsight()
    assert at.result.trace_id.endswith(f"-nnsight-{facts['sha256'][:8]}")


def test_what_a_block_saves_is_what_a_capture_records(lens, kit, tmp_path):
    captures = ["block.out[step=1+4,layer=0+2]", "attn1.k[step=1+4,layer=0+2]", "attn2.v[step=1+4,layer=0+2]"]
    store = stores.create_store(tmp_path / "a.zarr")
    lens.trace(kit.ask(), captures, store, trace_id="captured", decode=False)
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        for step in (1, 4):
            for branch in at.branches:
                for layer in (0, 2):
                    here = at(step, branch, layer)
                    for site in ("attn1.k", "attn2.v", "block.out"):
                        here.save(site)
                at(step, branch).save("mine", torch.full((2, 3), float(step)))
    at.write(store, "saved")
    assert store.status("saved") == "complete"
    captured, saved = (
        stores.open_store(tmp_path / "a.zarr")["captured"],
        stores.open_store(tmp_path / "a.zarr")["saved"],
    )
    for name in ("block.out.raw", "attn1.k.raw", "attn2.v.raw"):
        assert captured[name].dims == saved[name].dims
        assert captured[name].attrs["source_dtype"] == saved[name].attrs["source_dtype"]
        np.testing.assert_array_equal(captured[name].values, saved[name].values)
        for coordinate in ("sigma", "timestep", "expert", "branch", "step", "layer", "module"):
            np.testing.assert_array_equal(captured[name][coordinate].values, saved[name][coordinate].values)
    assert (saved["mine"].sel(step=4) == 4).all()
    assert saved["mine"].dims == ("branch", "step", "mine.0", "mine.1")
    manifest = saved.manifest
    assert manifest["seed"] == 3
    assert "save(site)" in manifest["nnsight"]["block"]


def test_what_is_no_grid_is_not_written(lens, kit, tmp_path):
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        at(0, "cond", 1).save("block.out")
        at(1, "cond", 2).save("block.out")
    with pytest.raises(BadBlock, match=r"'block.out' is no grid; got 2 addresses, allowed 4, that is 1 branch x"):
        at.write(tmp_path / "a.zarr", "t")
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        at(0, "cond").save("x", torch.zeros(2))
        at(1, "cond").save("x", torch.zeros(3))
        at(1, "cond", 0).save("y", torch.zeros(3))
        at(2, "cond").save("y", torch.zeros(3))
    with pytest.raises(BadBlock, match=r"'x' is no array; got shapes \(2,\), \(3,\), allowed one shape"):
        at.write(tmp_path / "a.zarr", "t")
    del at.saved[Address("transformer", "cond", 1, None, "x")]
    with pytest.raises(BadBlock, match="'y' is no grid; got 2 addresses, allowed addresses that all have a layer"):
        at.write(tmp_path / "a.zarr", "t")
    at.saved.clear()
    with pytest.raises(BadBlock, match="saved nothing to write; got 0 addresses"):
        at.write(tmp_path / "a.zarr", "t")
    assert not (tmp_path / "a.zarr").exists()


# ---------------------------------------------------------------- nothing stays behind


def test_the_pipeline_is_as_it_was(lens, kit, tmp_path):
    before, state = _plain(lens, kit.ask()), _state(lens.pipeline)
    scheduler = type(lens.pipeline.scheduler)
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        at(2, "cond", 1).output[:] = 0
        at(3, "cond", 1).save("attn1.q")
    assert not torch.equal(at.result.latents, before)
    assert _state(lens.pipeline) == state
    assert type(lens.pipeline.scheduler) is scheduler
    assert torch.equal(_plain(lens, kit.ask()), before)
    with pytest.raises(ZeroDivisionError), lens.nnsight(kit.ask(), decode=False) as (_model, at):
        at(2, "cond", 1).output[:] = 1 / 0
    assert _state(lens.pipeline) == state
    assert type(lens.pipeline.scheduler) is scheduler
    traced = lens.trace(kit.ask(), ["block.out:energy"], tmp_path / "a.zarr", decode=False)
    assert torch.equal(traced.latents, before)


def test_a_forward_of_a_module_s_own_is_put_back(lens, kit):
    before = _plain(lens, kit.ask())
    block = lens.pipeline.transformer.blocks[1]
    calls = []

    class Counting(ModelHook):
        def pre_forward(self, module, *args, **kwargs):
            calls.append(1)
            return args, kwargs

    add_hook_to_module(block, Counting())
    wrapped = vars(block)["forward"]
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        at(0, "cond", 1).save("block.out")
    assert vars(block)["forward"] is wrapped
    assert len(calls) == 6, "it also ran inside the block"
    assert torch.equal(at.result.latents, before)


def test_nothing_of_a_session_is_kept_alive(kit):
    pipeline = kit.build()
    lens = kit.look(pipeline)
    session = lens.nnsight(kit.ask(), decode=False)
    kept = session.run(lambda _model, at: weakref.ref(at(0, "cond", 0).output.clone()))
    dead = weakref.ref(pipeline.transformer.blocks[0])
    assert kept() is None
    del session, lens, pipeline
    gc.collect()
    assert dead() is None


def test_importing_dit_lens_does_not_import_nnsight():
    code = """
        import sys
        import dit_lens, dit_lens.lens, dit_lens.errors, dit_lens.nnsight_bridge
        assert dit_lens.Lens
        assert "nnsight" not in sys.modules
        assert not hasattr(5, "save")
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], check=True, timeout=120)

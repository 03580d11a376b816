"""Each address is recorded exactly once, or the trace fails and names it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

import dit_lens_stores as stores
from dit_lens.address import Address
from dit_lens.engine.clock import Clock
from dit_lens.engine.errors import IncompleteTrace, UnexpectedVisit
from dit_lens.engine.layout import Layout
from dit_lens.engine.solver import schedule_of

CAPTURES = ["block.out:energy", "latent:raw"]


@contextmanager
def fails(path, kind=IncompleteTrace):
    with pytest.raises(kind) as caught:
        yield caught
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    store = stores.open_store(path)
    assert [store.status(trace_id) for trace_id in store.traces] == ["failed"]


def _at_step(step, act):
    def on_step(done, steps):
        if done == step:
            act()

    return on_step


def test_one_blocks_hook_removed(lens, kit, tmp_path):
    block = lens.pipeline.transformer_2.blocks[1]
    act = _at_step(4, lambda: block._forward_hooks.clear())
    with fails(tmp_path / "a.zarr") as caught:
        lens.trace(kit.ask(), CAPTURES, tmp_path / "a.zarr", trace_id="t", on_step=act)
    lost = [Address("transformer_2", b, s, 1, "block.out") for s in (4, 5) for b in ("cond", "uncond")]
    assert caught.value.missing == tuple(lost)
    assert str(caught.value) == (
        "trace 't' is not complete; got 44 of 48 addresses, missing transformer_2/cond/step 4/layer 1/block.out, "
        "transformer_2/uncond/step 4/layer 1/block.out, transformer_2/cond/step 5/layer 1/block.out, "
        "transformer_2/uncond/step 5/layer 1/block.out; a hook did not fire or a step did not run: trace an "
        "unmodified pipeline"
    )


def test_one_expert_never_runs(lens, kit, tmp_path):
    """The pipeline is switched to one expert behind the plan's back."""
    act = _at_step(1, lambda: setattr(lens.pipeline, "transformer_2", lens.pipeline.transformer))
    second = lens.pipeline.transformer_2
    with fails(tmp_path / "a.zarr") as caught:
        lens.trace(kit.ask(), CAPTURES, tmp_path / "a.zarr", on_step=act)
    assert {address.expert for address in caught.value.missing} == {"transformer_2"}
    assert {address.step for address in caught.value.missing} == {3, 4, 5}
    assert "transformer_2/step 3/" in str(caught.value)
    assert not second._forward_hooks
    assert not second.blocks[0]._forward_hooks


def test_an_expert_that_is_not_hooked_runs(lens, kit, tmp_path):
    stranger = kit.build().transformer_2
    act = _at_step(2, lambda: setattr(lens.pipeline, "transformer_2", stranger))
    with fails(tmp_path / "a.zarr") as caught:
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", on_step=act)
    assert Address("transformer_2", None, 3, None, "latent") in caught.value.missing


@pytest.mark.parametrize("captures", [CAPTURES, ["latent[step=0]"]], ids=["captured", "not captured"])
def test_a_step_is_skipped(lens, kit, tmp_path, captures):
    """A scheduler that leaves one timestep out; the step that it left out is named, not the last one."""
    scheduler = lens.pipeline.scheduler

    class Skipping(type(scheduler)):
        skip = False

        def set_timesteps(self, *args, **kwargs):
            super().set_timesteps(*args, **kwargs)
            if Skipping.skip:
                keep = [step for step in range(len(self.timesteps)) if step != 2]
                self.timesteps = self.timesteps[keep]

    scheduler.__class__ = Skipping
    plan = lens.plan

    def plan_then_skip(*args, **kwargs):
        planned = plan(*args, **kwargs)
        Skipping.skip = True
        return planned

    lens.plan = plan_then_skip
    with fails(tmp_path / "a.zarr") as caught:
        lens.trace(kit.ask(), captures, tmp_path / "a.zarr")
    assert {address.step for address in caught.value.missing} == {2}
    assert "transformer/step 2/scheduler.step" in str(caught.value)


def test_the_run_ends_early(lens, kit, tmp_path):
    act = _at_step(4, lambda: setattr(lens.pipeline, "_interrupt", True))
    with fails(tmp_path / "a.zarr") as caught:
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", on_step=act)
    assert {address.step for address in caught.value.missing} == {4, 5}


def test_a_step_comes_twice(lens, kit, tmp_path):
    scheduler = lens.pipeline.scheduler
    x = torch.zeros(1, 16, 2, 4, 4)
    again = _at_step(2, lambda: scheduler.step(x, scheduler.timesteps[0], x))
    with fails(tmp_path / "a.zarr", UnexpectedVisit) as caught:
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", on_step=again)
    assert str(caught.value) == (
        "the run came to a step that is over; got transformer/step 0/scheduler.step again at timestep 999.0, "
        "allowed each of the 6 steps once; call the pipeline with nothing that repeats steps"
    )


def test_a_timestep_that_was_not_planned(lens, kit, tmp_path):
    def act():
        lens.pipeline.scheduler.timesteps[2] += 1

    with fails(tmp_path / "a.zarr", UnexpectedVisit) as caught:
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", on_step=_at_step(1, act))
    planned = ", ".join(f"{timestep:g}" for timestep in schedule_of(lens.pipeline.scheduler, 6).timesteps)
    assert str(caught.value) == (
        f"the run came to a timestep that was not planned at ?/step 2/scheduler.step; got "
        f"{float(lens.pipeline.scheduler.timesteps[2])}, allowed {planned}; let the pipeline set its timesteps from "
        f"the number of steps alone"
    )


def test_a_pipeline_that_tells_no_timestep_is_followed_by_its_steps():
    clock = _clock()
    clock.follow(None)
    assert clock.step == 0
    clock.advance()
    with pytest.raises(UnexpectedVisit, match="the run came to a step that is over"):
        clock.follow(None)


@pytest.mark.parametrize("capture", ["block.out:energy", "block.out:raw", "block.out:raw[frame=0,token=0]"])
def test_a_wrong_grid_is_not_absorbed_by_the_channels(lens, kit, tmp_path, capture):
    lens.family = replace(lens.family, grid=lambda *_: (1, 4, 4))
    with fails(tmp_path / "a.zarr", UnexpectedVisit) as caught:
        lens.trace(kit.ask(), [capture], tmp_path / "a.zarr")
    assert str(caught.value) == (
        "the run came with another shape than planned to transformer/step 0/layer 0/block.out; got (1, 32, 24), "
        "allowed 1 rows of 16 tokens and 24 channels; correct the adapter's grid, or the fold and text of its stack"
    )


@pytest.mark.parametrize("capture", ["latent:energy", "latent:raw[frame=0]", "velocity:energy"])
def test_a_wrong_latent_shape_is_not_selected_from(lens, kit, tmp_path, capture):
    lens.family = replace(lens.family, latent_shape=lambda *_: (48, 2, 4, 4))
    with fails(tmp_path / "a.zarr", UnexpectedVisit) as caught:
        lens.trace(kit.ask(), [capture], tmp_path / "a.zarr")
    assert "got (16, 2, 4, 4), allowed (48, 2, 4, 4)" in str(caught.value)


def test_a_layer_runs_twice(lens, kit, tmp_path):
    block = lens.pipeline.transformer.blocks[2]
    stock = block.forward

    def twice(hidden, *args, **kwargs):
        block.forward = stock
        out = block(hidden, *args, **kwargs)
        block.forward = twice
        return out

    block.forward = twice
    with fails(tmp_path / "a.zarr", UnexpectedVisit) as caught:
        lens.trace(kit.ask(), CAPTURES, tmp_path / "a.zarr")
    assert str(caught.value) == (
        "the run came to an address twice; got transformer/cond/step 0/layer 2/block.out again, allowed once; "
        "trace a pipeline that calls every layer once a branch and step"
    )


def test_attention_over_another_number_of_words(lens, kit, tmp_path):
    """An adapter that is wrong about the prompt's length would put probabilities under wrong labels."""
    lens.family = replace(lens.family, text_tokens=lambda _pipeline, _request: 7)
    with fails(tmp_path / "a.zarr", UnexpectedVisit) as caught:
        lens.trace(kit.ask(), ["attn2.words"], tmp_path / "a.zarr", decode=False)
    assert str(caught.value) == (
        "the run came with another shape than planned to transformer/cond/step 0/layer 0/attn2.words; got (16,), "
        "allowed (7,); correct the adapter's text_tokens"
    )


def test_an_unplanned_branch(lens, kit, tmp_path):
    """Guidance is switched on behind the plan's back: the second branch was not announced."""
    act = _at_step(2, lambda: setattr(lens.pipeline, "_guidance_scale", 5.0))
    with fails(tmp_path / "a.zarr", UnexpectedVisit) as caught:
        lens.trace(kit.ask(guidance=1.0), ["latent"], tmp_path / "a.zarr", on_step=act)
    assert str(caught.value) == (
        "the run came to an unplanned branch at transformer/step 2/velocity; got uncond, allowed cond; "
        "the adapter must name all branches"
    )


def test_a_denoiser_without_contexts_is_labelled_by_order(lens, kit, tmp_path):
    """Not every family opens ``cache_context``; the order of the calls in a step stands in."""
    named = lens.trace(kit.ask(), ["velocity"], tmp_path / "a.zarr", trace_id="named")
    from dit_lens.engine import hooks

    stock = hooks.named_contexts
    try:
        hooks.named_contexts = contextmanager(lambda denoiser, clock: (yield))
        lens.trace(kit.ask(), ["velocity"], tmp_path / "a.zarr", trace_id="ordered")
    finally:
        hooks.named_contexts = stock
    store = stores.open_store(named.store)
    assert store["named"]["velocity.raw"].identical(store["ordered"]["velocity.raw"])


def _clock(batch=1, **kinds):
    layout = Layout(
        ("cond", "uncond"),
        ("transformer",),
        (9.0,),
        (0.9,),
        1,
        (1, 1, 1),
        8,
        (4, 1, 1, 1),
        (1, 8, 8),
        "float32",
        batch=batch,
    )
    return Clock(layout, **kinds)


def test_a_call_too_many_without_contexts():
    clock = _clock()
    for _ in range(2):
        clock.enter("transformer", 9.0)
    with pytest.raises(UnexpectedVisit) as caught:
        clock.enter("transformer", 9.0)
    assert str(caught.value) == (
        "the run came to an unplanned branch at transformer/step 0/velocity; got call 3 of the step, "
        "allowed cond, uncond; the adapter must name all branches"
    )


def test_rows_of_a_batch_are_split_by_branch_and_sample():
    clock = _clock(batch=2, batched=True)
    with clock.context("cond_uncond"):
        clock.enter("transformer", None)
    assert clock.rows == (("uncond", 0), ("uncond", 1), ("cond", 0), ("cond", 1))


def test_a_second_call_of_batched_branches_is_refused():
    clock = _clock(batched=True)
    clock.enter("transformer", None)
    with pytest.raises(UnexpectedVisit, match="got call 2 of the step"):
        clock.enter("transformer", None)


def test_a_context_may_have_a_name_of_its_own():
    clock = _clock(contexts={"pred_uncond": "uncond"})
    with clock.context("pred_uncond"):
        clock.enter("transformer", None)
    assert clock.rows == (("uncond", 0),)


def test_more_than_one_video_at_a_time_is_refused(lens, kit, tmp_path):
    def double(module, args, kwargs):
        names = ("hidden_states", "timestep", "encoder_hidden_states")
        return args, {**kwargs, **{name: torch.cat([kwargs[name]] * 2) for name in names}}

    lens.pipeline.transformer.register_forward_pre_hook(double, with_kwargs=True)
    with fails(tmp_path / "a.zarr", UnexpectedVisit) as caught:
        lens.trace(kit.ask(), CAPTURES, tmp_path / "a.zarr")
    assert "got 2 rows, allowed 1 (cond of sample 0); generate one video at a time" in str(caught.value)

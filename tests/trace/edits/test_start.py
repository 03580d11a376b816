"""A run that goes on from a stored step is the rest of the whole run, bit for bit; one that stops is its beginning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

import dit_lens_stores as stores
from dit_lens.edits import Edit, Noise, Start
from dit_lens.errors import BadEdit
from tests.trace import wan_variants
from tests.trace.test_identity import _state

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
HISTORY = ["latent", "velocity.guided", "block.out:energy"]


@pytest.fixture
def calls():
    """How often the denoisers ran."""
    return []


def count(lens, calls):
    for name in ("transformer", "transformer_2"):
        getattr(lens.pipeline, name).register_forward_pre_hook(lambda *args: calls.append(1))


@pytest.mark.parametrize("kind", ["i2v", "t2v"])
@pytest.mark.parametrize("scheduler", ["unipc", "euler", "dpm"])
def test_the_rest_of_a_run_is_that_of_the_whole(kit, tmp_path, scheduler, kind, calls):
    lens, path = kit.look(kit.build(kind, scheduler)), tmp_path / "a.zarr"
    request = kit.ask(kind, steps=7)
    whole = lens.trace(request, HISTORY, path, trace_id="whole", decode=False)
    before = _state(lens.pipeline)
    count(lens, calls)
    for step in (1, 2, 4, 6):
        calls.clear()
        rest = lens.generate(request, start=Start(path, "whole", step), decode=False)
        assert len(calls) == 2 * (7 - step)
        assert torch.equal(rest.latents, whole.latents), step
        assert len(lens.pipeline.scheduler.timesteps) == 7
    for name in ("transformer", "transformer_2"):
        getattr(lens.pipeline, name)._forward_pre_hooks.clear()
    assert _state(lens.pipeline) == before


@pytest.mark.parametrize("scheduler", ["unipc", "euler"])
def test_stopping_early_gives_what_the_next_step_starts_from(kit, tmp_path, scheduler, calls):
    lens = kit.look(kit.build(scheduler=scheduler))
    whole = lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", decode=False)
    count(lens, calls)
    stopped = lens.generate(kit.ask(), stop_after=3, decode=False)
    assert len(calls) == 8
    latent = stores.open_store(whole.store)[whole.trace_id]["latent.raw"].sel(step=4).values
    assert np.array_equal(stopped.latents[0].numpy(), latent)


def test_an_edit_late_in_a_run_needs_only_the_rest(lens, kit, tmp_path):
    path = tmp_path / "a.zarr"
    lens.trace(kit.ask(), HISTORY, path, trace_id="whole", decode=False)
    for edit in (Edit("block.out", "step=4,layer=1", "zero"), Edit("state", "step=4", "replace", Noise(1)),
                 Edit("state", "step=5,frame=1", "noise", Noise(1))):  # fmt: skip
        whole = lens.generate(kit.ask(), edits=[edit], decode=False)
        rest = lens.generate(kit.ask(), edits=[edit], start=Start(path, "whole", 4), decode=False)
        assert torch.equal(rest.latents, whole.latents), str(edit)
        assert rest.resets == whole.resets


def test_the_history_of_an_edited_run_is_that_of_the_edited_run(lens, kit, tmp_path):
    """Its resets are in its manifest, and what was put between two steps is in its latents."""
    path, edit = tmp_path / "a.zarr", Edit("state", "step=2", "replace", Noise(1))
    whole = lens.trace(kit.ask(), HISTORY, path, trace_id="edited", edits=[edit], decode=False)
    for step in (2, 3, 4):
        rest = lens.generate(kit.ask(), start=Start(path, "edited", step), decode=False)
        assert torch.equal(rest.latents, whole.latents), step


def test_a_trace_of_the_rest_holds_the_rest(lens, kit, tmp_path):
    path = tmp_path / "a.zarr"
    whole = lens.trace(kit.ask(), HISTORY, path, trace_id="whole", decode=False)
    captures = ["latent", "block.out[layer=1]"]
    rest = lens.trace(kit.ask(), captures, path, start=f"{path}#whole@3", stop_after=4, decode=False)
    trace, other = stores.open_store(path)[rest.trace_id], stores.open_store(path)["whole"]
    assert trace["latent.raw"].step.values.tolist() == [3, 4]
    assert trace["latent.raw"].expert.values.tolist() == ["transformer_2", "transformer_2"]
    assert np.array_equal(trace["latent.raw"].values, other["latent.raw"].sel(step=[3, 4]).values)
    assert trace["latent.raw"].sigma.values.tolist() == other["latent.raw"].sel(step=[3, 4]).sigma.values.tolist()
    assert trace.manifest["start"] == {"store": "a.zarr", "trace": "whole", "step": 3}
    assert trace.manifest["stop_after"] == 4
    assert trace.manifest["latents"] == other.manifest["latents"][:6]
    assert len(trace.manifest["sigmas"]) == 6
    assert rest.trace_id != lens.default_trace_id(kit.ask())
    assert stores.verify(path).ok
    assert not torch.equal(rest.latents, whole.latents)


def refused(lens, kit, match, **options):
    with pytest.raises(BadEdit, match=match) as caught:
        lens.generate(kit.ask(), **options)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_bad_starts(lens, kit, tmp_path, calls):
    path = tmp_path / "a.zarr"
    lens.trace(kit.ask(), ["latent"], path, trace_id="bare", decode=False)
    lens.trace(kit.ask(), ["latent[step=3]", "velocity.guided"], path, trace_id="gaps", decode=False)
    lens.trace(kit.ask(), ["latent@float16", "velocity.guided"], path, trace_id="rounded", decode=False)
    lens.trace(kit.ask(steps=4), HISTORY, path, trace_id="other", decode=False)
    count(lens, calls)
    refused(lens, kit, "needs velocity.guided of trace 'bare' as it was computed", start=Start(path, "bare", 3))
    refused(lens, kit, "needs latent of every step before it", start=Start(path, "gaps", 3))
    refused(lens, kit, "lacks the step; got no latent of step 4, allowed 3;", start=Start(path, "gaps", 4))
    refused(lens, kit, "was rounded by the store; got latent of float32 kept as", start=Start(path, "rounded", 3))
    refused(lens, kit, "has another noise level; got sigma", start=Start(path, "other", 3))
    refused(lens, kit, "the run has no such steps; got 6 to 5, allowed", start=Start(path, "bare", 6))
    refused(lens, kit, "the run has no such steps; got 0 to 9, allowed", stop_after=9)
    refused(lens, kit, "the run has no such stop_after; got '3', allowed whole numbers", stop_after="3")
    refused(lens, kit, "the start cannot be read; got 'a.zarr', allowed STORE#TRACE@STEP", start="a.zarr")
    refused(lens, kit, "the solver cannot be reset before that step; got 2, allowed 3 to 5;", resets=[2],
            start=Start(path, "whole", 3))  # fmt: skip
    with pytest.raises(stores.UnknownTrace):
        lens.generate(kit.ask(), start=Start(path, "none", 3))
    lens.pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    refused(lens, kit, "is of another scheduler; got UniPCMultistepScheduler", start=Start(path, "bare", 3))
    lens.pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0, stochastic_sampling=True)
    refused(lens, kit, "needs a solver that draws no noise; got FlowMatchEuler", start=Start(path, "bare", 3))
    lens.pipeline.scheduler = FlowMatchHeunDiscreteScheduler(shift=5.0)
    refused(lens, kit, "this run can only be made whole", start=Start(path, "bare", 3))
    assert not calls


def test_a_start_of_another_model_is_refused(lens, kit, tmp_path):
    lens.trace(kit.ask(), HISTORY, tmp_path / "a.zarr", trace_id="whole", decode=False)
    lens.pipeline.transformer.blocks[0].ffn.net[2].bias.data += 1
    refused(lens, kit, "takes values of another model; got trace 'whole' of untrained with other weights",
            start=Start(tmp_path / "a.zarr", "whole", 3))  # fmt: skip


def test_a_history_that_does_not_come_to_the_same_bits_ends_the_run(lens, kit, tmp_path):
    path = tmp_path / "a.zarr"
    lens.trace(kit.ask(), HISTORY, path, trace_id="whole", decode=False)
    import zarr

    velocity = zarr.open(path / "whole" / "velocity.guided.raw", mode="r+")
    velocity[1] = velocity[1] * 1.5
    refused(lens, kit, "cannot be reached again; got other latents after step 1 than were recorded",
            start=Start(path, "whole", 4))  # fmt: skip
    assert len(lens.pipeline.scheduler.timesteps) == 6


def test_a_run_that_leaves_out_steps_itself_is_only_made_whole():
    lens, request = wan_variants.look("v2v"), wan_variants.ask("v2v")
    with pytest.raises(BadEdit, match="this run can only be made whole; got a start or an end of its own"):
        lens.generate(request, stop_after=1)

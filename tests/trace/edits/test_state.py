"""State edits land, the solver forgets where it must, and what cannot last is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import FlowMatchHeunDiscreteScheduler

import dit_lens_stores as stores
from dit_lens.edits import Edit, Mask, Noise, Stored
from dit_lens.engine import between
from dit_lens.errors import BadEdit, MissedEdit
from tests.trace import wan_variants

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
NOISE = Edit("state", "step=3", "replace", Noise(5))


def cosine(a, b):
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def latents(lens, kit, path, **options):
    """The latents of every step, and those that the run ended with."""
    result = lens.trace(kit.ask(steps=8), ["latent"], path, decode=False, **options)
    trace = stores.open_store(path)[result.trace_id]
    return trace["latent.raw"].values, result.latents[0].numpy(), result, trace


@pytest.mark.parametrize("scheduler", ["unipc", "euler", "dpm"])
def test_a_state_edit_lands(kit, tmp_path, scheduler):
    """The step starts from the edited latents, and what it leaves comes from them."""
    lens = kit.look(kit.build(scheduler=scheduler))
    plain, *_ = latents(lens, kit, tmp_path / "a.zarr")
    edited, _, result, trace = latents(lens, kit, tmp_path / "b.zarr", edits=[NOISE])
    assert np.array_equal(edited[:3], plain[:3])
    assert abs(edited[3].std() - 1) < 0.1
    assert cosine(edited[3], plain[3]) < 0.2
    assert cosine(edited[4], edited[3]) > 0.97
    assert cosine(edited[4], plain[4]) < 0.3
    assert result.resets == (3,)
    assert trace.manifest["solver_resets"] == [3]


def test_the_view_of_the_denoiser_is_the_edited_state(lens, kit, tmp_path):
    seen = []
    look = lens.pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["hidden_states"][0, :16].clone()), with_kwargs=True
    )
    edited, *_ = latents(lens, kit, tmp_path / "b.zarr", edits=[Edit("state", "step=1", "replace", Noise(5))])
    look.remove()
    assert all(cosine(values.numpy(), edited[1]) >= 0.999 for values in seen[2:4])
    assert np.array_equal(seen[2].numpy(), edited[1])


def test_without_the_reset_unipc_undoes_the_edit(lens, kit, tmp_path, monkeypatch):
    """The corrector builds the latent anew from the last one that it knew: the edit is gone a step later."""
    _, end, *_ = latents(lens, kit, tmp_path / "a.zarr")
    kept, kept_end, *_ = latents(lens, kit, tmp_path / "b.zarr", edits=[NOISE])
    monkeypatch.setattr(between, "forget", lambda scheduler: None)
    undone, undone_end, *_ = latents(lens, kit, tmp_path / "c.zarr", edits=[NOISE])
    assert np.array_equal(undone[3], kept[3])
    assert cosine(undone[4], undone[3]) < 0.5 < 0.97 < cosine(kept[4], kept[3])
    assert cosine(undone_end, end) > 0.9 > 0.3 > cosine(kept_end, end)


@pytest.mark.parametrize("scheduler", ["unipc", "euler", "dpm"])
def test_the_control_is_one_argument_away(kit, scheduler):
    """Forgetting alone changes what a solver with a history draws, and nothing for one without."""
    lens = kit.look(kit.build(scheduler=scheduler))
    plain = lens.generate(kit.ask(), decode=False)
    edited = lens.generate(kit.ask(), edits=[NOISE], decode=False)
    control = lens.generate(kit.ask(), resets=edited.resets, decode=False)
    assert control.resets == edited.resets == (3,)
    assert torch.equal(control.latents, plain.latents) == (scheduler == "euler")
    assert not torch.equal(control.latents, edited.latents)
    nothing = Edit("state", "step=3", "add", 1e-30)  # less than the last bit: nothing is changed, nothing is forgotten
    assert torch.equal(lens.generate(kit.ask(), edits=[nothing], decode=False).latents, plain.latents)


def test_a_region_of_the_state(lens, kit, tmp_path):
    mask = np.zeros((2, 4, 4), bool)
    mask[1, 2] = True
    plain, *_ = latents(lens, kit, tmp_path / "a.zarr")
    edits = [Edit("state", "step=2,x=0:2", "zero", mask=Mask.of(mask))]
    edited, *_ = latents(lens, kit, tmp_path / "b.zarr", edits=edits)
    expected = plain[2].copy()
    expected[:, 1, 2, 0:2] = 0
    assert np.array_equal(edited[2], expected)


def test_every_step_can_be_edited_also_the_first(lens, kit, tmp_path):
    edited, _, result, _ = latents(
        lens, kit, tmp_path / "b.zarr", edits=[Edit("state", "frame=0", "replace", Noise(1))]
    )
    assert result.resets == tuple(range(8))
    assert all(abs(values[:, 0].std() - 1) < 0.2 for values in edited)
    assert not any(np.array_equal(edited[step][:, 0], edited[step + 1][:, 0]) for step in range(7))


def test_a_donor_at_the_first_step_gives_the_donors_run(lens, kit, tmp_path):
    donor = lens.trace(kit.ask(seed=4), ["latent"], tmp_path / "a.zarr", decode=False)
    swap = Edit("state", "step=0", "replace", Stored(donor.store, donor.trace_id))
    assert torch.equal(lens.generate(kit.ask(), edits=[swap], decode=False).latents, donor.latents)


def test_a_view_edit_leaves_the_state(lens, kit, tmp_path):
    """The denoiser sees noise in one frame; the solver goes on with its own, changed only by what the denoiser said."""
    view = Edit("view", "step=3,branch=cond,frame=1", "replace", Noise(5))
    plain, *_ = latents(lens, kit, tmp_path / "a.zarr")
    edited, _, result, _ = latents(lens, kit, tmp_path / "b.zarr", edits=[view])
    assert np.array_equal(edited[:4], plain[:4])
    assert not np.array_equal(edited[4], plain[4])
    assert cosine(edited[4], plain[4]) > 0.9
    assert result.resets == ()


def test_a_view_edit_reaches_one_branch_and_no_condition(lens, kit):
    seen = []
    for name in ("transformer", "transformer_2"):
        block = getattr(lens.pipeline, name).patch_embedding
        block.register_forward_hook(lambda module, args, out: seen.append(args[0].clone()))
    lens.generate(kit.ask(), decode=False)
    plain, seen[:] = list(seen), []
    lens.generate(kit.ask(), edits=[Edit("view", "step=2,branch=uncond", "zero")], decode=False)
    assert all(torch.equal(a, b) for a, b in zip(seen[:5], plain[:5], strict=True))
    assert not seen[5][:, :16].any()
    assert torch.equal(seen[5][:, 16:], plain[5][:, 16:])


@pytest.mark.parametrize("scheduler", ["unipc", "euler"])
def test_the_pinned_frame_is_refused(scheduler):
    """TI2V-5B with a first frame puts it back at every input, and would undo a state edit without a word."""
    lens, request = wan_variants.look("ti2v-5b-i2v", scheduler), wan_variants.ask("ti2v-5b-i2v")
    with pytest.raises(BadEdit) as caught:
        lens.generate(request, edits=[NOISE])
    assert str(caught.value) == (
        "edit 'state:replace:noise(5)[step=3]' would be undone by the pipeline, which puts the first frame back at "
        "every input of the denoiser; got frame 0, allowed the others; edit view, or leave the frame out as in "
        "[frame=1:]"
    )
    plain = lens.generate(request, decode=False)
    for edit in (Edit("state", "step=2,frame=1:", "replace", Noise(5)), Edit("view", "step=2,frame=0", "zero")):
        assert not torch.equal(lens.generate(request, edits=[edit], decode=False).latents, plain.latents)


def test_a_solver_of_which_no_reset_is_known_is_refused(lens, kit):
    lens.pipeline.scheduler = FlowMatchHeunDiscreteScheduler(shift=5.0)
    with pytest.raises(BadEdit, match="history can be reset; got FlowMatchHeunDiscreteScheduler, "):
        lens.generate(kit.ask(), edits=[NOISE])
    with pytest.raises(BadEdit, match="a reset needs a solver whose history can be reset"):
        lens.generate(kit.ask(), resets=[3])


def test_a_pipeline_that_undoes_a_state_edit_ends_the_run(lens, kit):
    """Whoever puts other latents in the place of the edited ones is found out at the next step of the solver."""
    step = between.Between.leaves

    def leaves(self, values):
        edited = step(self, values)
        return edited if edited is values else edited.clone() + 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(between.Between, "leaves", leaves)
        with pytest.raises(MissedEdit) as caught:
            lens.generate(kit.ask(), edits=[NOISE])
    assert str(caught.value) == (
        "the pipeline did not keep the latents of step 3; got others at step 3, allowed those that a state edit or a "
        "start put there; edit view, or another step"
    )

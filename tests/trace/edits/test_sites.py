"""Edits of sites: identities change no bit, swaps give the donor's values, and nothing that is left out changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dit_lens_stores as stores
from dit_lens.edits import Edit, Function, Mask, Noise, Stored
from dit_lens.errors import BadEdit
from tests.trace.test_identity import _state

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # DPM++ in diffusers
SITES = ["block.out", "attn1.out", "attn2.out", "ffn.out", "velocity", "velocity.guided", "latent"]
PLACES = ["state", "view", *SITES[:-1]]


@pytest.fixture(scope="module")
def donors(kit, tmp_path_factory):
    """Two seeds of one request, every editable site raw."""
    path = tmp_path_factory.mktemp("donors") / "a.zarr"
    lens = kit.look(kit.build())
    for seed in (3, 4):
        lens.trace(kit.ask(seed=seed), SITES, path, trace_id=f"seed{seed}", decode=False)
    return path


def run(lens, kit, *edits, **options):
    return lens.generate(kit.ask(), edits=edits, decode=False, **options)


def traced(lens, kit, path, *edits, captures=SITES, **options):
    result = lens.trace(kit.ask(), captures, path, edits=edits, decode=False, **options)
    return stores.open_store(path)[result.trace_id]


@pytest.mark.parametrize("scheduler", ["unipc", "euler", "dpm"])
def test_identities_change_no_bit(kit, tmp_path, scheduler):
    lens = kit.look(kit.build(scheduler=scheduler))
    plain = lens.generate(kit.ask(), decode=False)
    path = tmp_path / "a.zarr"
    lens.trace(kit.ask(), SITES, path, trace_id="own", decode=False)
    before = _state(lens.pipeline)
    own = Stored(path, "own")
    region = Mask.of(np.random.default_rng(0).random((2, 4, 4)) > 0.5)
    identities = {
        "none": [],
        "scale": [Edit(place, op="scale", source=1.0) for place in PLACES],
        "self": [Edit(place, op="replace", source=own) for place in PLACES],
        "subset": [Edit(place, "frame=1,y=1:3", "replace", own, mask=region) for place in PLACES],
        "mean": [Edit(place, op="mean", source=[own]) for place in PLACES],
        "add nothing": [Edit(place, op="add", source=0.0) for place in PLACES],
        "function": [Edit(place, op="replace", source=lambda address, tensor: tensor) for place in PLACES],
    }
    for name, edits in identities.items():
        result = run(lens, kit, *edits)
        assert torch.equal(result.latents, plain.latents), name
        assert result.resets == (), name
    assert _state(lens.pipeline) == before
    assert torch.equal(lens.generate(kit.ask(), decode=False).latents, plain.latents)


def test_the_pipeline_is_as_it_was_after_an_edit_that_died(lens, kit):
    plain = lens.generate(kit.ask(), decode=False)
    before = _state(lens.pipeline)

    def die(address, tensor):
        raise RuntimeError("inside an edit")

    for place in PLACES:
        step = {"where": "step=0"} if place == "state" else {"where": "step=4"}
        with pytest.raises(RuntimeError, match="inside an edit"):
            run(lens, kit, Edit(place, op="replace", source=die, **step))
        assert _state(lens.pipeline) == before
    assert torch.equal(lens.generate(kit.ask(), decode=False).latents, plain.latents)


@pytest.mark.parametrize("branch", ["cond", "uncond"])
def test_the_last_block_of_a_donor_gives_its_velocity(lens, kit, donors, tmp_path, branch):
    """At step 0 the denoiser sees another latent, so only the branch that is swapped has the donor's velocity."""
    swap = Edit("block.out", f"step=0,layer=-1,branch={branch}", "replace", Stored(donors, "seed4"))
    donor, plain = (stores.open_store(donors)[name] for name in ("seed4", "seed3"))
    trace = traced(lens, kit, tmp_path / "b.zarr", swap)
    for name in ("cond", "uncond"):
        source = donor if name == branch else plain
        found = trace["velocity.raw"].sel(step=0, branch=name).values
        assert np.array_equal(found, source["velocity.raw"].sel(step=0, branch=name).values), name
    for layer in (0, 1):
        there = trace["block.out.raw"].sel(step=0, layer=layer).values
        assert np.array_equal(there, plain["block.out.raw"].sel(step=0, layer=layer).values)
    assert np.array_equal(trace["latent.raw"].sel(step=0).values, plain["latent.raw"].sel(step=0).values)


def test_every_last_block_of_a_donor_gives_its_video(lens, kit, donors):
    donor = lens.generate(kit.ask(seed=4))
    edits = [
        Edit("state", "step=0", "replace", Stored(donors, "seed4")),
        Edit("block.out", "layer=-1", "replace", Stored(donors, "seed4")),
    ]
    swapped = lens.generate(kit.ask(prompt="the", negative_prompt="path"), edits=edits)
    assert torch.equal(swapped.latents, donor.latents)
    assert np.array_equal(swapped.video, donor.video)
    assert not torch.equal(lens.generate(kit.ask(prompt="the", negative_prompt="path")).latents, donor.latents)


def test_what_a_selection_leaves_out_is_as_it_was(lens, kit, donors, tmp_path):
    """In the edited layer of the edited call only the region is the donor's."""
    where = "step=2,layer=1,branch=cond,frame=1,y=1:3,x=2"
    trace = traced(lens, kit, tmp_path / "b.zarr", Edit("block.out", where, "replace", Stored(donors, "seed4")))
    plain, donor = (stores.open_store(donors)[name]["block.out.raw"] for name in ("seed3", "seed4"))
    at = {"step": 2, "layer": 1, "branch": "cond"}
    region = np.zeros((2, 4, 4), bool)
    region[1, 1:3, 2] = True
    expected = np.where(region.reshape(2, 16, 1), donor.sel(at).values, plain.sel(at).values)
    assert np.array_equal(trace["block.out.raw"].sel(at).values, expected)
    assert not np.array_equal(expected, plain.sel(at).values)
    for other in ({**at, "branch": "uncond"}, {**at, "layer": 0}, {**at, "step": 1}):
        assert np.array_equal(trace["block.out.raw"].sel(other).values, plain.sel(other).values)
    later = {**at, "layer": 2}
    assert not np.array_equal(trace["block.out.raw"].sel(later).values, plain.sel(later).values)


def test_an_excluded_expert_is_not_edited(lens, kit, donors, tmp_path):
    trace = traced(lens, kit, tmp_path / "b.zarr", Edit("ffn.out", "expert=transformer_2", "zero"))
    plain = stores.open_store(donors)["seed3"]
    first = [step for step, expert in enumerate(trace.manifest["experts"]) if expert == "transformer"]
    assert first == [0, 1, 2]
    zeroed = trace["ffn.out.raw"]
    assert np.array_equal(zeroed.sel(step=first).values, plain["ffn.out.raw"].sel(step=first).values)
    assert not zeroed.sel(step=[3, 4, 5]).values.any()


def test_operations_are_what_they_say(lens, kit, donors, tmp_path):
    plain = stores.open_store(donors)["seed3"]["attn1.out.raw"].sel(step=0, layer=0, branch="cond").values
    donor = stores.open_store(donors)["seed4"]["attn1.out.raw"].sel(step=0, layer=0, branch="cond").values
    direction = np.linspace(-1, 1, 24, dtype=np.float32)
    expected = {
        "replace": (2.5, np.full_like(plain, 2.5)),
        "add": (direction, plain + direction),
        "scale": (0.5, plain * np.float32(0.5)),
        "zero": (None, np.zeros_like(plain)),
        "mean": ([Stored(donors, "seed3"), Stored(donors, "seed4")], (plain + donor) / 2),
    }
    for op, (source, values) in expected.items():
        edit = Edit("attn1.out", "step=0,layer=0,branch=cond", op, source)
        trace = traced(lens, kit, tmp_path / f"{op}.zarr", edit, captures=["attn1.out"])
        assert np.array_equal(trace["attn1.out.raw"].sel(step=0, layer=0, branch="cond").values, values), op


def test_noise_is_that_of_its_seed_and_in_units_of_what_is_there(lens, kit, donors, tmp_path):
    at = {"step": 0, "layer": 0, "branch": "cond"}
    plain = stores.open_store(donors)["seed3"]["block.out.raw"].sel(at).values

    def made(name, edit):
        trace = traced(lens, kit, tmp_path / f"{name}.zarr", edit, captures=["block.out"])
        return trace["block.out.raw"].sel(at).values

    where = "step=0,layer=0,branch=cond"
    drawn = made("a", Edit("block.out", where, "replace", Noise(7)))
    assert abs(drawn.mean()) < 0.15
    assert abs(drawn.std() - 1) < 0.1
    assert np.array_equal(drawn, made("b", Edit("block.out", where, "replace", Noise(7))))
    assert not np.array_equal(drawn, made("c", Edit("block.out", where, "replace", Noise(8))))
    dosed = made("d", Edit("block.out", where, "noise", Noise(7, 0.5)))
    rms = np.sqrt((plain.astype(np.float64) ** 2).mean())
    assert np.allclose(dosed - plain, 0.5 * rms * drawn, atol=1e-5)


def test_edits_act_in_the_order_of_their_list(lens, kit, donors, tmp_path):
    plain = stores.open_store(donors)["seed3"]["block.out.raw"].sel(step=1, layer=1, branch="cond").values
    add, double = (Edit("block.out", "step=1,layer=1", *deed) for deed in (("add", 1.0), ("scale", 2.0)))
    for name, edits, expected in (("a", (add, double), (plain + 1) * 2), ("b", (double, add), plain * 2 + 1)):
        trace = traced(lens, kit, tmp_path / f"{name}.zarr", *edits, captures=["block.out"])
        assert np.array_equal(trace["block.out.raw"].sel(step=1, layer=1, branch="cond").values, expected)


def test_a_stored_trace_can_be_mapped(lens, kit, donors, tmp_path):
    donor = stores.open_store(donors)["seed4"]["block.out.raw"]
    where = "step=1,layer=1,branch=cond"
    cases = {
        "step": (Stored(donors, "seed4", step=2), donor.sel(step=2, layer=1, branch="cond")),
        "further": (Stored(donors, "seed4", step="+1", layer="-1"), donor.sel(step=2, layer=0, branch="cond")),
        "expert": (Stored(donors, "seed4", step=5, expert="transformer_2"), donor.sel(step=5, layer=1, branch="cond")),
        "branch": (Stored(donors, "seed4", branch="uncond"), donor.sel(step=1, layer=1, branch="uncond")),
        "site": (Stored(donors, "seed4", site="ffn.out"),
                 stores.open_store(donors)["seed4"]["ffn.out.raw"].sel(step=1, layer=1, branch="cond")),
    }  # fmt: skip
    for name, (source, expected) in cases.items():
        trace = traced(lens, kit, tmp_path / f"{name}.zarr", Edit("block.out", where, "replace", source),
                       captures=["block.out"])  # fmt: skip
        found = trace["block.out.raw"].sel(step=1, layer=1, branch="cond").values
        assert np.array_equal(found, expected.values), name


def test_tokens_can_be_mapped(lens, kit, donors, tmp_path):
    """A token gets what the donor has one frame back and two columns further on."""
    source = Stored(donors, "seed4", shift=(-1, 0, 2))
    trace = traced(lens, kit, tmp_path / "b.zarr",
                   Edit("block.out", "step=1,layer=1,frame=1,y=0:2,x=0:2", "replace", source),
                   captures=["block.out"])  # fmt: skip
    at = {"step": 1, "layer": 1, "branch": "cond"}
    grid = [values["block.out.raw"].sel(at).values.reshape(2, 4, 4, -1)
            for values in (trace, stores.open_store(donors)["seed4"], stores.open_store(donors)["seed3"])]  # fmt: skip
    found, donor, plain = grid
    assert np.array_equal(found[1, 0:2, 0:2], donor[0, 0:2, 2:4])
    assert np.array_equal(found[0], plain[0])
    with pytest.raises(BadEdit, match="got no place at frame number 0, row 0, column 4"):
        run(lens, kit, Edit("block.out", "step=1,layer=1,x=2", "replace", Stored(donors, "seed4", shift=(0, 0, 2))))


def test_a_trace_that_holds_a_part_can_give_that_part(lens, kit, tmp_path):
    path = tmp_path / "a.zarr"
    lens.trace(kit.ask(seed=4), ["block.out[step=0,layer=1,frame=1,y=1:3]", "latent"], path, trace_id="d", decode=False)
    part = Edit("block.out", "step=0,layer=1,frame=1,y=1:3,x=0:2", "replace", Stored(path, "d"))
    trace = traced(lens, kit, tmp_path / "b.zarr", part, captures=["block.out"])
    found = trace["block.out.raw"].sel(step=0, layer=1, branch="cond", frame=1)
    donor = stores.open_store(path)["d"]["block.out.raw"].sel(step=0, layer=1, branch="cond", frame=1)
    tokens = [4, 5, 8, 9]
    assert np.array_equal(found.sel(token=tokens).values, donor.sel(token=tokens).values)
    with pytest.raises(BadEdit, match="does not hold what it would need; got no place at frame number 0, row 1"):
        run(lens, kit, Edit("block.out", "step=0,layer=1,y=1:3", "replace", Stored(path, "d")))


def test_a_function_is_told_where_it_is(lens, kit):
    seen = []

    def note(address, tensor):
        seen.append((str(address), tuple(tensor.shape)))
        return tensor * 1.5

    result = run(lens, kit, Edit("attn2.out", "step=1+4,layer=2", "replace", Function(note)))
    assert seen == [
        ("transformer/cond/step 1/layer 2/attn2.out", (2, 16, 24)),
        ("transformer/uncond/step 1/layer 2/attn2.out", (2, 16, 24)),
        ("transformer_2/cond/step 4/layer 2/attn2.out", (2, 16, 24)),
        ("transformer_2/uncond/step 4/layer 2/attn2.out", (2, 16, 24)),
    ]
    assert not torch.equal(result.latents, lens.generate(kit.ask(), decode=False).latents)


def test_rows_of_a_batch_are_edited_alike(lens, kit, donors):
    requests = [kit.ask(seed=3), kit.ask(seed=5)]
    edit = Edit("velocity", "step=0:3", "replace", Stored(donors, "seed4"))
    rows = lens.generate_batch(requests, edits=[edit], decode=False)
    plain = lens.generate_batch(requests, decode=False)
    for row, other in zip(rows, plain, strict=True):
        assert not torch.equal(row.latents, other.latents)
    own = lens.generate_batch(requests, edits=[Edit("velocity", op="scale", source=1.0)], decode=False)
    assert all(torch.equal(a.latents, b.latents) for a, b in zip(own, plain, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bits"])
def test_a_model_in_bfloat16_gets_its_own_bits(kit, tmp_path, dtype):
    """What the store keeps of bfloat16 is exact in all three, so the model's own values change nothing."""
    pipeline = kit.build()
    pipeline.transformer.to(torch.bfloat16)
    pipeline.transformer_2.to(torch.bfloat16)
    lens, path = kit.look(pipeline), tmp_path / "a.zarr"
    captures = [f"block.out@{dtype}", f"velocity@{dtype}", "latent"]
    plain = lens.trace(kit.ask(), captures, path, trace_id="own", decode=False)
    edits = [Edit(site, op="mean", source=[Stored(path, "own")]) for site in ("block.out", "velocity", "state")]
    assert torch.equal(run(lens, kit, *edits).latents, plain.latents)
    assert not torch.equal(run(lens, kit, Edit("block.out", op="scale", source=1.1)).latents, plain.latents)

"""What cannot be edited as it is written is refused in one line, before the model runs."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
import zarr

import dit_lens_stores as stores
from dit_lens.edits import Constant, Edit, File, Function, Mask, Noise, Stored, Values
from dit_lens.engine.flow import LINGER_SECONDS
from dit_lens.errors import BadEdit, BadSelection, DitLensError


@pytest.fixture(scope="module")
def donors(kit, tmp_path_factory):
    path = tmp_path_factory.mktemp("donors") / "a.zarr"
    lens = kit.look(kit.build())
    lens.trace(kit.ask(), ["block.out", "latent"], path, trace_id="whole", decode=False)
    lens.trace(kit.ask(), ["block.out[step=0,layer=1]", "ffn.out:energy"], path, trace_id="part", decode=False)
    lens.trace(kit.ask(), ["block.out@float16"], path, trace_id="rounded", decode=False)
    lens.trace(kit.ask(steps=4), ["block.out"], path, trace_id="short", decode=False)
    lens.trace(kit.ask(frames=9), ["block.out", "latent"], path, trace_id="long", decode=False)
    lens.trace(kit.ask(), ["block.out"], path, trace_id="holes", decode=False)
    values = zarr.open(path / "holes" / "block.out.raw", mode="r+")
    values[0, 2, 1, 0, 3, 5] = np.nan
    with pytest.raises(RuntimeError):
        lens.trace(kit.ask(), ["block.out"], path, trace_id="dead", decode=False, on_step=_die)
    return path


def _die(done, steps):
    if done == 2:
        time.sleep(LINGER_SECONDS + 0.3)  # what is queued is written
        raise RuntimeError("dies")


@pytest.fixture
def refused(lens, kit):
    calls = []
    for name in ("transformer", "transformer_2"):
        getattr(lens.pipeline, name).register_forward_pre_hook(lambda *args: calls.append(1))

    def check(edit, match, kind=BadEdit, **changes):
        with pytest.raises(kind, match=match) as caught:
            lens.generate(kit.ask(**changes), edits=[edit])
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)
        assert not calls, "the model did not run"

    return check


def swap(donors, trace, where="step=0,layer=1", place="block.out", **mapped):
    return Edit(place, where, "replace", Stored(donors, trace, **mapped))


def test_sources_that_lack_what_is_asked(refused, donors):
    cases = {
        "lacks the address for transformer/cond/step 0/layer 0/block.out; got no layer 0 of block.out, allowed 1; ":
            swap(donors, "part", "step=0,layer=0"),
        "lacks the address for .*; got no step 1 of block.out, allowed 0; ": swap(donors, "part", "step=1,layer=1"),
        "lacks the address for .*; got no step 7 of block.out, allowed 0, 1, ": swap(donors, "whole", step=7),
        "needs ffn.out of trace 'part' as it was computed; got block.out.raw, ffn.out.energy, allowed ffn.out.raw":
            swap(donors, "part", place="ffn.out"),
        r"has another shape; got \(3, 16, 24\) of a grid of 3 x 4 x 4 tokens, allowed \(2, 16, 24\) of 2 x 4 x 4; ":
            swap(donors, "long"),
        r"has another shape; got \(16, 3, 4, 4\) of a grid": swap(donors, "long", "step=0", place="state"),
        "has another noise level at transformer/cond/step 1/layer 1/block.out; got sigma 0.9":
            swap(donors, "short", "step=1,layer=1"),
        "is of another expert for transformer/cond/step 0/layer 1/block.out; got transformer_2 at its step 4, allowed "
        "transformer; take another step, or name that expert": swap(donors, "whole", step=4),
        "was rounded by the store; got float32 kept as float16, allowed values as they were computed; ":
            swap(donors, "rounded"),
        "has values that are no numbers for transformer/cond/step 2/layer 1/block.out; got NaN or infinity":
            swap(donors, "holes", "step=2"),
        "is not done at transformer_2/cond/step 3/layer 1/block.out; got .*step 3, layer 1 not done, allowed done ":
            swap(donors, "dead", "step=3,layer=1"),
        "cannot give that site; got attn1.q, allowed block.in, block.out, ":
            swap(donors, "whole", site="attn1.q"),
        "has velocity of every branch; got none named, allowed cond, uncond; name the branch":
            swap(donors, "whole", "step=0", place="state", site="velocity"),
    }  # fmt: skip
    for match, edit in cases.items():
        refused(edit, match)


def test_stores_and_traces_that_are_not_there(refused, donors, tmp_path):
    refused(swap(donors, "wole"), "did you mean 'whole'", stores.UnknownTrace)
    refused(swap(tmp_path / "none.zarr", "whole"), "found no store", stores.NotAStore)


def test_what_is_named_is_allowed(lens, kit, donors):
    """Rounded values, another noise level and another expert are other experiments: whoever names them has them."""
    for edit in (
        swap(donors, "rounded", rounded=True),
        swap(donors, "short", "step=1,layer=1", step=1),
        swap(donors, "whole", step=4, expert="transformer_2"),
        swap(donors, "dead", "step=1,layer=1"),
        swap(donors, "holes", "step=2,layer=1,branch=cond,frame=0,token=0:3"),
    ):
        lens.generate(kit.ask(), edits=[edit], stop_after=3, decode=False)


def test_another_model_is_refused_unless_it_is_named(lens, kit, donors):
    lens.pipeline.transformer_2.blocks[0].ffn.net[2].bias.data += 1
    with pytest.raises(BadEdit, match="another model; got trace 'whole' of untrained with other weights"):
        lens.generate(kit.ask(), edits=[swap(donors, "whole")])
    lens.generate(kit.ask(), edits=[swap(donors, "whole", other_model=True)], decode=False)


@pytest.mark.parametrize(
    ("edit", "match", "kind"),
    [
        (Edit("block.out", "step=6", "zero"), r"does not fit the run in edit 'block.out:zero\[step=6\]'; got 6, "
         r"allowed 0 to 5 ", BadSelection),
        (Edit("state", "step=6", "zero"), "got 6, allowed 0 to 5 ", BadSelection),
        (Edit("block.out", "layer=3", "zero"), "got 3, allowed 0 to 2 ", BadSelection),
        (Edit("velocity", "branch=other", "zero"), "got 'other', allowed cond, uncond; ", BadSelection),
        (Edit("block.out", "y=4", "zero"), "got 4, allowed 0 to 3 ", BadSelection),
        (Edit("block.out", "expert=transformer,step=5", "zero"), "to no address; got steps 5, .*allowed 0 to 2 for "
         "transformer;", BadEdit),
        (Edit("block.out", "token=0,y=1", "zero"), "to no place; got an empty region, allowed one of 32", BadEdit),
        (Edit("block.out", op="zero", mask=Mask.of(np.zeros((2, 4, 4), bool))), "got an empty region", BadEdit),
        (Edit("block.out", op="zero", mask=Mask.of(np.ones((1, 4, 4), bool))),
         r"does not fit the run; got 1 x 4 x 4, allowed 2 x 4 x 4 tokens \(frames", BadEdit),
        (Edit("view", op="zero", mask=Mask.of(np.ones((1, 4, 4), bool))), "2 x 4 x 4 places of the latent", BadEdit),
        (Edit("block.out", op="add", source=np.zeros(5)), r"have another shape; got \(5,\), allowed what broadcasts to "
         r"\(2, 16, 24\); reshape", BadEdit),
        (Edit("block.out", op="add", source=torch.full((24,), torch.nan)), "got NaN or infinity", BadEdit),
        (Edit("block.out", op="replace", source=float("inf")), "no numbers everywhere; got NaN or infinity", BadEdit),
        (Edit("block.out", op="replace", source=File("none.npy")), "cannot be read; got .*none.npy", BadEdit),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit(refused, edit, match, kind):
    refused(edit, match, kind)


def test_a_branch_that_does_not_run(refused):
    refused(Edit("velocity", "branch=uncond", "zero"), "allowed cond; ", BadSelection, guidance=1)


def test_files_of_numbers(lens, kit, tmp_path):
    direction = np.linspace(0, 1, 24, dtype=np.float32)
    np.save(tmp_path / "d.npy", direction)
    by_file, by_hand = (
        lens.generate(kit.ask(), edits=[Edit("block.out", "layer=1", "add", source)], decode=False).latents
        for source in (File(tmp_path / "d.npy"), Values(direction))
    )
    assert torch.equal(by_file, by_hand)
    (tmp_path / "bad.npy").write_bytes(b"not an array")
    np.save(tmp_path / "words.npy", np.array(["a"]))
    for name in ("bad", "words"):
        with pytest.raises(BadEdit, match=r"cannot be read; got .*, allowed an array of numbers that numpy.save wrote"):
            lens.generate(kit.ask(), edits=[Edit("block.out", op="add", source=File(tmp_path / f"{name}.npy"))])


def test_a_function_that_gives_something_else(lens, kit):
    for wrong, got in ((lambda address, values: values[:1], r"\(1, 16, 24\)"), (lambda address, values: 3, "int")):
        with pytest.raises(BadEdit, match=rf"gave no values at transformer/cond/step 0/layer 1/.*; got {got}, allowed "
                                          r"a tensor of shape \(2, 16, 24\); return one"):  # fmt: skip
            lens.generate(kit.ask(), edits=[Edit("block.out", "step=0,layer=1", "replace", wrong)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Edit("block.uot", op="zero"), "edit names an unknown site; got 'block.uot', allowed state, view, "
         "block.out, attn1.out, attn2.out, ffn.out, velocity, velocity.guided; did you mean 'block.out'?"),
        (lambda: Edit("block.in", op="zero"), "edit names an unknown site; got 'block.in', allowed state, "),
        (lambda: Edit("block.out", op="skale"), "edit names an unknown op; got 'skale', allowed replace, add, scale, "
         "zero, noise, mean; did you mean 'scale'?"),
        (lambda: Edit("state", "layer=1", "zero"), "edit of state selects an axis that it does not have; got layer, "
         "allowed step, expert, frame, y, x; leave layer out"),
        (lambda: Edit("block.out", 3, "zero"), "edit of block.out has no such selection; got 3, allowed a Selection or "
         "its text; write it as in 'step=0,layer=20:30'"),
        (lambda: Edit("block.out", op="zero", mask=[1]), "edit of block.out has no such mask; got list, allowed a Mask "
         "or None; write Mask.of(array)"),
        (lambda: Edit("block.out", op="zero", source=1.0), "edit of block.out has no such source for zero; got "
         "Constant, allowed none; leave it out"),
        (lambda: Edit("block.out", op="replace"), "edit of block.out has no such source for replace; got 0 sources, "
         "allowed one Constant or Noise or Stored or File or Values or Function; give one"),
        (lambda: Edit("block.out", op="scale", source=Noise(1)), "edit of block.out has no such source for scale; got "
         "Noise, allowed one Constant; give one"),
        (lambda: Edit("block.out", op="mean", source=[1.0]), "edit of block.out has no such source for mean; got "
         "Constant, allowed one or more of Stored or File or Values; give some"),
        (lambda: Edit("block.out", op="replace", source="noise"), "edit has no such source; got 'noise', allowed a "
         "number, a tensor, a function of address and tensor, or Constant, Noise, Stored, File, Values, Function; "
         "write Stored(store, trace), say"),
        (lambda: Mask.of(np.zeros(3)), "the mask of an edit is none; got float64 of shape (3,), allowed true and false "
         "over frames, rows and columns; write mask > 0"),
        (lambda: Mask((1, 2, 2), "ffff"), "the mask of an edit does not fit its shape; got 4 digits, allowed 2 for 1 x "
         "2 x 2 places; write Mask.of(array)"),
        (lambda: Stored("a", "b", step="two"), "the source of an edit has no such step; got 'two', allowed a number, "
         "or text as in '+1'; write step=3"),
        (lambda: Edit.parse("block.out:replace:trace(a.zarr)"), "trace of an edit cannot be read; got 'a.zarr', "
         "allowed STORE#ID, then site=, step=, layer=, branch=, expert=, shift=F/Y/X, rounded, other_model; write it "
         "as in trace(a.zarr#t0,step=3)"),
        (lambda: Edit.parse("block.out:replace:noise(x)"), "noise of an edit cannot be read; got 'x', allowed SEED or "
         "SEED,SCALE; write it as in noise(7,0.5)"),
        (lambda: Edit.parse("block.out:replace:much"), "source of an edit cannot be read; got 'much', allowed a "
         "number, noise(SEED), trace(STORE#ID) or file(PATH); write it as in trace(a.zarr#t0)"),
    ],
)  # fmt: skip
def test_words_that_cannot_be_read(make, message):
    with pytest.raises(DitLensError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("edits", [[3], 3.5, None])
def test_what_is_no_edit(lens, kit, edits):
    with pytest.raises(BadEdit, match=r"edit cannot be read; got .*, allowed an Edit or its text; write it as in "):
        lens.generate(kit.ask(), edits=edits)


def test_every_kind_of_source_has_a_text():
    texts = {
        "0.5": Constant(0.5),
        "noise(3,0.5)": Noise(3, 0.5),
        "file(a.npy)": File("a.npy"),
        "trace(s.zarr#t,step=+1,branch=cond,shift=0/-1/2,rounded)":
            Stored("s.zarr", "t", step="+1", branch="cond", shift=(0, -1, 2), rounded=True),
    }  # fmt: skip
    for text, source in texts.items():
        assert str(source) == text
        edit = Edit.parse(f"block.out:add:{text}[layer=1]")
        assert edit == Edit("block.out", "layer=1", "add", source)
        assert Edit.parse(str(edit)) == edit
        assert hash(edit) == hash(Edit.parse(str(edit)))
    assert str(Function(len)) == "function(len)"

"""Captures as text, and against the layout of a run."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dit_lens.captures import DTYPES, REDUCTIONS, SITES, Capture, Selection, read_captures
from dit_lens.engine.errors import BadSelection, UnknownCapture
from dit_lens.engine.layout import Layout

LAYOUT = Layout(
    branches=("cond", "uncond"),
    experts=("transformer",) * 2 + ("transformer_2",) * 4,
    timesteps=None,
    sigmas=None,
    layers=10,
    tokens=(5, 8, 8),
    channels=128,
    latent=(16, 5, 8, 8),
    video=(17, 64, 64),
    dtype="float32",
)
INSIDE = tuple(site.name for site in SITES.values() if "layer" in site.event_dims and not site.name.startswith("block"))
FULL = dataclasses.replace(
    LAYOUT, heads=4, head_channels=32, text_tokens=7, site_layers=dict.fromkeys(INSIDE, tuple(range(9)))
)
"""A family that gives every site, those inside a block in nine of its ten layers."""
WIDE = dataclasses.replace(
    FULL, tokens=(21, 30, 52), channels=5120, heads=40, head_channels=128, text_tokens=512, layers=40
)
"""Wan2.2-A14B at 480p and 81 frames."""
ARGUMENTS = {"": "", "AXES": "", "K": "3", "B": "4"}


def simplest(site: str, reduction: str) -> str:
    argument = ARGUMENTS[REDUCTIONS[reduction].argument]
    return f"{site}:{reduction}" + (f":{argument}" if argument else "")


@st.composite
def captures(draw: st.DrawFn) -> Capture:
    site = SITES[draw(st.sampled_from(sorted(SITES)))]
    reduction = REDUCTIONS[draw(st.sampled_from(sorted(REDUCTIONS)))]
    axes = st.lists(st.sampled_from(site.value_dims), unique=True).map("+".join)
    number = st.integers(1, 9).map(str)
    batches = st.integers(4, 20).flatmap(lambda size: st.sampled_from([f"{size}", f"{size}x2"]))
    argument = draw({"": st.just(""), "AXES": axes, "K": number, "B": batches}[reduction.argument])
    dtype = "float32" if reduction.name == "top" else draw(st.sampled_from(sorted(DTYPES)))
    allowed = Capture(site.name).axes
    term = st.integers(-2, 6) | st.sampled_from(["0:2", "1:", "::2", "-1:"])
    wishes = {axis: term for axis in allowed if axis not in ("branch", "expert")}
    names = {"branch": st.just("cond"), "expert": st.sampled_from(["transformer", "transformer_2"])}
    wishes |= {axis: names[axis] for axis in allowed if axis in names}
    select = {
        axis: tuple(draw(st.lists(wishes[axis], min_size=1, max_size=2)))
        for axis in sorted(draw(st.sets(st.sampled_from(allowed), max_size=4)))
    }
    return Capture(site.name, reduction.name, Selection(**select), argument, dtype)


@given(captures())
def test_text_goes_there_and_back(capture):
    assert Capture.parse(str(capture)) == capture


@given(captures())
def test_what_resolves_lies_on_the_axes(capture):
    layout = dataclasses.replace(FULL, frame_stride=2)
    try:
        resolved = capture.resolve(layout)
    except BadSelection:
        return
    site = SITES[capture.site]
    assert tuple(resolved.labels) == capture.dims
    assert all(resolved.labels.values())
    assert set(resolved.chosen) == {*site.value_dims, *site.averaged}
    for dim, labels in resolved.chosen.items():
        assert set(labels) <= set(layout.labels(dim, site.name))
        assert resolved.labels.get(dim, labels) == labels
    for dim in site.event_dims:
        assert set(resolved.labels[dim]) <= set(layout.labels(dim, site.name))


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_every_reduction_serves_every_site(site, reduction):
    short = Capture.parse(simplest(site, reduction) if reduction != "top" else f"{site}:top:1")
    assert Capture.parse(str(short)) == short
    resolved = short.resolve(FULL)
    assert tuple(resolved.labels) == short.dims
    assert "layer" not in resolved.labels or len(resolved.labels["layer"]) == len(FULL.layers_of(site))


@pytest.mark.parametrize(
    ("text", "value_dims"),
    [
        ("block.in", "frame token channel"),
        ("block.out:energy", "frame token"),
        ("block.out:mean", "channel"),
        ("block.out:mean:channel", "frame token"),
        ("block.out:std:frame", "token channel"),
        ("block.out:project:16", "frame token component"),
        ("block.out:gram:4", "gram_batch gram_row gram_column"),
        ("block.out:top:4", "rank quantity"),
        ("attn1.q", "frame token head head_channel"),
        ("attn1.v:energy", "frame token head"),
        ("attn1.k:gram:4", "head gram_batch gram_row gram_column"),
        ("attn1.q:top:4", "head rank quantity"),
        ("attn2.k", "text_token head head_channel"),
        ("attn2.v:mean", "head head_channel"),
        ("attn1.frames", "frame head key_frame"),
        ("attn1.frames:mean:head", "frame key_frame"),
        ("attn1.rows", "frame token head key_frame key_token"),
        ("attn2.words", "frame token head text_token"),
        ("attn2.words:mean", "head text_token"),
        ("latent", "latent_channel frame h w"),
        ("x0:energy", "frame h w"),
        ("velocity.guided:mean", "latent_channel"),
        ("latent:project:2", "component frame h w"),
    ],
)
def test_dims_follow_from_site_and_reduction(text, value_dims):
    capture = Capture.parse(text)
    assert capture.dims == (*SITES[capture.site].event_dims, *value_dims.split())


@pytest.mark.parametrize(
    ("text", "array", "spelt"),
    [
        ("block.out:mean", "block.out.mean.frame.token", "block.out:mean:frame+token"),
        ("block.out:mean:token+frame", "block.out.mean.frame.token", "block.out:mean:frame+token"),
        ("block.out:gram:256x4", "block.out.gram.256x4", "block.out:gram:256x4"),
        ("block.out:raw@float32", "block.out.raw", "block.out:raw"),
        (" block.out : energy @ bits [ step=0 ]", "block.out.energy", "block.out:energy@bits[step=0]"),
        (
            "block.out:mean:frame+token@float16[step=0:3,y=2:5,x=0:3,layer=20:30,branch=cond]",
            "block.out.mean.frame.token",
            "block.out:mean:frame+token@float16[step=0:3,layer=20:30,branch=cond,y=2:5,x=0:3]",
        ),
    ],
)
def test_one_array_has_one_name_and_one_spelling(text, array, spelt):
    capture = Capture.parse(text)
    assert (capture.array, str(capture)) == (array, spelt)


def test_labels_are_of_the_array_and_chosen_of_the_site():
    resolved = Capture.parse("block.out:gram:4x2[frame=0:2,y=1:3,x=::4]").resolve(FULL)
    assert resolved.labels["gram_batch"] == (0, 1)
    assert resolved.labels["gram_row"] == resolved.labels["gram_column"] == (0, 1, 2, 3)
    assert resolved.chosen["token"] == (8, 12, 16, 20)
    assert resolved.chosen["frame"] == (0, 1)
    assert "token" not in resolved.labels
    frames = Capture.parse("attn1.frames[token=3,head=-1]").resolve(FULL)
    assert frames.chosen["token"] == (3,)
    assert frames.labels["head"] == (3,)
    assert frames.labels["key_frame"] == (0, 1, 2, 3, 4)
    top = Capture.parse("block.out:top:2").resolve(FULL)
    assert (top.labels["rank"], top.labels["quantity"]) == ((0, 1), ("channel", "rms", "share"))


def test_all_minibatches_that_fit():
    assert len(Capture.parse("block.out:gram:64").resolve(FULL).labels["gram_batch"]) == 5 * 8 * 8 // 64
    assert len(Capture.parse("attn2.k:gram:4").resolve(FULL).labels["gram_batch"]) == 1


def test_frames_that_lie_apart_keep_their_labels():
    strided = dataclasses.replace(FULL, tokens=(4, 8, 8), frame_stride=2, latent=(16, 8, 16, 16))
    assert Capture.parse("block.out[frame=2:6]").resolve(strided).labels["frame"] == (2, 4)
    assert Capture.parse("attn1.rows[frame=-1,token=0]").resolve(strided).labels["key_frame"] == (0, 2, 4, 6)
    assert Capture.parse("latent[frame=2:6]").resolve(strided).labels["frame"] == (2, 3, 4, 5)


def test_layers_are_those_that_have_the_site():
    some = dataclasses.replace(FULL, site_layers={"attn2.out": (2, 5, 8)})
    assert Capture.parse("attn2.out").resolve(some).labels["layer"] == (2, 5, 8)
    assert Capture.parse("attn2.out[layer=-1]").resolve(some).labels["layer"] == (8,)
    assert Capture.parse("block.in").resolve(some).labels["layer"] == tuple(range(10))
    with pytest.raises(BadSelection, match=r"got 3, allowed 2, 5, 8 \("):
        Capture.parse("attn2.out[layer=3]").resolve(some)


@pytest.mark.parametrize(
    ("text", "axis", "expected"),
    [
        ("step=0:3", "step", (0, 1, 2)),
        ("step=0+5+3", "step", (0, 3, 5)),
        ("step=-1", "step", (5,)),
        ("step=-2:", "step", (4, 5)),
        ("step=:2", "step", (0, 1)),
        ("step=::3", "step", (0, 3)),
        ("step=1:5:2+0", "step", (0, 1, 3)),
        ("expert=transformer_2", "step", (2, 3, 4, 5)),
        ("expert=transformer_2,step=1:4", "step", (2, 3)),
        ("expert=transformer+transformer_2", "step", (0, 1, 2, 3, 4, 5)),
        ("layer=9", "layer", (9,)),
        ("layer=-10", "layer", (0,)),
        ("branch=uncond", "branch", ("uncond",)),
        ("branch=uncond+cond", "branch", ("cond", "uncond")),
        ("token=62:64", "token", (62, 63)),
        ("y=1,x=2:4", "token", (10, 11)),
        ("y=-1,x=-1", "token", (63,)),
        ("x=0", "token", (0, 8, 16, 24, 32, 40, 48, 56)),
        ("token=0:10,y=1", "token", (8, 9)),
        ("", "frame", (0, 1, 2, 3, 4)),
    ],
)
def test_selection_resolves_to_the_models_numbers(text, axis, expected):
    assert Capture.parse(f"block.out:raw[{text}]").resolve(LAYOUT).labels[axis] == expected


def test_addresses_name_the_expert_of_their_step():
    resolved = Capture.parse("block.out:energy[step=1:3,layer=7,branch=cond]").resolve(LAYOUT)
    assert [(str(address), event) for address, event in resolved.events(LAYOUT)] == [
        ("transformer/cond/step 1/layer 7/block.out", {"branch": "cond", "step": 1, "layer": 7}),
        ("transformer_2/cond/step 2/layer 7/block.out", {"branch": "cond", "step": 2, "layer": 7}),
    ]


def test_the_same_capture_twice_counts_once():
    assert len(read_captures(["latent", "latent:raw", Capture("latent")])) == 1
    assert read_captures("latent") == (Capture("latent"),)


SITES_GIVEN = "block.in, block.out, latent, velocity, velocity.guided, x0, x0.guided"
RANGE = "(ranges end at {0} at most, negative numbers count from the end); choose within it"
FORM = "allowed SITE:REDUCTION:ARGUMENT@DTYPE[axis=...]; write it as in 'block.out:raw[step=0:3,layer=2+5]'"
FITS = "selection of {} does not fit the run in capture '{}'; got {}, allowed {}"
AXES = "allowed " + ", ".join(f"{axis}=..." for axis in Capture("attn1.q").axes)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("blok.out", UnknownCapture, f"capture names an unknown site; got 'blok.out', allowed {', '.join(SITES)}; "
         "did you mean 'block.out'?"),
        ("zzz", UnknownCapture, f"capture names an unknown site; got 'zzz', allowed {', '.join(SITES)}; "
         "choose a site of that list"),
        ("latent:enrgy", UnknownCapture, "capture names an unknown reduction; got 'enrgy', allowed raw, energy, mean, "
         "std, project, gram, top; did you mean 'energy'?"),
        ("latent@bf16", UnknownCapture, "capture names an unknown dtype; got 'bf16', allowed float32, bfloat16, "
         "float16, bits; did you mean 'bfloat16'?"),
        ("latent:", UnknownCapture, f"capture cannot be read; got 'latent:', {FORM}"),
        ("latent[step=1", UnknownCapture, f"capture cannot be read; got 'latent[step=1', {FORM}"),
        ("latent[step=1]@bits", UnknownCapture, f"capture cannot be read; got 'latent[step=1]@bits', {FORM}"),
        ("latent:raw:3", UnknownCapture, "the argument of raw cannot be used at latent; got '3', allowed no argument; "
         "write it as in latent:raw"),
        ("latent:mean:chanel", UnknownCapture, "the argument of mean cannot be used at latent; got 'chanel', allowed "
         "latent_channel, frame, h, w, each once; did you mean 'latent_channel'?"),
        ("block.out:std:head", UnknownCapture, "the argument of std cannot be used at block.out; got 'head', allowed "
         "frame, token, channel, each once; write it as in block.out:std:frame+token"),
        ("block.out:mean:frame+frame", UnknownCapture, "the argument of mean cannot be used at block.out; got "
         "'frame+frame', allowed frame, token, channel, each once; did you mean 'frame'?"),
        ("block.out:project", UnknownCapture, "the argument of project cannot be used at block.out; got '', allowed a "
         "number from 1 to 65536; write it as in block.out:project:16"),
        ("block.out:top:0", UnknownCapture, "the argument of top cannot be used at block.out; got '0', allowed a "
         "number from 1 to 65536; write it as in block.out:top:16"),
        ("block.out:gram:3", UnknownCapture, "the argument of gram cannot be used at block.out; got '3', allowed "
         "tokens in a minibatch, from 4, with 'x' and their number if not all; write it as in "
         "block.out:gram:256x4"),
        ("block.out:top:4@float16", UnknownCapture, "capture 'block.out:top:4@float16' would round the numbers of "
         "channels; got dtype float16, allowed float32; leave @float16 out"),
        ("attn1.q", UnknownCapture, "capture 'attn1.q:raw' cannot be recorded from this model; got site attn1.q, "
         f"allowed {SITES_GIVEN}; choose a site of that list"),
        ("block.out:gram:4x81", BadSelection, "capture 'block.out:gram:4x81' asks for more tokens than are chosen; "
         "got 324, allowed 320 at most; choose smaller or fewer minibatches"),
        ("block.out:gram:4[frame=0,token=0:3]", BadSelection, "capture 'block.out:gram:4[frame=0,token=0:3]' asks for "
         "more tokens than are chosen; got 4, allowed 3 at most; choose smaller or fewer minibatches"),
        ("latent:top:17", BadSelection, "capture 'latent:top:17' asks for more channels than are chosen; got 17, "
         "allowed 16 at most; ask for fewer"),
        ("block.out[token=0:8,y=1]", BadSelection, "capture 'block.out:raw[token=0:8,y=1]' chooses no token; got none "
         "of tokens 0 to 7 in the chosen rows and columns, allowed token = 8 * y + x; leave token out, or y and x"),
        ("block.out[y=8]", BadSelection, FITS.format("y", "block.out:raw[y=8]", "8", "0 to 7 ") + RANGE.format(8)),
        ("latent[layer=1]", BadSelection, "capture 'latent:raw[layer=1]' selects an axis that latent does not "
         "have; got layer, allowed step, expert, frame; leave layer out"),
        ("x0[y=1]", BadSelection, "capture 'x0:raw[y=1]' selects an axis that x0 does not "
         "have; got y, allowed step, branch, expert, frame; leave y out"),
        ("attn2.k[frame=1]", BadSelection, "capture 'attn2.k:raw[frame=1]' selects an axis that attn2.k does not "
         "have; got frame, allowed step, layer, branch, expert, head; leave frame out"),
        ("block.out[lajer=1]", BadSelection, f"selection cannot be read; got 'lajer=1', {AXES}; did you mean 'layer'?"),
        ("block.out[3]", BadSelection, f"selection cannot be read; got '3', {AXES}; write it as in "
         "step=0:3,layer=2+5"),
        ("block.out[step=1,step=2]", BadSelection, "selection names step twice; got 'step=2', allowed each axis once; "
         "join several with '+', as in step=0+5"),
        ("block.out[step=a]", BadSelection, "selection of step cannot be read; got 'a', allowed a number, or a "
         "range such as '2:5'; join several with '+'"),
        ("block.out[branch=a b]", BadSelection, "selection of branch cannot be read; got 'a b', allowed a name "
         "such as 'cond'; join several with '+'"),
        ("block.out[layer=10]", BadSelection,
         FITS.format("layer", "block.out:raw[layer=10]", "10", "0 to 9 ") + RANGE.format(10)),
        ("block.out[step=-7]", BadSelection,
         FITS.format("step", "block.out:raw[step=-7]", "-7", "0 to 5 ") + RANGE.format(6)),
        ("block.out[layer=2:11]", BadSelection,
         FITS.format("layer", "block.out:raw[layer=2:11]", "'2:11'", "0 to 9 ") + RANGE.format(10)),
        ("block.out[layer=5:2]", BadSelection,
         FITS.format("layer", "block.out:raw[layer=5:2]", "'5:2'", "0 to 9 ") + RANGE.format(10)),
        ("block.out[step=::0]", BadSelection,
         FITS.format("step", "block.out:raw[step=::0]", "'::0'", "0 to 5 ") + RANGE.format(6)),
        ("block.out[branch=con]", BadSelection,
         FITS.format("branch", "block.out:raw[branch=con]", "'con'", "cond, uncond; did you mean 'cond'?")),
        ("block.out[branch=zzz]", BadSelection,
         FITS.format("branch", "block.out:raw[branch=zzz]", "'zzz'", "cond, uncond; choose a branch that runs")),
        ("latent[expert=transformer_3]", BadSelection, FITS.format("expert", "latent:raw[expert=transformer_3]",
         "'transformer_3'", "transformer, transformer_2; did you mean 'transformer_2'?")),
        ("latent[expert=transformer_2,step=0:2]", BadSelection, "capture 'latent:raw[step=0:2,expert=transformer_2]' "
         "chooses no step; got steps 0, 1, allowed 2 to 5 for transformer_2; choose a step in which the expert runs"),
    ],
)  # fmt: skip
def test_refusals(text, kind, message):
    with pytest.raises(kind) as caught:
        Capture.parse(text).resolve(LAYOUT)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, ValueError)


def test_an_event_beyond_the_buffers_is_refused():
    with pytest.raises(BadSelection) as caught:
        Capture.parse("attn1.rows").resolve(WIDE)
    assert str(caught.value) == (
        "capture 'attn1.rows:raw' makes events that are too large; got 159.9 GiB an event, allowed 1 GiB; "
        "select fewer tokens, as in [frame=0,y=0:4,x=0:4]"
    )
    with pytest.raises(BadSelection, match=r"got 159\.9 GiB an event"):
        Capture.parse("attn1.rows:mean").resolve(WIDE)  # small when it leaves, and as large before
    rows = Capture.parse("attn1.rows[frame=0,y=0:4,x=0:4]").resolve(WIDE)
    assert rows.event_bytes == 16 * 40 * 32760 * 4
    assert Capture.parse("block.out").resolve(WIDE).event_bytes == 32760 * 5120 * 4
    assert Capture.parse("block.out@bits").resolve(WIDE).event_bytes == 32760 * 5120 * 2
    large = dataclasses.replace(WIDE, tokens=(21, 45, 80))
    with pytest.raises(BadSelection, match=r"got 1\.4 GiB an event"):
        Capture.parse("block.out").resolve(large)
    assert Capture.parse("block.out:energy").resolve(large).event_bytes == math.prod(large.tokens) * 4


def test_no_capture_and_twins_are_refused():
    with pytest.raises(UnknownCapture, match="no capture was given; got none, allowed one or more; add one"):
        read_captures([])
    with pytest.raises(UnknownCapture) as caught:
        read_captures(["latent[step=0]", "latent[step=1]"])
    assert str(caught.value) == (
        "two captures fill the array latent.raw; got 'latent:raw[step=0]' and 'latent:raw[step=1]', allowed one "
        "of them; join their selections with '+'"
    )
    with pytest.raises(UnknownCapture, match=r"two captures fill the array latent\.mean\.frame\.h\.w"):
        read_captures(["latent:mean", "latent:mean:h+w+frame@float16"])
    assert len(read_captures(["latent:mean:h", "latent:mean:w", "latent:std:h"])) == 3


def test_captures_need_no_torch():
    code = "import sys, dit_lens.captures, dit_lens.generation, dit_lens.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

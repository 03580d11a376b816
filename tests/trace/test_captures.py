"""Captures and selections as text, and against the layout of a run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dit_lens.captures import REDUCTIONS, SITES, Capture, Selection, read_captures
from dit_lens.engine.errors import BadSelection, UnknownCapture
from dit_lens.engine.layout import Layout
from dit_lens.engine.reductions import REDUCERS

LAYOUT = Layout(
    branches=("cond", "uncond"),
    experts=("transformer",) * 2 + ("transformer_2",) * 4,
    timesteps=(999.0, 950.0, 890.0, 700.0, 500.0, 200.0),
    sigmas=(1.0, 0.95, 0.89, 0.7, 0.5, 0.2),
    layers=10,
    tokens=(5, 8, 8),
    channels=128,
    latent=(16, 5, 8, 8),
    video=(17, 64, 64),
    dtype="float32",
)


def test_every_reduction_has_its_function():
    assert set(REDUCTIONS) == set(REDUCERS)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("selection", ["", "step=0:3+-1", "frame=1:,expert=transformer"])
def test_text_goes_there_and_back(site, reduction, selection):
    capture = Capture.parse(f"{site}:{reduction}[{selection}]")
    assert Capture.parse(str(capture)) == capture
    assert capture.resolve(LAYOUT).labels


def test_dims_follow_from_site_and_reduction():
    assert Capture("block.out", "raw").dims == ("branch", "step", "layer", "frame", "token", "channel")
    assert Capture("block.out", "energy").dims == ("branch", "step", "layer", "frame", "token")
    assert Capture("latent", "raw").dims == ("step", "latent_channel", "frame", "h", "w")
    assert Capture("x0", "energy").dims == ("branch", "step", "frame", "h", "w")
    assert Capture("velocity.guided", "energy").dims == ("step", "frame", "h", "w")


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
        ("", "frame", (0, 1, 2, 3, 4)),
    ],
)
def test_selection_resolves_to_the_models_numbers(text, axis, expected):
    assert Capture.parse(f"block.out:raw[{text}]").resolve(LAYOUT).labels[axis] == expected


def test_selection_takes_what_python_has():
    assert Selection(step=range(3)).step == (0, 1, 2)
    assert Selection(step=4).step == (4,)
    assert Selection(branch="cond").branch == ("cond",)
    assert Selection(layer=[1, 2]) == Selection(layer="1+2")


def test_addresses_name_the_expert_of_their_step():
    resolved = Capture.parse("block.out:energy[step=1:3,layer=7,branch=cond]").resolve(LAYOUT)
    assert [(str(address), event) for address, event in resolved.events(LAYOUT)] == [
        ("transformer/cond/step 1/layer 7/block.out", {"branch": "cond", "step": 1, "layer": 7}),
        ("transformer_2/cond/step 2/layer 7/block.out", {"branch": "cond", "step": 2, "layer": 7}),
    ]


def test_the_same_capture_twice_counts_once():
    assert len(read_captures(["latent", "latent:raw", Capture("latent")])) == 1
    assert read_captures("latent") == (Capture("latent"),)


FORMS = "got {!r}, allowed SITE:REDUCTION[axis=...]; write it as in 'block.out:raw[step=0:3,layer=2+5]'"
RANGE = "(ranges end at {0} at most, negative numbers count from the end); choose within it"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("blok.out", UnknownCapture, "capture names an unknown site; got 'blok.out', allowed block.out, latent, "
                                     "velocity, "
         "velocity.guided, x0, x0.guided; did you mean 'block.out'?"),
        ("zzz", UnknownCapture, "capture names an unknown site; got 'zzz', allowed block.out, latent, velocity, "
         "velocity.guided, x0, x0.guided; choose a site of that list"),
        ("latent:enrgy", UnknownCapture, "capture names an unknown reduction; got 'enrgy', allowed raw, energy; "
                                         "did you mean 'energy'?"),
        ("latent:", UnknownCapture, "capture cannot be read; " + FORMS.format("latent:")),
        ("latent[step=1", UnknownCapture, "capture cannot be read; " + FORMS.format("latent[step=1")),
        ("latent[layer=1]", BadSelection, "capture 'latent:raw[layer=1]' selects an axis that latent does not "
                                          "have; got layer, "
         "allowed step, frame, expert; leave layer out"),
        ("block.out[lajer=1]", BadSelection, "selection cannot be read; got 'lajer=1', allowed step=..., "
                                             "layer=..., branch=..., "
         "frame=..., token=..., expert=...; did you mean 'layer'?"),
        ("block.out[3]", BadSelection, "selection cannot be read; got '3', allowed step=..., layer=..., "
                                       "branch=..., frame=..., "
         "token=..., expert=...; write it as in step=0:3,layer=2+5"),
        ("block.out[step=1,step=2]", BadSelection, "selection names step twice; got 'step=2', allowed each axis once; "
         "join several with '+', as in step=0+5"),
        ("block.out[step=a]", BadSelection, "selection of step cannot be read; got 'a', allowed a number, or a "
                                            "range such as '2:5'; "
         "join several with '+'"),
        ("block.out[branch=a b]", BadSelection, "selection of branch cannot be read; got 'a b', allowed a name "
                                                "such as 'cond'; "
         "join several with '+'"),
        ("block.out[layer=10]", BadSelection, "selection of layer does not fit the run in capture "
                                              "'block.out:raw[layer=10]'; "
         "got 10, allowed 0 to 9 " + RANGE.format(10)),
        ("block.out[step=-7]", BadSelection, "selection of step does not fit the run in capture "
                                             "'block.out:raw[step=-7]'; "
         "got -7, allowed 0 to 5 " + RANGE.format(6)),
        ("block.out[layer=2:11]", BadSelection, "selection of layer does not fit the run in capture "
                                                "'block.out:raw[layer=2:11]'; "
         "got '2:11', allowed 0 to 9 " + RANGE.format(10)),
        ("block.out[layer=5:2]", BadSelection, "selection of layer does not fit the run in capture "
                                               "'block.out:raw[layer=5:2]'; "
         "got '5:2', allowed 0 to 9 " + RANGE.format(10)),
        ("block.out[step=::0]", BadSelection, "selection of step does not fit the run in capture "
                                              "'block.out:raw[step=::0]'; "
         "got '::0', allowed 0 to 5 " + RANGE.format(6)),
        ("block.out[branch=con]", BadSelection, "selection of branch does not fit the run in capture "
                                                "'block.out:raw[branch=con]'; "
         "got 'con', allowed cond, uncond; did you mean 'cond'?"),
        ("block.out[branch=zzz]", BadSelection, "selection of branch does not fit the run in capture "
                                                "'block.out:raw[branch=zzz]'; "
         "got 'zzz', allowed cond, uncond; choose a branch that runs"),
        ("latent[expert=transformer_3]", BadSelection, "selection of expert does not fit the run in capture "
         "'latent:raw[expert=transformer_3]'; got 'transformer_3', allowed transformer, transformer_2; did you "
         "mean 'transformer_2'?"),
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


def test_no_capture_and_twins_are_refused():
    with pytest.raises(UnknownCapture, match="no capture was given; got none, allowed one or more; add one"):
        read_captures([])
    with pytest.raises(UnknownCapture) as caught:
        read_captures(["latent[step=0]", "latent[step=1]"])
    assert str(caught.value) == (
        "two captures fill the array latent.raw; got 'latent:raw[step=0]' and 'latent:raw[step=1]', allowed one "
        "of them; "
        "join their selections with '+'"
    )
    with pytest.raises(
        BadSelection, match=r"selection of step is empty; got \(\), allowed one step or more; leave step out"
    ):
        Selection(step=())


def test_captures_need_no_torch():
    code = "import sys, dit_lens.captures, dit_lens.generation, dit_lens.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

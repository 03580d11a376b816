import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from pydantic import BaseModel

from dit_lens import Capture
from dit_lens.probing import NonConformingProbe, get_probe
from dit_lens.testing import SMALL, check_probe, synthetic_store
from dit_lens_probes.energy import Energy

ALL = ("protocol", "params", "captures", "map", "combine", "finish", "draw")


class Mean:
    """A correct probe to break."""

    name, version, api_version, summary, access = "mean", "1", 1, "Mean latent.", "trace"

    class Params(BaseModel):
        scale: float = 1.0

    def __init__(self, params=None):
        self.params = params or self.Params()

    def captures(self):
        return [Capture("latent", "raw")]

    def map(self, chunk):
        return float(chunk["latent.raw"].astype("f8").sum()), chunk["latent.raw"].size

    def combine(self, states):
        return tuple(np.sum(states, axis=0))

    def finish(self, state):
        return xr.Dataset({"mean": self.params.scale * state[0] / state[1]})

    def draw(self, result):
        return {"mean": Figure()}


def broken(**members):
    return type("Broken", (Mean,), members)


@pytest.mark.parametrize("params", [{}, {"overlay": True, "scale": "raw"}, {"step": 2, "layer": 1, "branch": "uncond"}])
def test_the_shipped_probe_conforms(params):
    assert check_probe(Energy, params) == ALL


def test_a_small_probe_conforms():
    assert check_probe(Mean) == ALL


def test_a_third_party_probe_conforms(plugin):
    assert check_probe(get_probe("loudness")) == ALL


def spoil(self, chunk):
    chunk["latent.raw"][:] = 0
    return Mean.map(self, chunk)


def plot(self, result):
    from matplotlib import pyplot

    return {"mean": pyplot.figure()}


def grow(self, states):
    states[0].extend(x for state in states[1:] for x in state)  # changes its argument
    return states[0]


class BadJson(BaseModel):
    model_config = {"arbitrary_types_allowed": True, "ser_json_inf_nan": "null"}
    scale: float | None = float("inf")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"api_version": 2}, "its api_version is 2, this dit-lens speaks 1"),
        ({"access": "video"}, "its access is 'video', allowed frame, step, trace"),
        ({"map": None}, "it has no method map"),
        ({"map": lambda self: 0}, "its map takes other arguments"),
        ({"Params": dict}, "its Params is no pydantic model"),
        ({"Params": BaseModel}, "its Params is pydantic's BaseModel itself"),
        ({"Params": BadJson}, "check of params; got .* that JSON turns into"),
        ({"captures": lambda self: []}, "check of captures; got an empty list"),
        ({"captures": lambda self: ["latent"]}, "check of captures; got 'latent', allowed a list of Capture"),
        ({"map": spoil}, "check of map; got a chunk that map has changed"),
        ({"map": lambda self, chunk: lambda: 0}, "check of map; got a state that cannot be pickled"),
        ({"map": lambda self, chunk: 1 / 0}, "check of map; got ZeroDivisionError"),
        ({"combine": lambda self, states: states[-1]}, "check of combine; got another result when states are merged"),
        (
            {"combine": lambda self, states: (np.mean([s[0] for s in states]), 1)},
            "check of combine; got another result when states are merged one by one",
        ),
        (
            {
                "map": lambda self, chunk: [float(chunk["latent.raw"].sum())],
                "combine": grow,
                "finish": lambda self, state: xr.Dataset({"mean": float(sum(state))}),
            },
            "check of combine; got another result",
        ),
        ({"finish": lambda self, state: 3.0}, "check of finish; got a float, allowed an xarray.Dataset"),
        ({"draw": lambda self, result: {"mean": "a picture"}}, "check of draw; got 'mean' that is no figure"),
        ({"draw": plot}, "check of draw; got a figure made through pyplot"),
    ],
)
def test_each_broken_promise_is_found(members, words):
    with pytest.raises(NonConformingProbe, match=words) as info:
        check_probe(broken(**members))
    assert isinstance(info.value, AssertionError)


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    import sys

    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def test_synthetic_values_do_not_depend_on_what_else_is_captured(tmp_path):
    both = synthetic_store(tmp_path / "both.zarr", ["block.out:raw", "block.out:energy"])["a"]
    part = synthetic_store(tmp_path / "part.zarr", ["block.out:energy[step=2,layer=1,frame=0+2]"])["a"]
    norm = np.linalg.norm(both["block.out.raw"].values.astype("f8"), axis=-1)
    np.testing.assert_allclose(both["block.out.energy"].values, norm, rtol=1e-6)
    np.testing.assert_array_equal(
        part["block.out.energy"].values, both["block.out.energy"].sel(step=[2], layer=[1], frame=[0, 2]).values
    )


def test_synthetic_store_holds_every_site(tmp_path):
    captures = ["block.out:raw", "latent:raw", "velocity:energy", "velocity.guided:raw", "x0:raw", "x0.guided:energy"]
    trace = synthetic_store(tmp_path / "s.zarr", captures, ["a"])["a"]
    assert trace["x0.guided.energy"].dims == ("step", "frame", "h", "w")
    assert trace["velocity.energy"].sizes["branch"] == 2
    bits = trace["block.out.raw"].values.view(np.uint32)
    assert not (bits & 0xFFFF).any()  # what bfloat16 can hold
    assert tuple(trace["latent.raw"]["sigma"].values) == SMALL.sigmas

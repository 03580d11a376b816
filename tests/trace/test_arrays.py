"""What a store is told of the arrays of a run, and what a reader of that store finds."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from dit_lens.captures import SITES, Capture, read_captures
from dit_lens.engine.arrays import array_specs, coordinates, encoding_of
from dit_lens.engine.flow import stored_values
from dit_lens.engine.layout import Layout
from dit_lens.engine.reductions import Reducer
from dit_lens_stores import create_store
from dit_lens_stores.encodings import widened

INSIDE = tuple(site.name for site in SITES.values() if "layer" in site.event_dims and not site.name.startswith("block"))
LAYOUT = Layout(
    branches=("cond",),
    experts=("transformer",) * 2,
    timesteps=None,
    sigmas=None,
    layers=3,
    tokens=(4, 3, 4),
    channels=8,
    latent=(5, 8, 6, 8),
    video=(5, 48, 64),
    dtype="bfloat16",
    heads=2,
    head_channels=4,
    text_tokens=6,
    frame_stride=2,
    site_layers=dict.fromkeys(INSIDE, (0, 2)),
    modules=("blocks.0", "blocks.1", "single.0"),
)


def specs(*texts: str, layout: Layout = LAYOUT):
    return array_specs([capture.resolve(layout) for capture in read_captures(texts)], layout, video=False)


def test_attributes_say_what_an_array_is():
    (spec,) = specs("attn1.out:mean:token@bits[layer=2,y=1]")
    assert spec.attrs == {
        "site": "attn1.out",
        "reduction": "mean",
        "argument": "token",
        "selection": "layer=2,y=1",
        "dtype": "bits",
        "source_dtype": "unknown",
        "units": "1",
        "long_name": "what self-attention adds to the stream: mean over the named dimensions, in float32",
        "place": "after the output projection, before the gate and the residual sum",
        "reduced": {"token": [4, 5, 6, 7]},
    }
    assert spec.encoding == "bits"
    assert "reduced" not in specs("attn1.out:mean:token[layer=2]")[0].attrs
    assert "reduced" not in specs("attn1.out[y=1]")[0].attrs
    assert specs("attn1.frames[x=0]")[0].attrs["reduced"] == {"token": [0, 4, 8]}
    drawn = specs("block.out:gram:4x2[frame=0]")[0].attrs
    assert {name: drawn[name] for name in ("seed", "tokens", "token_dims", "batch", "batches")} == {
        "seed": 0,
        "tokens": 12,
        "token_dims": ["frame", "token"],
        "batch": 4,
        "batches": 2,
    }


@pytest.mark.parametrize(
    ("dtype", "encoding"), [("float32", "exact"), ("bfloat16", "exact"), ("float16", "float16"), ("bits", "bits")]
)
def test_encodings(dtype, encoding):
    assert specs(f"latent@{dtype}")[0].encoding == encoding


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("reduction", ["raw", "energy", "mean", "std", "project:3", "gram:4", "top:2"])
def test_every_array_is_json_and_labelled(site, reduction):
    (spec,) = specs(f"{site}:{reduction}")
    assert json.loads(json.dumps(dict(spec.attrs))) == spec.attrs
    assert set(spec.labels) == set(spec.dims)
    assert spec.attrs["place"] == SITES[site].place


def test_coordinates_of_the_dimensions_that_are_there():
    arrays = specs("attn1.rows[frame=0,token=5]")
    found = {coordinate.name: coordinate for coordinate in coordinates(LAYOUT, arrays)}
    assert set(found) == {"sigma", "timestep", "expert", "module", "y", "x", "key_y", "key_x"}
    assert found["module"].values == {0: "blocks.0", 1: "blocks.1", 2: "single.0"}
    assert (found["y"].values[5], found["x"].values[5], found["key_y"].values[11]) == (1, 1, 2)
    assert {coordinate.name for coordinate in coordinates(LAYOUT, specs("latent"))} == {"sigma", "timestep", "expert"}
    nameless = dataclasses.replace(LAYOUT, modules=())
    assert "module" not in {coordinate.name for coordinate in coordinates(nameless, arrays)}


CAPTURES = (
    "attn1.out",
    "block.out:mean:frame+token+channel",
    "block.out:top:2",
    "block.out:gram:4",
    "block.out:project:3@float16",
    "block.out:energy@bits[layer=1:]",
    "attn1.rows[frame=2,y=0]",
    "attn2.k:mean",
    "latent:std",
)


def test_what_a_reducer_gives_goes_into_the_store_and_comes_out(tmp_path):
    resolved = [Capture.parse(text).resolve(LAYOUT) for text in CAPTURES]
    arrays = array_specs(resolved, LAYOUT, video=False)
    store = create_store(tmp_path / "x.zarr")
    writer = store.begin("a", arrays, coordinates(LAYOUT, arrays), {"model": "none"})
    wanted: dict[str, list[np.ndarray]] = {}
    for one in resolved:
        reducer, site = Reducer(one, LAYOUT), SITES[one.capture.site]
        for number, (_, event) in enumerate(one.events(LAYOUT)):
            shape = [len(LAYOUT.labels(dim, site.name)) for dim in site.value_dims]
            whole = torch.randn(shape, generator=torch.Generator().manual_seed(number)).to(torch.bfloat16)
            encoding = encoding_of(one.capture)
            values = stored_values(reducer(whole), encoding)
            writer.write(one.capture.array, event, values)
            held = widened(values, "float32") if encoding == "exact" else values
            wanted.setdefault(one.capture.array, []).append(held)
    for step in range(2):
        for name, value in (("sigma", 1.0), ("timestep", 999.0), ("expert", "transformer")):
            writer.set_coordinate(name, step, value)
    writer.finish()
    trace = store["a"]
    for one in resolved:
        name = one.capture.array
        read = trace[name].sel({dim: list(labels) for dim, labels in one.labels.items()})
        if one.capture.dtype == "bits":
            wanted[name] = [(values.astype(np.uint32) << 16).view(np.float32) for values in wanted[name]]
        assert read.dims == one.capture.dims
        assert np.array_equal(read.values.reshape(-1), np.stack(wanted[name]).reshape(-1)), name
    top = trace["block.out.top.2"].sel(branch="cond", step=0, layer=0, quantity="rms")
    assert (top.values[0] >= top.values[1]).all()
    assert trace["attn1.out.raw"].module.sel(layer=2).item() == "single.0"
    assert trace["attn1.rows.raw"].key_y.sel(key_token=11).item() == 2

"""Edits in other families: batched guidance row by row, text beside the video stays, the rest keeps every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dit_lens.edits import Edit, Noise, Stored
from dit_lens.errors import BadEdit
from dit_lens.lens import Lens
from dit_lens_stores import open_store
from tests.trace.families.build_a import TINY
from tests.trace.families.build_b import CASES

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning", "ignore:In CPU autocast:UserWarning"
)
BY_NAME = {case.pipeline: case for case in CASES}
NAMES = ("cogvideox", "hunyuan-video", "ltx", "mochi", "latte", "EasyAnimatePipeline", "SanaVideoPipeline",
         "Flux2Pipeline", "StableDiffusion3Pipeline", "QwenImagePipeline")  # fmt: skip
SITES = ["block.out", "latent", "velocity", "velocity.guided"]


def made(name: str) -> tuple[Lens, Any]:
    tiny = TINY[name] if name in TINY else BY_NAME[name]
    return Lens(tiny.build()), tiny.ask()


@pytest.mark.parametrize("name", NAMES)
def test_only_the_region_of_the_row_is_edited(name, tmp_path):
    lens, request = made(name)
    plain = lens.trace(request, SITES, tmp_path / "a.zarr", trace_id="plain", decode=False)
    layout = lens.plan(request, SITES)[1]
    uncond = layout.branches[-1]
    store = open_store(tmp_path / "a.zarr")
    was = store["plain"]["block.out.raw"]
    for layer in (0, layout.layers - 1):
        edit = Edit("block.out", f"step=1,layer={layer},branch={uncond},x=0", "add", 1.0)
        lens.trace(request, SITES, tmp_path / "a.zarr", trace_id=f"l{layer}", edits=[edit], decode=False)
        now = store[f"l{layer}"]["block.out.raw"]
        expected = was.sel(step=1, layer=layer).copy(deep=True)
        column = expected.x.values == 0
        at = {"branch": uncond} if "branch" in expected.dims else {}
        expected.loc[{**at, "token": expected.token[column]}] += 1
        found = now.sel(step=1, layer=layer)
        assert np.array_equal(found.values, expected.values)
        assert np.array_equal(now.sel(step=0).values, was.sel(step=0).values)
        assert np.array_equal(now.sel(step=1, layer=range(layer)).values, was.sel(step=1, layer=range(layer)).values)
    own = [Edit(site, op="replace", source=Stored(tmp_path / "a.zarr", "plain")) for site in SITES if site != "latent"]
    assert torch.equal(lens.generate(request, edits=own, decode=False).latents, plain.latents)


@pytest.mark.parametrize("name", NAMES)
def test_text_beside_the_video_stays(name):
    """What a layer hands on is looked at after the edit, by a hook that is registered inside the run."""
    lens, request = made(name)
    stack, _, layer = lens.family.layers(lens.pipeline.transformer)[0]
    grid = lens.plan(request, ["block.out"])[1].tokens
    before: list[Any] = []
    after: list[Any] = []
    hooks = [layer.register_forward_hook(lambda module, args, out: before.append(out))]

    def look_behind(address, values):
        if len(hooks) == 1:
            hooks.append(layer.register_forward_hook(lambda module, args, out: after.append(out)))
        return values + 1

    lens.generate(request, edits=[Edit("block.out", "layer=0,step=0+1", "replace", look_behind)], decode=False)
    for hook in hooks:
        hook.remove()
    was, now = before[-len(after)], after[0]
    video, stream = stack.video_of(was), stack.video_of(now)
    assert torch.equal(stack.with_frames(video, stack.frames(stream, grid)), stream), "the text in the same stream"
    assert isinstance(now, tuple) == isinstance(was, tuple)
    for number, item in enumerate(was if isinstance(was, tuple) else ()):
        assert now[number] is item or item is video, "the text in a stream of its own"


@pytest.mark.parametrize("name", ["cogvideox", "latte", "SanaVideoPipeline"])
def test_the_velocity_of_one_row(name, tmp_path):
    lens, request = made(name)
    edit = Edit("velocity", "step=1,branch=cond", "scale", 2.0)
    for number, edits in enumerate(([], [edit])):
        lens.trace(request, SITES, tmp_path / "a.zarr", trace_id=f"t{number}", edits=edits, decode=False)
    store = open_store(tmp_path / "a.zarr")
    was, now = (store[f"t{number}"]["velocity.raw"].sel(step=1) for number in (0, 1))
    assert np.array_equal(now.sel(branch="uncond").values, was.sel(branch="uncond").values)
    assert np.array_equal(now.sel(branch="cond").values, 2 * was.sel(branch="cond").values)
    state = [store[f"t{number}"]["latent.raw"].sel(step=2).values for number in (0, 1)]
    assert not np.array_equal(*state)


@pytest.mark.parametrize("name", ["cogvideox", "ltx", "mochi", "Flux2Pipeline", "QwenImagePipeline"])
def test_state_and_view_of_packed_and_turned_latents(name, tmp_path):
    lens, request = made(name)
    edits = [Edit("state", "step=0:2,x=0", "replace", Noise(3)), Edit("view", "step=1,y=0", "add", 0.5)]
    for number, made_of in enumerate(([], edits[:1], edits)):
        lens.trace(request, SITES, tmp_path / "a.zarr", trace_id=f"t{number}", edits=made_of, decode=False)
    store = open_store(tmp_path / "a.zarr")
    plain, state, both = (store[f"t{number}"]["latent.raw"] for number in range(3))
    assert np.array_equal(state.sel(step=0).values[..., 1:], plain.sel(step=0).values[..., 1:])
    assert not np.array_equal(state.sel(step=0).values[..., 0], plain.sel(step=0).values[..., 0])
    assert np.array_equal(both.sel(step=1).values, state.sel(step=1).values)
    assert not np.array_equal(both.sel(step=2).values, state.sel(step=2).values)


def test_what_is_not_known_of_a_family_is_refused(tmp_path):
    lens, request = made("cogvideox-image")
    with pytest.raises(BadEdit, match="may be undone by the pipeline; got CogVideoXImageToVideoPipeline with an image"):
        lens.generate(request, edits=[Edit("state", "step=1", "zero")])
    lens, request = made("cogvideox-dpm")
    with pytest.raises(BadEdit, match="needs a solver whose history can be reset; got CogVideoXDPMScheduler"):
        lens.generate(request, edits=[Edit("state", "step=1", "zero")])
    lens, request = made("cogvideox")
    with pytest.raises(BadEdit, match=r"cannot be made in this model; got attn2\.out, allowed state, view, velocity, "):
        lens.generate(request, edits=[Edit("attn2.out", "step=1", "zero")])

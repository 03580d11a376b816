"""A request that cannot run is refused in one line before anything is written."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from diffusers import DDIMScheduler, DDPMWuerstchenScheduler, EDMEulerScheduler, UniPCMultistepScheduler
from PIL import Image

import dit_lens_stores as stores
from dit_lens.adapters.registry import families
from dit_lens.cli.failures import BadOption
from dit_lens.cli.runs import store_at
from dit_lens.engine.errors import BadRequest, BadSelection, UnknownCapture, UnknownModel, Untraceable
from dit_lens.lens import Lens

BIG = Image.new("RGB", (48, 32))
ODD = Image.new("RGB", (40, 40))


def _refused(lens, request, path, captures=("latent",), kind=BadRequest, **options):
    with pytest.raises(kind) as caught:
        lens.trace(request, captures, path, **options)
    assert not path.exists(), "nothing is written"
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "the generation has no such steps; got 0, allowed 1 to 1000; ask for 20, say"),
        ({"steps": 2.5}, "the generation has no such steps; got 2.5, allowed 1 to 1000; ask for 20, say"),
        ({"seed": -1}, f"the generation has no such seed; got -1, allowed 0 to {2**63 - 1}; choose one of those"),
        ({"height": 0}, "the generation has no such height; got 0, allowed 1 to 65536; leave it out for the "
                        "model's own"),
        ({"guidance": float("nan")}, "the generation has no such guidance; got nan, allowed a finite number; try 3.0"),
        ({"guidance": "3"}, "the generation has no such guidance; got '3', allowed a finite number; try 3.0"),
        ({"seed": True}, f"the generation has no such seed; got True, allowed 0 to {2**63 - 1}; choose one of those"),
        ({"prompt": ["a", "b"]}, "the generation has no such prompt; got list, allowed one text; trace one video at a "
                                 "time"),
        ({"negative_prompt": None}, "the generation has no such negative_prompt; got NoneType, allowed one text; trace "
                                    "one video at a time"),
        ({"image": np.zeros((32, 32, 3), np.uint8)}, "the generation has no such image; got ndarray, allowed a PIL "
         "image or None; open it with PIL.Image.open or PIL.Image.fromarray"),
        ({"image": "first.png"}, "the generation has no such image; got str, allowed a PIL image or None; open it with "
                                 "PIL.Image.open or PIL.Image.fromarray"),
        ({"image": BIG}, "the image does not have the size of the video; got 48 x 32 pixels (width x height), "
         "allowed 32 x 32; resize the image, or give its own height and width"),
        ({"image": None}, "WanImageToVideoPipeline draws from a first frame; got image NoneType, allowed a PIL "
                          "image; give one"),
        ({"image": ODD, "height": 40, "width": 40}, "the height of the video does not fit the model; got 40, "
         "allowed multiples of 16; resize the picture to 32 or 48 pixels"),
        ({"frames": 6}, "the number of frames does not fit the model; got 6, allowed 1 and then every 4 more; ask "
                        "for 5 or 9"),
    ],
)  # fmt: skip
def test_bad_requests(lens, kit, tmp_path, changes, message):
    request = kit.ask(**changes)
    assert _refused(lens, request, tmp_path / "a.zarr") == message
    with pytest.raises(BadRequest):
        lens.generate(request)


def test_an_image_of_its_own_size_runs_when_it_says_so(lens, kit):
    assert lens.generate(kit.ask(image=BIG, height=32, width=48, steps=1)).video.shape == (5, 32, 48, 3)


def test_text_to_video_takes_no_image(kit, tmp_path):
    message = _refused(kit.look(kit.build("t2v")), kit.ask("t2v", image=BIG, height=32, width=48), tmp_path / "a.zarr")
    assert message == "WanPipeline draws from text alone; got an image, allowed None; leave it out"


def test_second_guidance_needs_a_second_expert(kit, tmp_path):
    message = _refused(kit.look(kit.build(experts=1)), kit.ask(guidance_2=2.0), tmp_path / "a.zarr")
    assert message == "guidance_2 needs a second expert; got 2.0, allowed None for this model; leave it out"


@pytest.mark.parametrize(
    "scheduler",
    [
        EDMEulerScheduler(),
        UniPCMultistepScheduler(prediction_type="epsilon", use_flow_sigmas=True),
        DDIMScheduler(prediction_type="epsilon", rescale_betas_zero_snr=True),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_x0_needs_a_formula_for_the_scheduler(lens, kit, tmp_path, scheduler):
    lens.pipeline.scheduler = scheduler
    assert _refused(lens, kit.ask(), tmp_path / "a.zarr", ["x0.guided"]) == (
        "capture 'x0.guided:raw' needs a scheduler with a formula for the clean latent; got "
        f"{type(scheduler).__name__} with prediction_type 'epsilon', allowed FlowMatch schedulers, "
        "prediction_type='flow_prediction', and those of DDPM, DDIM, DPM-Solver and Euler (not with flow sigmas, nor "
        "for noise told from noise alone); leave x0 out"
    )


def test_a_scheduler_without_noise_levels_is_refused(lens, kit, tmp_path):
    lens.pipeline.scheduler = DDPMWuerstchenScheduler()
    assert _refused(lens, kit.ask(), tmp_path / "a.zarr", kind=Untraceable) == (
        "the scheduler cannot be traced; got DDPMWuerstchenScheduler without sigmas or alphas_cumprod, allowed one "
        "that has them, such as UniPCMultistepScheduler; exchange pipeline.scheduler"
    )


def test_numbers_of_numpy_are_numbers(lens, kit, tmp_path):
    sizes = dict.fromkeys(("height", "width"), np.int32(32))
    theirs = kit.ask(steps=np.int64(2), seed=np.int64(3), guidance=np.float64(3), frames=np.uint8(5), **sizes)
    ours = kit.ask(steps=2, seed=3, guidance=3.0, height=32, width=32, frames=5)
    assert theirs == ours
    assert json.dumps(dataclasses.asdict(theirs) | {"image": None})
    assert lens.trace(theirs, ["latent"], tmp_path / "a.zarr").trace_id == lens.default_trace_id(ours)


@pytest.mark.parametrize(
    ("captures", "kind", "part"),
    [
        (["blok.out"], UnknownCapture, "got 'blok.out', "),
        (["block.out:enrgy"], UnknownCapture, "did you mean 'energy'?"),
        (["block.out:mean:chanel"], UnknownCapture, "got 'chanel', "),
        (["block.out@bf16"], UnknownCapture, "did you mean 'bfloat16'?"),
        (["block.out[lajer=1]"], BadSelection, "did you mean 'layer'?"),
        (["latent", "block.out[layer=3]"], BadSelection, "allowed 0 to 2 "),
        (["block.out[step=6]"], BadSelection, "allowed 0 to 5 "),
        (["block.out[step=4:2]"], BadSelection, "got '4:2', allowed 0 to 5 "),
        (["block.out[frame=2]"], BadSelection, "allowed 0 to 1 "),
        (["block.out[y=1,token=0:2]"], BadSelection, "chooses no token; got none of tokens 0 to 1"),
        (["latent[expert=transformer,step=5]"], BadSelection, "chooses no step; got steps 5, allowed 0 to 2"),
        (["attn2.words[text_token=1]"], BadSelection, "text_token"),
        (["attn1.q[head=2]"], BadSelection, "allowed 0 to 1 "),
        (["block.out:top:25"], BadSelection, "got 25, allowed 24 at most"),
        (["block.out:gram:4x9"], BadSelection, "got 36, allowed 32 at most"),
        (["latent:raw", "latent:raw[step=0]"], UnknownCapture, "two captures fill the array latent.raw"),
        ([], UnknownCapture, "no capture was given"),
    ],
)
def test_bad_captures_write_nothing(lens, kit, tmp_path, captures, kind, part):
    assert part in _refused(lens, kit.ask(), tmp_path / "a.zarr", captures, kind)


def test_a_branch_that_does_not_run_is_refused(lens, kit, tmp_path):
    path = tmp_path / "a.zarr"
    message = _refused(lens, kit.ask(guidance=1), path, ["block.out[branch=uncond]"], BadSelection)
    assert "got 'uncond', allowed cond; did you mean 'cond'?" in message
    assert "trace id" in _refused(lens, kit.ask(), path, trace_id="No Good", kind=stores.StoreError)


def test_a_site_that_the_family_does_not_give_is_refused(lens, kit, tmp_path):
    (stack,) = lens.family.stacks
    bare = dataclasses.replace(stack, probabilities=False)
    lens.family = dataclasses.replace(lens.family, stacks=(bare,))
    message = _refused(lens, kit.ask(), tmp_path / "a.zarr", ["attn1.frames"], UnknownCapture)
    assert message.startswith("capture 'attn1.frames:raw' cannot be recorded from this model; got site attn1.frames, ")
    assert "allowed block.in, block.out, attn1.out, attn2.out, ffn.out, latent, " in message


def test_decoding_that_the_family_cannot_do_is_refused(lens, kit, tmp_path):
    lens.family = dataclasses.replace(lens.family, decode=None)
    assert _refused(lens, kit.ask(), tmp_path / "a.zarr", decode=True) == (
        "latents of family wan cannot be decoded here; got decode=True, allowed False; decode them with the pipeline's "
        "own autoencoder"
    )


def test_a_path_that_is_not_ours_is_not_touched(lens, kit, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(stores.StoreExists):
        lens.trace(kit.ask(), ["latent"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_complete_trace_is_not_overwritten(lens, kit, tmp_path):
    lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr")
    with pytest.raises(stores.StoreExists):
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr")


def test_default_ids_differ_where_requests_differ(lens, kit):
    ids = {lens.default_trace_id(kit.ask(**change)) for change in ({}, {"seed": 4}, {"prompt": "x"}, {"steps": 7})}
    assert len(ids) == 4
    assert lens.default_trace_id(kit.ask()) == lens.default_trace_id(kit.ask())
    assert all(trace_id.startswith(("seed3-", "seed4-")) for trace_id in ids)


def test_an_unknown_pipeline_names_the_families():
    with pytest.raises(UnknownModel) as caught:
        Lens(object())
    message = str(caught.value)
    assert message.startswith("no adapter knows this pipeline; got object, allowed wan: WanPipeline, ")
    assert message.endswith("; add a family through the entry-point group dit_lens.adapters")
    assert all(f"{family.name}: {', '.join(family.pipelines)} with" in message for family in families())


def test_experts_of_different_depth_are_refused(lens, kit, tmp_path):
    lens.pipeline.transformer_2.blocks = lens.pipeline.transformer_2.blocks[:2]
    message = _refused(lens, kit.ask(), tmp_path / "a.zarr", kind=UnknownModel)
    assert message == (
        "the experts share no layer axis; got transformer with 3, transformer_2 with 2 layers, allowed the same "
        "number; "
        "trace them as two pipelines"
    )


def test_a_store_under_a_file_is_refused_before_the_model_loads(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadOption) as caught:
        store_at(tmp_path / "notes.txt" / "a.zarr")
    assert "notes.txt' is a file" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

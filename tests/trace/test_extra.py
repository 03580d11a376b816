"""What ``extra`` may hold is known before anything is written."""

from __future__ import annotations

import pytest
import torch

import dit_lens_stores as stores
from dit_lens.adapters.extra import allowed_names, check_extra
from dit_lens.adapters.registry import families
from dit_lens.captures import Capture
from dit_lens.engine.errors import BadRequest, BadSelection, BadSize, OverBudget, UnknownCapture
from dit_lens.selection import Selection

ALLOWED = (
    "latents, prompt_embeds, negative_prompt_embeds, image_embeds, last_image, attention_kwargs, max_sequence_length"
)


def _refused(lens, request, path, captures=("latent",), kind=BadRequest, **options):
    with pytest.raises(kind) as caught:
        lens.trace(request, captures, path, decode=False, **options)
    assert not path.exists(), "nothing is written"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("prompt", "prompt"),
        ("negative_prompt", "negative_prompt"),
        ("image", "image"),
        ("height", "height"),
        ("width", "width"),
        ("num_frames", "frames"),
        ("num_inference_steps", "steps"),
        ("guidance_scale", "guidance"),
        ("guidance_scale_2", "guidance_2"),
        ("generator", "seed"),
    ],
)
def test_what_the_generation_says_itself_is_refused(lens, kit, tmp_path, name, field):
    request = kit.ask(extra={"max_sequence_length": 16, name: 1})
    assert _refused(lens, request, tmp_path / "a.zarr") == (
        f"extra names what the generation says itself; got {name!r}, allowed {ALLOWED}; give {field} itself"
    )
    with pytest.raises(BadRequest):
        lens.generate(request)


@pytest.mark.parametrize(
    "name",
    [
        "output_type",
        "return_dict",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
        "num_videos_per_prompt",
    ],
)
def test_what_a_trace_decides_itself_is_refused(lens, kit, tmp_path, name):
    assert _refused(lens, kit.ask(extra={name: 1}), tmp_path / "a.zarr") == (
        f"extra names what a trace decides itself; got {name!r}, allowed {ALLOWED}; leave it out"
    )


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ({"max_sequence_lenth": 3}, "names no argument of WanImageToVideoPipeline; got 'max_sequence_lenth', allowed "
         f"{ALLOWED}; did you mean 'max_sequence_length'?"),
        ({"zzz": 3}, f"got 'zzz', allowed {ALLOWED}; leave it out"),
        ({"self": 3}, "got 'self'"),
        (None, "extra is no set of named arguments; got NoneType, allowed a mapping with names as keys; write it as "
         "{'max_sequence_length': 64}"),
        ([("a", 1)], "got list, allowed a mapping"),
        ({1: "a"}, "got keys 1, allowed a mapping"),
        ({"max_sequence_length": "zz"}, "extra has no such max_sequence_length; got 'zz', allowed 1 to "
         "65536 tokens; leave it out for the pipeline's own"),
        ({"max_sequence_length": 0}, "got 0, allowed 1 to 65536 tokens"),
        ({"max_sequence_length": 10**17}, f"got {10**17}, allowed 1 to 65536 tokens"),
        ({"max_sequence_length": True}, "got True, allowed 1 to 65536 tokens"),
        ({"max_sequence_length": 8.0}, "got 8.0, allowed 1 to 65536 tokens"),
        ({"prompt_embeds": 3}, "extra has no such prompt_embeds; got int, allowed a tensor or None; give it in "
         "Python, or leave it out"),
        ({"prompt_embeds": torch.zeros(8)}, "got shape (8,), allowed one row, shape (1, ...); trace one prompt at a "
         "time"),
        ({"negative_prompt_embeds": torch.zeros(2, 8, 32)}, "got shape (2, 8, 32), allowed one row"),
        ({"latents": [[1]]}, "no such latents; got list"),
        ({"attention_kwargs": 3}, "extra has no such attention_kwargs; got 3, allowed a mapping; write it as "
         "{'scale': 1.0}"),
        ({"last_image": "/nope"}, "extra has no such last_image; got '/nope', allowed a PIL image or None; open it "
         "with PIL.Image.open in Python"),
    ],
)  # fmt: skip
def test_what_the_call_does_not_take_is_refused(lens, kit, tmp_path, extra, part):
    assert part in _refused(lens, kit.ask(extra=extra), tmp_path / "a.zarr")


@pytest.mark.parametrize("names", ["prompt", "prompt and its negative"])
def test_none_stands_for_embeddings(kit, names):
    lens = kit.look(kit.build("t2v"))
    words = {"prompt_embeds": torch.zeros(1, 8, 32), "negative_prompt_embeds": torch.zeros(1, 8, 32), "prompt": None}
    lens.check(kit.ask("t2v", extra=words if names == "prompt" else {**words, "negative_prompt": None}))


DOCUMENTED = {
    "wan-vace": {"video": [], "mask": [], "reference_images": [], "conditioning_scale": 1.0},
    "flux": {"guidance_scale": 3.5, "prompt_2": "x", "max_sequence_length": 8},
    "qwen-image": {"guidance_scale": 1.0},
    "hunyuan-video": {"guidance_scale": 6.0, "prompt_template": {}, "prompt_2": "x"},
    "ltx2": {"stg_scale": 1.0, "modality_scale": 2.0, "spatio_temporal_guidance_blocks": [1], "audio_stg_scale": 1.0},
    "kandinsky5": {"prompt_embeds_qwen": torch.zeros(1, 5, 8), "prompt_cu_seqlens": torch.tensor([0, 5])},
    "hunyuan-video-1.5": {"prompt_embeds_mask_2": torch.ones(1, 4)},
    "sana-video": {"use_resolution_binning": False},
    "latte": {"mask_feature": False, "enable_temporal_attentions": True},
}
OWNED = {
    "flux": "true_cfg_scale",
    "qwen-image": "num_images_per_prompt",
    "hunyuan-video": "true_cfg_scale",
    "ltx2": "guidance_scale",
    "sana-video": "frames",
    "latte": "video_length",
    "pixart": "callback_steps",
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_families_document_is_allowed(name):
    import diffusers

    family = next(family for family in families() if family.name == name)
    check_extra(object.__new__(getattr(diffusers, family.pipelines[0])), family, DOCUMENTED[name])


@pytest.mark.parametrize("name", OWNED)
def test_what_families_decide_is_refused(name):
    import diffusers

    family = next(family for family in families() if family.name == name)
    pipeline = object.__new__(getattr(diffusers, family.pipelines[0]))
    with pytest.raises(BadRequest, match="itself; got"):
        check_extra(pipeline, family, {OWNED[name]: 2})
    assert OWNED[name] not in allowed_names(pipeline, family)
    assert not {"self", "kwargs"} & set(allowed_names(pipeline, family))


@pytest.mark.parametrize(
    ("made", "kind", "message"),
    [
        (lambda: Capture(None), UnknownCapture, "capture has no such site; got None, allowed a text; write it as in "
         "Capture('block.out', 'project', argument='16')"),
        (lambda: Capture("block.out", []), UnknownCapture, "capture has no such reduction; got []"),
        (lambda: Capture("block.out", argument=True), UnknownCapture, "capture has no such argument; got True"),
        (lambda: Capture("block.out", select={"step": 0}), BadSelection, "capture has no such selection; got "
         "{'step': 0}, allowed a Selection; write it as in Selection(step='0:3')"),
        (lambda: Capture("block.out", "project", argument=3_000_000_000), UnknownCapture, "got '3000000000', allowed "
         "a number from 1 to 65536"),
        (lambda: Capture.parse("block.out:project:3000000000"), UnknownCapture, "allowed a number from 1 to 65536"),
        (lambda: Capture.parse("block.out:project:" + "9" * 5000), UnknownCapture, "a number from 1 to 65536"),
        (lambda: Capture.parse("block.out:project:٣"), UnknownCapture, "got '٣', allowed a number from 1"),
        (lambda: Capture.parse("block.out[step=٣]"), BadSelection, "got '٣', allowed a number"),
        (lambda: Capture.parse("block.out[step=0:٣]"), BadSelection, "got '0:٣', allowed a number"),
        (lambda: Selection(step="9" * 5000), BadSelection, "selection of step cannot be read"),
    ],
)  # fmt: skip
def test_captures_of_another_kind(made, kind, message):
    with pytest.raises(kind) as caught:
        made()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_argument_may_be_a_number():
    assert Capture("block.out", "project", argument=16) == Capture("block.out", "project", argument="16")


@pytest.mark.parametrize("captures", [[None], None, [3], 5])
def test_captures_that_are_none(lens, kit, tmp_path, captures):
    message = _refused(lens, kit.ask(), tmp_path / "a.zarr", captures, UnknownCapture)
    assert "allowed a text or a Capture; write it as in 'block.out:energy'" in message


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"trace_id": 5}, BadRequest, "the trace has no such name; got 5, allowed a text; leave it out, or write "
         "'maze-0'"),
        ({"budget": -1}, BadSize, "a budget cannot be read; got -1, allowed bytes from 0 up or a text; write it as "
         "'20GB'"),
        ({"budget": 2.5}, BadSize, "got 2.5"),
        ({"budget": True}, BadSize, "got True"),
        ({"budget": "20GX"}, BadSize, "a size cannot be read; got '20GX'"),
        ({"notes": {"seed": 7}}, BadRequest, "notes name an entry that the manifest has itself; got 'seed', allowed "
         "other names; rename it"),
        ({"notes": {"batch": 7}}, BadRequest, "got 'batch'"),
        ({"notes": {"model": 7}}, BadRequest, "got 'model'"),
        ({"notes": {"latents": 7}}, BadRequest, "got 'latents'"),
        ({"notes": [1]}, BadRequest, "notes are no named entries; got [1], allowed a mapping with texts as keys"),
        ({"notes": {1: 2}}, BadRequest, "notes are no named entries; got {1: 2}"),
    ],
)  # fmt: skip
def test_options_of_another_kind(lens, kit, tmp_path, options, kind, message):
    assert message in _refused(lens, kit.ask(), tmp_path / "a.zarr", kind=kind, **options)


def test_a_request_of_another_kind(lens, tmp_path):
    assert "the request is none; got str, allowed a Generation" in _refused(lens, "Draw.", tmp_path / "a.zarr")


def test_a_budget_may_be_a_text(lens, kit, tmp_path):
    assert _refused(lens, kit.ask(), tmp_path / "a.zarr", kind=OverBudget, budget="1kB").endswith("or raise the budget")
    trace_id = lens.trace(kit.ask(), ["latent"], tmp_path / "b.zarr", budget="1GB", notes={"why": "tests"}).trace_id
    assert stores.open_store(tmp_path / "b.zarr")[trace_id].manifest["why"] == "tests"


def test_a_taken_name_says_what_it_was_made_of(lens, kit, tmp_path):
    path = tmp_path / "a.zarr"
    lens.trace(kit.ask(), ["latent"], path, decode=False)
    with pytest.raises(stores.StoreExists) as caught:
        lens.trace(kit.ask(), ["block.out:energy"], path, decode=False)
    assert "the id was made of the request alone, not of its captures, its batch or the model" in str(caught.value)
    assert str(caught.value).endswith("give trace_id=... to record the request once more")
    lens.trace(kit.ask(), ["block.out:energy"], path, decode=False, trace_id="once-more")
    with pytest.raises(stores.StoreExists) as caught:
        lens.trace(kit.ask(), ["block.out:energy"], path, decode=False, trace_id="once-more")
    assert "trace_id=..." not in str(caught.value)

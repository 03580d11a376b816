"""What Wan's pipelines would round, ignore or fail at half-way is refused before anything is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dit_lens.engine.errors import BadRequest, UnknownModel

from .wan_kept import trace
from .wan_variants import ask, look, picture

pytestmark = pytest.mark.usefixtures("one_thread")

VIDEO = [picture(number) for number in range(9)]
BY_REFERENCES = {
    "none": (None, 0),
    "one": (picture(7), 1),
    "a list": ([picture(7), picture(8)], 2),
    "a tuple": ((picture(7),), 1),
    "the list of the one video": ([[picture(7), picture(8)]], 2),
}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("v2v", {"extra": {"max_sequence_length": 8}}, "WanVideoToVideoPipeline draws from a video; got none, allowed "
         "a list of PIL images; give it as extra={'video': [...]}"),
        ("v2v", {"extra": {"video": np.zeros((9, 32, 48, 3))}}, "WanVideoToVideoPipeline draws from a video; got "
         "ndarray, allowed a list of PIL images; give it as extra={'video': [...]}"),
        ("v2v", {"extra": {"video": VIDEO[:5]}}, "the video to draw from has another length than the one to draw; got "
         "5 frames, allowed 9; give frames=5, or a video of that length"),
        ("vace", {"extra": {"video": VIDEO[:5]}}, "the video to draw from has another length than the one to draw; got "
         "5 frames, allowed 9; give frames=5, or a video of that length"),
        ("v2v", {"extra": {"video": VIDEO, "strength": 1.5}}, "WanVideoToVideoPipeline has no such strength; got 1.5, "
         "allowed 0 to 1; leave it out for the pipeline's own"),
        ("v2v", {"extra": {"video": VIDEO, "strength": "much"}}, "WanVideoToVideoPipeline has no such strength; got "
         "'much', allowed 0 to 1; leave it out for the pipeline's own"),
        ("v2v", {"extra": {"video": VIDEO, "strength": 0.1}}, "no step is left to WanVideoToVideoPipeline; got 6 steps "
         "at strength 0.1, allowed steps x strength of 1 or more; raise one of them"),
        ("v2v", {"guidance_2": 2.0}, "guidance_2 needs a second expert; got 2.0, allowed None for this model; leave it "
         "out"),
        ("t2v-a14b", {"guidance": 1.0, "guidance_2": 3.0}, "the pipeline guides neither expert when guidance is off; "
         "got guidance 1.0 with guidance_2 3.0, allowed guidance above 1; raise guidance, or leave guidance_2 out"),
        ("vace", {"image": picture()}, "WanVACEPipeline draws from text alone; got an image, allowed None; leave it "
         "out"),
        ("ti2v-5b-i2v", {"extra": {"last_image": picture(9)}}, "this model draws from a first frame alone, and would "
         "leave a last one aside; got last_image, allowed None; leave it out"),
        ("i2v-2.1", {"extra": {"max_sequence_length": 226}}, "this model's cross-attention would mix up the prompt and "
         "the image; got a prompt of 226 tokens, allowed 512; leave max_sequence_length out"),
        ("ti2v-5b", {"height": 48}, "the height of the video does not fit the model; got 48, allowed multiples of 32; "
         "resize the picture to 32 or 64 pixels"),
        ("vace", {"extra": {"reference_images": []}}, "WanVACEPipeline has no such reference_images; got an empty "
         "list, allowed a PIL image or a list of them; leave it out"),
    ],
)  # fmt: skip
def test_refusals(tmp_path, name, changes, message):
    lens = look(name)
    for run in (lens.generate, lambda request: lens.trace(request, ["latent"], tmp_path / "a.zarr")):
        with pytest.raises(BadRequest) as caught:
            run(ask(name, **changes))
        assert str(caught.value) == message
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("missing", ["transformer", "transformer_2"])
def test_a_pipeline_without_one_of_its_experts_is_refused(tmp_path, missing):
    lens = look("t2v-a14b")
    setattr(lens.pipeline, missing, None)
    with pytest.raises(BadRequest) as caught:
        lens.trace(ask("t2v-a14b"), ["latent"], tmp_path / "a.zarr")
    assert str(caught.value) == (
        f"the pipeline shares its steps between two experts; got no {missing}, allowed both; load it, or set "
        f"boundary_ratio to None"
    )
    assert not (tmp_path / "a.zarr").exists()


def test_one_module_as_both_experts_is_refused(tmp_path):
    lens = look("t2v-a14b")
    lens.pipeline.transformer_2 = lens.pipeline.transformer
    with pytest.raises(UnknownModel) as caught:
        lens.trace(ask("t2v-a14b"), ["latent"], tmp_path / "a.zarr")
    assert str(caught.value) == (
        "one denoiser is several experts; got the same module as transformer and transformer_2, allowed a module for "
        "each; load a second one, or leave all but one out"
    )
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("given", BY_REFERENCES)
def test_reference_images_come_as_vace_takes_them(given):
    images, count = BY_REFERENCES[given]
    request = ask("vace", extra={"max_sequence_length": 8, "reference_images": images})
    kept, layout, latents = trace(look("vace"), request, ["latent", "block.out:energy"])
    assert layout.tokens == (3 + count, 2, 3)
    assert latents.shape == (1, 16, 3 + count, 4, 6)
    assert kept.of("latent.raw")[None, 0, None].shape == (16, 3 + count, 4, 6)


def test_a_prompt_longer_than_planned_would_be_noticed():
    """Embeddings of their own length give the words of the prompt that number."""
    words = {name: torch.zeros(1, 11, 16) for name in ("prompt_embeds", "negative_prompt_embeds")}
    kept, layout, _ = trace(look("t2v-2.1"), ask("t2v-2.1", extra=words), ["attn2.words", "attn2.k"])
    assert layout.text_tokens == 11
    assert kept.of("attn2.words.raw")["cond", 0, 0].shape == (3, 6, 2, 11)

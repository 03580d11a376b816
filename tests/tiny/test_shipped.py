"""The checkpoint in the package is what its card and the design say: format, size, and that it solves unseen puzzles.

The card has the shares measured over many puzzles; here a few unseen ones of each kind keep the claims honest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image

import dit_lens
from dit_lens.captures import SITES
from dit_lens.puzzles import unseen
from dit_lens.puzzles.grounding import other_prompt
from dit_lens.tiny import WEIGHTS
from dit_lens.tiny.train.autoencoder import measure_autoencoder
from dit_lens.tiny.train.measure import generate_batch, measure_solving

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def pipeline() -> WanImageToVideoPipeline:
    pipe = WanImageToVideoPipeline.from_pretrained(WEIGHTS)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_all_weights_together_stay_under_24_megabytes() -> None:
    assert sum(path.stat().st_size for path in Path(WEIGHTS).rglob("*.safetensors")) < 24 * MEGABYTE


def test_it_has_the_format_of_wan22(pipeline: WanImageToVideoPipeline) -> None:
    assert pipeline.config.boundary_ratio == 0.9
    assert type(pipeline.scheduler).__name__ == "UniPCMultistepScheduler"
    assert (pipeline.scheduler.config.use_flow_sigmas, pipeline.scheduler.config.flow_shift) == (True, 5.0)
    assert type(pipeline.vae).__name__ == "AutoencoderKLWan"
    assert type(pipeline.text_encoder).__name__ == "UMT5EncoderModel"
    for expert in (pipeline.transformer, pipeline.transformer_2):
        assert type(expert).__name__ == "WanTransformer3DModel"
        assert len(expert.blocks) >= 10


def test_each_expert_was_trained_for_its_own_range(pipeline: WanImageToVideoPipeline) -> None:
    pairs = zip(pipeline.transformer.parameters(), pipeline.transformer_2.parameters(), strict=True)
    assert sum(not torch.equal(high, low) for high, low in pairs) > 100


@pytest.mark.slow
def test_the_autoencoder_shows_every_puzzle(pipeline: WanImageToVideoPipeline) -> None:
    measured = measure_autoencoder(pipeline.vae, 4)
    assert measured.pop("psnr") >= 33
    assert all(share >= 0.75 for share in measured.values()), measured


@pytest.mark.parametrize(
    ("task", "variant", "size"),
    [
        pytest.param("maze", "plain", 4, marks=pytest.mark.slow),
        ("maze", "plain", 6),
        pytest.param("fork", "free", 7, marks=pytest.mark.slow),
        pytest.param("fork", "prompt", None, marks=pytest.mark.slow),
        pytest.param("fork", "cue", None, marks=pytest.mark.slow),
        pytest.param("grounding", "plain", None, marks=pytest.mark.slow),
        ("occlusion", "plain", None),
    ],
)
def test_it_solves_unseen_puzzles(pipeline: WanImageToVideoPipeline, task: str, variant: str, size: int | None) -> None:
    assert measure_solving(pipeline, [unseen(task, i, variant, size) for i in range(6)]).solved >= 5 / 6


def test_at_a_fork_the_steps_choose(pipeline: WanImageToVideoPipeline) -> None:
    rates = measure_solving(pipeline, [unseen("fork", i, size=5) for i in range(8)])
    assert rates.solved >= 6 / 8
    assert rates.first_step <= rates.solved - 0.5, "x0 of step 0 should still be a mixture of both routes"


def test_the_prompt_decides_what_is_marked(pipeline: WanImageToVideoPipeline) -> None:
    scenes = [unseen("grounding", i) for i in range(4)]
    others = [other_prompt(scene) for scene in scenes]
    assert measure_solving(pipeline, [*scenes, *others]).solved >= 7 / 8


def test_measuring_in_batches_gives_what_the_pipeline_gives(pipeline: WanImageToVideoPipeline) -> None:
    puzzle = unseen("grounding", 1)
    expected = pipeline(
        image=Image.fromarray(puzzle.first_frame()),
        prompt=puzzle.prompt,
        negative_prompt="",
        height=64,
        width=64,
        num_frames=17,
        num_inference_steps=6,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).frames
    both = [unseen("maze", 0, size=4), puzzle]
    got, _ = generate_batch(pipeline, both, steps=6, guidance=3.0, seed=4)
    torch.testing.assert_close(got[1:], expected, rtol=0, atol=2e-3)


def test_a_trace_of_every_site_changes_nothing(tmp_path: Path) -> None:
    puzzle = unseen("fork", 2, size=5)
    lens = dit_lens.load("tiny-wan")
    request = dit_lens.Generation(prompt=puzzle.prompt, image=Image.fromarray(puzzle.first_frame()), seed=3, steps=6)
    before = lens.generate(request)
    traced = lens.trace(request, [f"{site}:raw" for site in SITES], tmp_path / "all.zarr")
    after = lens.generate(request)
    assert torch.equal(before.latents, traced.latents)
    assert torch.equal(before.latents, after.latents)
    trace = dit_lens.open(tmp_path / "all.zarr")[traced.trace_id]
    last = torch.from_numpy(trace["x0.guided.raw"].isel(step=-1).values)
    assert torch.equal(last, traced.latents[0])
    assert np.array_equal(trace["video"].values, before.video)

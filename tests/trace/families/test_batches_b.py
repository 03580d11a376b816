"""Batches of pipelines that do not copy everything: each row is its request alone up to rounding, or none is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dit_lens.engine.errors import BadRequest
from dit_lens.lens import Lens
from dit_lens_stores import open_store

from .build_a import TINY
from .build_b import CASES

BY_NAME = {case.pipeline: case for case in CASES}
CAPTURES = ("latent", "velocity", "block.out:energy")
TAKEN = "makes no copies of embeddings; got them with a batch of 2, allowed a batch of 1; give prompts as words, or "

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("start", ["image", "video"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_cosmos_starts_every_row(guidance: float, start: str, tmp_path: Path) -> None:
    case = BY_NAME["Cosmos2VideoToWorldPipeline"]
    lens, request = Lens(case.build()), case.ask(guidance=guidance)
    if start == "video":
        size = (case.size.width, case.size.height)
        frames = [Image.new("RGB", size, (20 * number, 9, 9)) for number in range(case.size.frames)]
        request = replace(request, image=None, extra={**request.extra, "video": frames})
    rows = [request, replace(request, seed=5)]
    batch = lens.trace_batch(rows, CAPTURES, tmp_path / "both.zarr", decode=False)
    both, alone = open_store(tmp_path / "both.zarr"), tmp_path / "alone.zarr"
    for row, result in zip(rows, batch, strict=True):
        one = lens.trace(row, CAPTURES, alone, decode=False)
        for array in ("latent.raw", "velocity.raw", "block.out.energy"):
            together, by_itself = both[result.trace_id or ""][array], open_store(alone)[one.trace_id or ""][array]
            np.testing.assert_allclose(together.values, by_itself.values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_sd3_makes_no_copies_of_embeddings(guidance: float, tmp_path: Path) -> None:
    case = BY_NAME["StableDiffusion3Pipeline"]
    request = case.ask(guidance=guidance)
    with pytest.raises(BadRequest, match=f"^StableDiffusion3Pipeline {TAKEN}"):
        Lens(case.build()).trace_batch([request, replace(request, seed=5)], CAPTURES, tmp_path / "a.zarr")
    assert not list(tmp_path.iterdir())


def test_hunyuan_video_15_makes_no_copies_of_embeddings(tmp_path: Path) -> None:
    tiny = TINY["hunyuan-video-1.5"]
    with pytest.raises(BadRequest, match=f"^HunyuanVideo15Pipeline {TAKEN}"):
        Lens(tiny.build()).trace_batch([tiny.ask(), tiny.ask(seed=5)], CAPTURES, tmp_path / "a.zarr")
    assert not list(tmp_path.iterdir())


def test_a_second_prompt_is_that_of_every_row(tmp_path: Path) -> None:
    tiny = TINY["hunyuan-video"]
    lens, extra = Lens(tiny.build()), {**tiny.extra, "prompt_2": "the cat"}
    rows = [tiny.ask(extra=extra), tiny.ask(extra=extra, seed=5, prompt="the dog")]
    batch = lens.trace_batch(rows, ["velocity"], tmp_path / "both.zarr", decode=False)
    for row, result in zip(rows, batch, strict=True):
        alone = lens.generate(row, decode=False).latents
        np.testing.assert_allclose(result.latents.numpy(), alone.numpy(), rtol=1e-2, atol=2e-3)

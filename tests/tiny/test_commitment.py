"""When a fork is decided, told from readings that were made up step by step."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dit_lens.puzzles import unseen
from dit_lens.puzzles.maze import draw_frame
from dit_lens.tiny.train import commitment
from dit_lens.tiny.train.autoencoder import build_autoencoder
from dit_lens.tiny.train.card import _fork_facts
from dit_lens.tiny.train.latents import encode
from dit_lens.tiny.train.sampling import clip_tensor

FORKS = [unseen("fork", index) for index in range(3)]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three forks over four steps; what is decoded is drawn by the puzzles themselves.

    The first shows both routes, then one to the end. The second changes its mind once. The third never takes any.
    """
    course = {0: ["both", "a", "a", "a", "a"], 1: ["a", "a", "b", "b", "b"], 2: ["none"] * 5}

    def denoise(*_: Any) -> Any:
        for step in range(4):
            yield 1 - step / 4, step, step + 1

    def decode(_pipeline: Any, step: int) -> list[Any]:
        return [_video(row, course[row][step]) for row in range(3)]

    monkeypatch.setattr(commitment, "denoise_batch", denoise)
    monkeypatch.setattr(commitment, "decode_batch", decode)
    monkeypatch.setattr(commitment, "latent_shares", lambda *_: [0.5, 0.9, 0.21])


def _video(row: int, shown: str) -> Any:
    fork = FORKS[row]
    a, b = (draw_frame(fork, route).astype(float) for route in fork.routes)
    picture = {"a": a, "b": b, "both": (a + b) / 2, "none": fork.first_frame()}[shown]
    return np.repeat(picture[None].astype("uint8"), 17, axis=0)


@pytest.mark.usefixtures("scripted")
def test_a_fork_is_final_from_the_step_after_which_nothing_else_is_read() -> None:
    measured = commitment.measure_commitment(None, 3, 4)  # type: ignore[arg-type]
    assert measured["sigmas"] == [1.0, 0.75, 0.5, 0.25]
    assert measured["both"] == 1
    assert measured["final"] == [0, 1, 1, 0]
    assert sum(measured["answers"].values()) == 2
    facts = _fork_facts(measured)
    assert facts["commitment"].splitlines()[2:] == ["| 1 | 0.750 | 1 | 1 |", "| 2 | 0.500 | 1 | 2 |"]
    assert (facts["forks"], facts["both"], facts["mixed"], facts["whole"]) == (3, 1, 2, 2)


def test_a_latent_holds_as_much_of_each_route_as_was_mixed_into_it() -> None:
    vae = build_autoencoder().eval()
    pipeline: Any = SimpleNamespace(vae=vae)
    clips = [torch.stack([clip_tensor(replace(fork, drawn=route)) for fork in FORKS]) for route in (0, 1)]
    with torch.no_grad():
        first, second = (encode(vae, clip) for clip in clips)
    across = torch.randn(first.shape, generator=torch.Generator().manual_seed(0))
    way = first - second
    across -= way * (across * way).sum((1, 2, 3, 4), keepdim=True) / (way * way).sum((1, 2, 3, 4), keepdim=True)
    for share in (0.0, 0.3, 1.0):
        mixed = share * first + (1 - share) * second + 10 * across
        assert commitment.latent_shares(pipeline, FORKS, mixed) == pytest.approx([share] * 3, abs=1e-3)

"""The batched sampler of the page keeps the x0 that a trace would have stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import dit_lens
from anatomy.model import load, request, schedule
from anatomy.parts.swaps import under_other_prompt
from anatomy.sampling import Cut, draw, draw_watched
from dit_lens.puzzles import unseen


def test_watched_x0_is_the_traced_one(tmp_path: Path) -> None:
    """Up to rounding: a batch adds in another order."""
    puzzles = [unseen("maze", index, size=4) for index in (0, 1)]
    final, seen = draw_watched(puzzles, steps=3, guidance=3.0, seed=5)
    result = load().trace(request(puzzles[1], 6, 3, 3.0), ["x0.guided"], tmp_path / "a.zarr")
    trace = dit_lens.open(tmp_path / "a.zarr")[str(result.trace_id)]
    traced = trace["x0.guided.raw"].transpose("step", "latent_channel", "frame", "h", "w")
    for step, x0 in enumerate(seen):
        np.testing.assert_allclose(x0[1].numpy(), traced.isel(step=step).values, rtol=0, atol=2e-3)
    scale = trace["x0.guided.raw"].values.std()
    assert scale > 0.5
    torch.testing.assert_close(final[1], torch.from_numpy(traced.isel(step=-1).values.copy()), rtol=0, atol=2e-3)
    told = [(at["step"], at["expert"]) for at in schedule(3)]
    assert told == list(zip(trace["x0.guided.raw"]["step"].values.tolist(), traced["expert"].values, strict=True))
    np.testing.assert_allclose([at["sigma"] for at in schedule(3)], traced["sigma"].values, atol=1e-4)


def test_watching_changes_nothing() -> None:
    pipeline = load().pipeline
    before = pipeline.scheduler
    puzzles = [unseen("fork", 0)]
    first, _ = draw_watched(puzzles, 2, 1.0, 0)
    again, seen = draw_watched(puzzles, 2, 1.0, 0)
    assert torch.equal(first, again)
    assert len(seen) == 2
    assert pipeline.scheduler is before


def test_a_cut_puzzle_gives_a_short_video() -> None:
    assert [video.shape for video in draw([Cut(unseen("maze", 0), 9)], 1, 1.0, 0)] == [(9, 64, 64, 3)]


def test_the_other_prompt_asks_for_something_else_in_the_same_picture() -> None:
    for task, variant in (("grounding", "plain"), ("fork", "prompt")):
        puzzle = unseen(task, 0, variant)
        other = under_other_prompt(puzzle)
        assert (other.first_frame() == puzzle.first_frame()).all()
        assert other.prompt != puzzle.prompt
        assert other.answer != puzzle.answer

"""What ``generate`` keeps in memory is what ``trace`` writes, number for number and label for label."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dit_lens
from dit_lens.engine import keeper
from dit_lens.engine.errors import BadSelection, OverBudget

CAPTURES = [
    "block.out:raw[layer=1,frame=0]",
    "block.out:raw@bits[step=1]",
    "block.out:energy",
    "attn1.out:mean:frame+token",
    "block.in:energy@float16",
    "attn1.frames",
    "latent",
    "velocity",
    "x0.guided",
]


EDITS = ("block.out:scale:0.5[layer=1]", "state:scale:0.5[step=1,frame=1]")


@pytest.mark.parametrize("edits", [(), EDITS], ids=["plain", "edited"])
def test_it_is_what_a_trace_holds(kit, lens, tmp_path, edits):
    request, captures = kit.ask(steps=3), ["block.out:raw", *CAPTURES[2:]]
    traced = lens.trace(request, captures, tmp_path / "a.zarr", edits=edits, decode=False)
    kept = lens.generate(request, edits=edits, keep=captures, decode=False)
    assert torch.equal(kept.latents, traced.latents)
    assert kept.resets == traced.resets
    trace = dit_lens.open(tmp_path / "a.zarr")[traced.trace_id]
    assert set(kept.kept) == set(trace.arrays) - {"video"}
    for name, values in kept.kept.items():
        written = trace[name]
        assert values.dims == written.dims
        np.testing.assert_array_equal(values.values, written.values)
        for coordinate in set(written.coords) - {"latent_sha256"}:  # what a run that resumes is held against
            np.testing.assert_array_equal(values[coordinate].values, written[coordinate].values)


@pytest.mark.parametrize("capture", CAPTURES)
def test_selections_and_dtypes(kit, lens, tmp_path, capture):
    request = kit.ask(steps=3)
    traced = lens.trace(request, [capture], tmp_path / "a.zarr", decode=False)
    ((name, kept),) = lens.generate(request, keep=[capture], decode=False).kept.items()
    written = dit_lens.open(tmp_path / "a.zarr")[traced.trace_id][name]
    np.testing.assert_array_equal(kept.values, written.values)
    assert not np.isnan(kept.values).any()


def test_bfloat16_is_kept_exactly(kit, pipeline, tmp_path):
    lens = kit.look(pipeline.to(torch.bfloat16))
    request = kit.ask(steps=2)
    traced = lens.trace(request, ["block.out"], tmp_path / "a.zarr", decode=False)
    kept = lens.generate(request, keep=["block.out"], decode=False).kept["block.out.raw"]
    np.testing.assert_array_equal(kept.values, dit_lens.open(tmp_path / "a.zarr")[traced.trace_id]["block.out.raw"])


def test_every_row_of_a_batch_has_its_own(kit, lens):
    requests = [kit.ask(steps=2, seed=seed) for seed in (0, 1)]
    rows = lens.generate_batch(requests, keep=["latent"], decode=False)
    first, second = (row.kept["latent.raw"] for row in rows)
    assert not np.array_equal(first.values, second.values)


def test_a_run_that_stops_early_keeps_the_steps_that_ran(kit, lens):
    kept = lens.generate(kit.ask(steps=3), keep=["x0.guided"], stop_after=1, decode=False).kept["x0.guided.raw"]
    assert kept["step"].values.tolist() == [0, 1]
    assert kept["sigma"].values[0] > kept["sigma"].values[1]


def test_without_a_wish_nothing_is_kept(kit, lens):
    assert lens.generate(kit.ask(steps=2), decode=False).kept == {}


def test_more_than_memory_may_hold_is_refused_before_the_model_runs(kit, lens, monkeypatch):
    monkeypatch.setattr(keeper, "LIMIT_BYTES", 1000)
    with pytest.raises(OverBudget, match="allowed 1 kB"):
        lens.generate(kit.ask(), keep=["block.out"])
    monkeypatch.undo()
    assert keeper.LIMIT_BYTES == 2**30


def test_what_is_not_there_is_refused(kit, lens):
    with pytest.raises(BadSelection, match="layer"):
        lens.generate(kit.ask(), keep=["block.out[layer=99]"])

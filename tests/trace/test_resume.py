"""A trace that was stopped is resumed by the same call, ends with the bytes of one run, and never mixes two."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dit_lens_stores as stores
from dit_lens.engine.recorder import Recorder, hash_latents
from dit_lens.errors import IncompleteTrace, OtherSettings, StoreExists
from dit_lens_stores.log import log_of

CAPTURES = ["block.out:energy[branch=cond]", "latent", "x0.guided", "attn1.frames", "block.out@bits[step=1:4,layer=1]"]


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def stop_after(step: int, error: type[BaseException] = KeyboardInterrupt) -> Any:
    def on_step(done: int, total: int) -> None:
        if done == step:
            time.sleep(0.3)  # what is queued is written
            raise error("stopped")

    return on_step


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_lens.engine.flow.LINGER_SECONDS", 0.05)


def log(path: Path) -> list[tuple[str, Any]]:
    lines = [json.loads(line) for line in log_of(path).read_text().splitlines()]
    return [(line["event"], line.get("kept_steps", line.get("reason", line.get("anew")))) for line in lines]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None]]:
    """Array and step of everything that is handed to a writer."""
    seen: list[tuple[str, int | None]] = []
    write = stores.TraceWriter.write

    def watched(self: Any, array: str, event: Any, values: Any, **options: Any) -> None:
        seen.append((array, event.get("step")))
        write(self, array, event, values, **options)

    monkeypatch.setattr(stores.TraceWriter, "write", watched)
    return seen


def shake(monkeypatch: pytest.MonkeyPatch, from_step: int) -> None:
    """Let latents differ in one bit from a step on, as a kernel that sums in another order would."""
    note = Recorder.note_latents

    def other(self: Recorder, step: int, latents: torch.Tensor) -> None:
        changed = latents.clone()
        if step >= from_step:
            changed.view(-1)[0] = torch.nextafter(changed.view(-1)[0], torch.tensor(9e9))
        note(self, step, changed)

    monkeypatch.setattr(Recorder, "note_latents", other)


def test_two_runs_write_the_same_bytes_and_their_latents(lens, kit, tmp_path):
    for name in "ab":
        ran = lens.trace(kit.ask(), CAPTURES, tmp_path / name / "s.zarr", trace_id="t0")
        assert ran.anew is None
    assert content(tmp_path / "a" / "s.zarr") == content(tmp_path / "b" / "s.zarr")
    trace = stores.open_store(tmp_path / "a" / "s.zarr")["t0"]
    starts = trace["latent.raw"].values
    hashes = [hash_latents(torch.from_numpy(np.array(latent))) for latent in starts]
    assert trace.manifest["latents"][:-1] == trace["latent.raw"].latent_sha256.values.tolist() == hashes
    assert trace.manifest["latents"][-1] == hash_latents(ran.latents[0])
    assert "seconds" not in trace.manifest
    last = json.loads(log_of(tmp_path / "a" / "s.zarr").read_text().splitlines()[-1])
    assert (last["event"], last["trace"], last["traces"]) == ("ran", "t0", 1)
    assert last["seconds"] > 0
    assert last["bytes_per_second"] > 0
    assert last["waited"] >= 0


def test_the_hash_says_dtype_shape_and_bytes():
    values = torch.arange(4, dtype=torch.bfloat16).reshape(2, 2)
    expected = hashlib.sha256(b"bfloat16 [2, 2]\n" + values.view(torch.uint8).numpy().tobytes()).hexdigest()
    assert hash_latents(values) == hash_latents(values.T.contiguous().T) == expected
    assert len({expected, hash_latents(values.float()), hash_latents(values.reshape(4))}) == 3


@pytest.mark.parametrize("step", [1, 2, 4, 6])
def test_an_interrupted_trace_is_resumed(lens, kit, tmp_path, written, step):
    path = tmp_path / "s.zarr"
    lens.trace(kit.ask(), CAPTURES, tmp_path / "whole" / "s.zarr", trace_id="t0")
    with pytest.raises(KeyboardInterrupt):
        lens.trace(kit.ask(), CAPTURES, path, trace_id="t0", on_step=stop_after(step))
    assert stores.open_store(path).status("t0") == "failed"
    written.clear()
    assert lens.trace(kit.ask(), CAPTURES, path, trace_id="t0").anew is None
    assert content(path) == content(tmp_path / "whole" / "s.zarr")
    kept = {1: 0, 6: 6}.get(step, step - 1)  # what a step has left is seen when the next one ends
    assert [value for event, value in log(path) if event == "resume"] == [kept] * (kept > 0)
    assert {at for _, at in written if at is not None} == set(range(kept, 6))


def test_a_run_with_other_latents_records_anew_and_says_so(lens, kit, tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    with pytest.raises(KeyboardInterrupt):
        lens.trace(kit.ask(), CAPTURES, path, trace_id="t0", on_step=stop_after(4))
    shake(monkeypatch, 2)
    again = lens.trace(kit.ask(), CAPTURES, path, trace_id="t0")
    assert again.anew == (
        f"resuming trace 't0' in '{path}' failed at step 2; got other latents than the run that began it, allowed the "
        f"same bits; record the trace anew"
    )
    lens.trace(kit.ask(), CAPTURES, tmp_path / "whole" / "s.zarr", trace_id="t0")
    assert content(path) == content(tmp_path / "whole" / "s.zarr")
    told = ["begin", "failed", "resume", "failed", "anew", "begin", "complete", "ran"]
    assert [event for event, _ in log(path)] == told
    assert ("anew", again.anew) in log(path)


def test_of_a_batch_each_trace_is_resumed_or_recorded_anew(lens, kit, tmp_path, monkeypatch):
    requests, names = [kit.ask(seed=seed) for seed in (1, 2)], ["a", "b"]
    path = tmp_path / "s.zarr"
    with pytest.raises(KeyboardInterrupt):
        lens.trace_batch(requests, CAPTURES, path, trace_ids=names, on_step=stop_after(4))
    note = Recorder.note_latents

    def other(self: Recorder, step: int, latents: torch.Tensor) -> None:
        note(self, step, latents + (step == 3 and self._writer.trace_id == "b"))

    monkeypatch.setattr(Recorder, "note_latents", other)
    first, second = lens.trace_batch(requests, CAPTURES, path, trace_ids=names)
    assert first.anew is None
    assert second.anew is not None
    assert "trace 'b'" in second.anew
    lens.trace_batch(requests, CAPTURES, tmp_path / "whole" / "s.zarr", trace_ids=names)
    assert content(path) == content(tmp_path / "whole" / "s.zarr")


def test_a_failed_trace_is_resumed(lens, kit, tmp_path, monkeypatch):
    """The second expert skipped a layer: the steps of the first are whole, and the same in both runs."""
    path = tmp_path / "s.zarr"
    with monkeypatch.context() as patch:
        block = lens.pipeline.transformer_2.blocks[1]
        patch.setattr(type(lens.pipeline.transformer_2), "forward", _skipping(block))
        with pytest.raises(IncompleteTrace):
            lens.trace(kit.ask(), CAPTURES, path, trace_id="t0", decode=False)
    assert stores.open_store(path).status("t0") == "failed"
    assert lens.trace(kit.ask(), CAPTURES, path, trace_id="t0", decode=False).anew is None
    assert ("resume", 3) in log(path)
    lens.trace(kit.ask(), CAPTURES, tmp_path / "whole" / "s.zarr", trace_id="t0", decode=False)
    assert content(path) == content(tmp_path / "whole" / "s.zarr")


def _skipping(block: Any) -> Any:
    from diffusers import WanTransformer3DModel

    real = WanTransformer3DModel.forward

    def forward(self: Any, *args: Any, **options: Any) -> Any:
        blocks = self.blocks
        self.blocks = torch.nn.ModuleList(one for one in blocks if one is not block)
        try:
            return real(self, *args, **options)
        finally:
            self.blocks = blocks

    return forward


def test_other_settings_are_refused_before_anything_runs(lens, kit, tmp_path):
    path = tmp_path / "s.zarr"
    with pytest.raises(KeyboardInterrupt):
        lens.trace(kit.ask(), CAPTURES, path, trace_id="t0", on_step=stop_after(3))
    before = content(path)
    with pytest.raises(OtherSettings, match=r"got guidance 2\.0, allowed 3\.0; use the same settings"):
        lens.trace(kit.ask(guidance=2.0), CAPTURES, path, trace_id="t0")
    with pytest.raises(OtherSettings, match="got captures"):
        lens.trace(kit.ask(), CAPTURES[:-1], path, trace_id="t0")
    with torch.no_grad():
        lens.pipeline.transformer.proj_out.bias += 1
    with pytest.raises(OtherSettings, match=r"got another weights_sha256\.transformer, allowed the same"):
        lens.trace(kit.ask(), CAPTURES, path, trace_id="t0")
    assert content(path) == before


def test_of_a_batch_none_is_left_running_if_one_cannot_begin(lens, kit, tmp_path):
    path = tmp_path / "s.zarr"
    lens.trace(kit.ask(seed=2), ["latent"], path, trace_id="b")
    with pytest.raises(StoreExists):
        lens.trace_batch([kit.ask(seed=1), kit.ask(seed=2)], ["latent"], path, trace_ids=["a", "b"])
    store = stores.open_store(path)
    assert (store.status("a"), store.status("b")) == ("failed", "complete")
    assert store.get("a", partial=True).reason == "another trace of the run could not be begun: StoreExists"

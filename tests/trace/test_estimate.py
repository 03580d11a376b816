"""Plans without weights: what they count is what a trace writes, and what plain arithmetic says."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import dit_lens_stores as stores
from dit_lens import models
from dit_lens.describing import describe, describe_layers
from dit_lens.engine.arrays import array_specs
from dit_lens.engine.calibration import WRITTEN_BYTES, Rates, calibrate
from dit_lens.engine.disk import planned_bytes
from dit_lens.engine.errors import UnknownModel, Untraceable
from dit_lens.engine.flops import call_flops, capture_flops
from dit_lens.estimate import estimate
from dit_lens.generation import Generation, Size
from dit_lens.lens import Lens, Origin
from dit_lens.skeleton import build_skeleton

from .families.build_a import TINY
from .families.build_b import CASES

RATES = Rates(1e9, 1e9, 0.0, 1e9, 0.0, "cpu", "float32")
A14B = {
    "num_layers": 40,
    "num_attention_heads": 40,
    "attention_head_dim": 128,
    "patch_size": [1, 2, 2],
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 13824,
    "rope_max_seq_len": 1024,
}
"""What the configuration of a denoiser of Wan2.2-A14B says."""


@pytest.fixture(scope="module")
def folder(kit, tmp_path_factory) -> Path:
    """A tiny model as diffusers saves it, its weights taken away."""
    path = tmp_path_factory.mktemp("models") / "no-weights"
    kit.build().save_pretrained(path)
    return without_weights(path)


def without_weights(path: Path) -> Path:
    for file in path.rglob("*.safetensors"):
        file.unlink()
    return path


@pytest.fixture(scope="module")
def large(folder, tmp_path_factory) -> Path:
    """Configurations as large as those of Wan2.2-T2V-A14B; a pipeline from text needs no first frame."""
    path = tmp_path_factory.mktemp("models") / "a14b"
    shutil.copytree(folder, path)
    index = path / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "WanPipeline"}))
    for expert in ("transformer", "transformer_2"):
        config = path / expert / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **A14B}))
    vae = path / "vae" / "config.json"
    vae.write_text(json.dumps({**json.loads(vae.read_text()), "temperal_downsample": [False, True, True]}))
    return path


def test_a_folder_without_weights_plans_as_the_loaded_model_does(folder, kit):
    lens, skeleton = kit.look(kit.build()), models.load(folder, weights=False)
    request = kit.ask(height=32, width=32, frames=5)
    assert skeleton.plan(request, kit.EVERYTHING) == lens.plan(request, kit.EVERYTHING)
    assert {part.device.type for part in skeleton.pipeline.transformer.parameters()} == {"meta"}
    assert describe(skeleton) == describe(models.load(folder, weights=False))
    rows = {row.site: row for row in describe(kit.look(kit.build()))}
    assert rows["block.out"].events == {row.site: row for row in describe(skeleton)}["block.out"].events


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"
)  # of diffusers
@pytest.mark.parametrize("name", [*TINY, *(case.pipeline for case in CASES)])
def test_every_family_is_planned_from_configurations_alone(name: str, tmp_path: Path) -> None:
    tiny = {**TINY, **{case.pipeline: case for case in CASES}}[name]
    built, request = tiny.build(), tiny.ask()
    built.save_pretrained(tmp_path)
    skeleton = Lens(build_skeleton(without_weights(tmp_path)), Origin("skeleton", size=tiny.size))
    real = Lens(built, Origin("real", size=tiny.size))
    assert skeleton.plan(request, ["block.out"])[1] == real.plan(request, ["block.out"])[1]
    assert describe_layers(skeleton) == describe_layers(real)


def test_a_skeleton_refuses_to_run(folder, kit, tmp_path):
    lens = models.load(folder, weights=False)
    request = kit.ask(height=32, width=32, frames=5)
    attempts = {
        "generate": lambda: lens.generate(request),
        "trace": lambda: lens.trace(request, ["latent"], tmp_path / "a.zarr"),
        "run with nnsight": lambda: lens.nnsight(request),
        "decode": lambda: lens.decode(torch.zeros(1, 16, 2, 4, 4)),
    }
    for what, attempt in attempts.items():
        with pytest.raises(Untraceable) as caught:
            attempt()
        assert str(caught.value) == (
            f"a model without weights cannot {what}; got 'no-weights' loaded with weights=False, allowed a model with "
            f"its weights; load it without weights=False"
        )
    assert list(tmp_path.iterdir()) == []


def test_parts_that_diffusers_does_not_have(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "x")
    index = tmp_path / "x" / "model_index.json"
    said = json.loads(index.read_text())
    index.write_text(json.dumps({**said, "transformer": ["diffusers", "WanTransformer3DModle"]}))
    with pytest.raises(UnknownModel, match=r"got 'WanTransformer3DModle', .*; did you mean 'WanTransformer3DModel'\?"):
        models.load(tmp_path / "x", weights=False)
    index.write_text(json.dumps({**said, "_class_name": "TheirPipeline"}))
    with pytest.raises(UnknownModel, match="got 'TheirPipeline', allowed a class of diffusers; load it with its weig"):
        build_skeleton(tmp_path / "x")


def test_only_configurations_come_from_the_hub(folder, tmp_path, monkeypatch):
    import huggingface_hub

    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--someone--untrained" / "snapshots" / commit
    shutil.copytree(folder, snapshot)
    asked: dict[str, Any] = {}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **how: asked.update(how) or str(snapshot))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **how: str(snapshot / "README.md"))
    lens = models.load("someone/untrained", revision="main", weights=False)
    assert (asked["revision"], asked["allow_patterns"]) == ("main", ["*.json"])
    assert (lens.origin.model, lens.origin.revision) == ("someone/untrained", commit)


def test_a14b_from_its_configuration(large):
    """40 layers of 5120 channels at 480 x 832 x 81, held to arithmetic by hand; nothing of 28 GB is allocated."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lens = models.load(large, dtype="bfloat16", weights=False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # kilobytes
    request = Generation(prompt="A ball.", seed=0, steps=20, height=480, width=832, frames=81)
    _, layout, _ = lens.plan(request, ["block.out"])
    assert layout.tokens == (21, 30, 52)
    assert (layout.layers, layout.channels, layout.dtype) == (40, 5120, "bfloat16")
    plan = estimate(lens, request, ["block.out"], decode=False)
    assert plan.bytes == 20 * 2 * 40 * (21 * 30 * 52) * 5120 * 4
    assert plan.events == 20 * 2 * 40
    assert estimate(lens, request, ["block.out@bits"], decode=False).bytes == plan.bytes // 2
    part = estimate(lens, request, ["block.out:energy[step=0:10,frame=3]", "latent"], decode=False)
    assert {array.name: array.bytes for array in part.arrays} == {
        "block.out.energy": 10 * 2 * 40 * 30 * 52 * 4,
        "latent.raw": 20 * 16 * 21 * 60 * 104 * 4,
    }


def test_flops_of_a14b_by_hand(large):
    lens = models.load(large, weights=False)
    request = Generation(prompt="", seed=0, steps=20, height=480, width=832, frames=81)
    tokens, words, width, inner = 21 * 30 * 52, 512, 5120, 13824
    layer = 2 * tokens * (6 * width**2 + 2 * width * inner) + 2 * words * 2 * width**2
    layer += 4 * tokens**2 * width + 4 * tokens * words * width
    assert estimate(lens, request, ["latent"]).flops == pytest.approx(20 * 2 * 40 * layer, rel=0.01)


def test_flops_are_those_that_torch_counts(kit):
    lens, request = kit.look(kit.build(experts=1)), kit.ask(steps=1, guidance=1.0)
    _, layout, _ = lens.plan(request, ["latent"])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # the fused kernel is not counted
        lens.generate(request, decode=False)
    counted = sum(counter.get_flop_counts()["WanTransformer3DModel"].values())
    assert call_flops(lens.family, lens.pipeline.transformer, layout) == pytest.approx(counted, rel=0.02)


def test_what_captures_compute(kit):
    lens, request = kit.look(kit.build()), kit.ask()
    captures = ["attn1.rows[token=0:4]", "attn2.words", "block.out:gram:8x2", "block.out:energy"]
    _, layout, resolved = lens.plan(request, captures)
    rows, words, gram, energy = (capture_flops(one, layout) for one in resolved)
    assert rows == 2 * (2 * 4) * 32 * 24  # two frames of 4 tokens, 32 keys, 24 channels
    assert words == 2 * 32 * 16 * 24
    assert gram == 2 * 2 * 8**2 * 24
    assert energy == 0


@pytest.mark.parametrize("batch", [1, 2])
def test_a_plan_counts_what_a_trace_writes(kit, tmp_path, batch):
    captures = ["block.out[layer=0+2]", "latent[step=1+4]", "block.out:energy[step=1:4]", "attn1.frames"]
    lens = kit.look(kit.build())
    requests = [kit.ask(seed=seed) for seed in range(batch)]
    plan = estimate(lens, requests[0], captures, batch=batch)
    lens.trace_batch(requests, captures, tmp_path / "a.zarr", trace_ids=["a", "b"][:batch])
    files = [file for name in ("a", "b")[:batch] for file in (tmp_path / "a.zarr" / name).rglob("*") if file.is_file()]
    assert plan.files == len(files)
    store = stores.open_store(tmp_path / "a.zarr")
    own = {array.name: array for array in plan.arrays}
    assert set(own) == set(store["a"].arrays)
    for name, array in own.items():
        assert array.bytes == batch * store["a"][name].nbytes, name
    assert own["block.out.raw"].events == batch * 2 * 6 * 2  # branches, steps, layers
    assert plan.bytes == sum(array.bytes for array in plan.arrays)
    assert plan.bytes == batch * planned_bytes(_specs(lens, requests[0], captures))


def _specs(lens, request, captures):
    _, layout, resolved = lens.plan(request, captures)
    return array_specs(resolved, layout, video=True)


def test_memory_is_bounded_for_a_trace_of_a_terabyte(large):
    lens = models.load(large, dtype="bfloat16", weights=False)
    request = Generation(prompt="", seed=0, steps=20, height=480, width=832, frames=81)
    event = 21 * 30 * 52 * 5120 * 4
    memory = estimate(lens, request, ["block.out"], decode=False).memory
    assert (memory.queue, memory.shards, memory.event) == (event, event, event)
    assert memory.total < 6 * event
    small = estimate(lens, request, ["block.out:mean"], decode=False)
    assert small.memory.total < 5 * small.bytes


def test_the_slow_down_follows_from_the_rates(kit):
    lens, request = kit.look(kit.build()), kit.ask()
    plain = estimate(lens, request, ["block.out"], decode=False)
    assert plain.slow_down is None
    slow = estimate(lens, request, ["block.out"], decode=False, rates=RATES).slow_down
    assert slow is not None
    assert slow.model == pytest.approx(plain.flops / 1e9)
    assert slow.write == pytest.approx(plain.bytes / 1e9)
    assert slow.capture == pytest.approx(3 * plain.bytes / 1e9)  # read, kept, copied to the host
    assert slow.factor >= 1 + slow.capture / slow.model
    stuck = estimate(lens, request, ["block.out"], decode=False, rates=replace(RATES, writing=1.0)).slow_down
    assert stuck is not None
    assert stuck.factor == pytest.approx(max(stuck.factor, stuck.write / stuck.model))
    assert stuck.write == pytest.approx(plain.bytes)
    on_gpu = estimate(lens, request, ["block.out"], decode=False, rates=replace(RATES, device="cuda")).slow_down
    assert on_gpu is not None
    assert on_gpu.factor == pytest.approx(max(1 + on_gpu.capture / on_gpu.model, on_gpu.write / on_gpu.model))


def test_rates_are_measured_and_nothing_is_left(tmp_path):
    before = torch.random.get_rng_state()
    rates = calibrate("cpu", "bfloat16", width=128, tokens=64, beside=tmp_path / "deep" / "a.zarr")
    assert (rates.device, rates.dtype) == ("cpu", "bfloat16")
    assert min(rates.flops, rates.bandwidth, rates.writing) > 1e6
    assert 0 < rates.event < 0.1
    assert rates.written_event > 0
    assert WRITTEN_BYTES == 64 * 2**20
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.random.get_rng_state(), before)


def test_layers_of_a_model(folder):
    rows = describe_layers(models.load(folder, weights=False))
    assert [(row.expert, row.stack, row.first, row.last, row.module) for row in rows] == [
        (expert, "blocks", 0, 2, "WanTransformerBlock") for expert in ("transformer", "transformer_2")
    ]
    assert {"block.out", "attn1.out", "ffn.out"} <= set(rows[0].sites)


def test_size_of_a_known_model_without_weights():
    lens = models.load("tiny-wan", weights=False)
    assert lens.origin.size == Size(64, 64, 17)

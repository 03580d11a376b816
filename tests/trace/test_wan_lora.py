"""LoRA weights that diffusers has loaded, apart from the base and fused into it, for either expert or both."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

import dit_lens_stores as stores

from .wan_kept import trace
from .wan_variants import LAYERS, ask, look

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "t2v-a14b"
WRAPPED = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_k", "ffn.net.2")


def _save(lens, path, seed):
    """A LoRA of rank 2 on the attention and feed-forward of every block, in the layout of the diffusers format."""
    generator, weights = torch.Generator().manual_seed(seed), {}
    for number in range(LAYERS):
        for name in WRAPPED:
            linear = lens.pipeline.transformer.get_submodule(f"blocks.{number}.{name}")
            key = f"transformer.blocks.{number}.{name}"
            weights[f"{key}.lora_A.weight"] = torch.randn(2, linear.in_features, generator=generator)
            weights[f"{key}.lora_B.weight"] = torch.randn(linear.out_features, 2, generator=generator) / 10
    save_file(weights, path / f"{seed}.safetensors")


def _load(lens, path, expert):
    """Into the pipeline, under the expert's name."""
    seed = 7 if expert == "transformer" else 8
    _save(lens, path, seed)
    second = {"load_into_transformer_2": True} if expert == "transformer_2" else {}
    lens.pipeline.load_lora_weights(path, weight_name=f"{seed}.safetensors", adapter_name=expert, **second)


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
def test_a_trace_with_lora_on_both_experts_is_the_plain_run(tmp_path, fused):
    lens, bare = look(NAME), look(NAME).generate(ask(NAME), decode=False)
    for expert in ("transformer", "transformer_2"):
        _load(lens, tmp_path, expert)
    if fused:
        lens.pipeline.fuse_lora(components=["transformer", "transformer_2"])
        lens.pipeline.unload_lora_weights()
    plain = lens.generate(ask(NAME), decode=False)
    kept, layout, latents = trace(lens, ask(NAME))
    assert torch.equal(latents, plain.latents)
    assert torch.equal(lens.generate(ask(NAME), decode=False).latents, plain.latents)
    assert not torch.allclose(plain.latents, bare.latents, atol=1e-2)
    assert layout.modules == ("blocks.0", "blocks.1")
    assert len(kept.of("attn1.q.raw")) == len(kept.of("block.out.raw")) == 2 * 4 * LAYERS


def test_lora_apart_and_fused_give_the_same_trace(tmp_path):
    lens = look(NAME)
    _load(lens, tmp_path, "transformer")
    sites = ["block.out", "attn1.q", "attn2.k", "ffn.out"]
    apart, _, _ = trace(lens, ask(NAME), sites)
    lens.pipeline.fuse_lora(components=["transformer"])
    fused, _, _ = trace(lens, ask(NAME), sites)
    for at, values in apart.writes.items():
        torch.testing.assert_close(torch.from_numpy(fused.writes[at]), torch.from_numpy(values), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("expert", ["transformer", "transformer_2"])
def test_the_expert_with_the_lora_is_the_one_that_changes(tmp_path, expert):
    lens = look(NAME)
    before = lens.identity["weights_sha256"]
    plain, layout, _ = trace(lens, ask(NAME), ["attn1.v"])
    _load(lens, tmp_path, expert)
    with_lora, _, _ = trace(lens, ask(NAME), ["attn1.v"])
    after = lens.identity["weights_sha256"]
    assert {part for part in before if before[part] != after[part]} == {expert}
    first = layout.experts.index(expert)
    for (branch, step, layer), values in plain.of("attn1.v.raw").items():
        same = (values == with_lora.of("attn1.v.raw")[branch, step, layer]).all()
        assert same == (step < first), (step, layer)


def test_whatever_changes_a_lora_changes_the_weights_identity(tmp_path):
    """Also its strength, and whether it is on: neither is among the tensors."""
    lens = look(NAME)
    seen = [lens.identity["weights_sha256"]]
    _load(lens, tmp_path, "transformer")
    _load(lens, tmp_path, "transformer_2")
    seen.append(lens.identity["weights_sha256"])
    for act in (
        lambda: lens.pipeline.set_adapters(["transformer", "transformer_2"], [0.5, 0.25]),
        lens.pipeline.disable_lora,
        lambda: (lens.pipeline.enable_lora(), lens.pipeline.fuse_lora(components=["transformer", "transformer_2"])),
    ):
        latents = lens.generate(ask(NAME), decode=False).latents
        act()
        seen.append(lens.identity["weights_sha256"])
        assert seen[-1] == lens.identity["weights_sha256"]
        changed = not torch.allclose(latents, lens.generate(ask(NAME), decode=False).latents, atol=1e-4)
        assert changed, "what is told apart is different"
    told_apart = {(entry["transformer"], entry["transformer_2"]) for entry in seen}
    assert len(told_apart) == len(seen)
    assert len({entry["transformer"] for entry in seen}) == len({entry["transformer_2"] for entry in seen}) == len(seen)


def test_the_manifest_holds_the_weights_with_the_lora(tmp_path):
    lens = look(NAME)
    lens.trace(ask(NAME), ["latent"], tmp_path / "a.zarr", trace_id="bare", decode=False)
    _load(lens, tmp_path, "transformer")
    lens.trace(ask(NAME), ["latent"], tmp_path / "a.zarr", trace_id="lora", decode=False)
    lens.pipeline.unload_lora_weights()
    lens.trace(ask(NAME), ["latent"], tmp_path / "a.zarr", trace_id="again", decode=False)
    store = stores.open_store(tmp_path / "a.zarr")
    weights = {name: store[name].manifest["weights_sha256"]["transformer"] for name in store}
    assert weights["bare"] == weights["again"] != weights["lora"]


def test_the_scale_of_one_call_is_in_the_manifest(tmp_path):
    """``attention_kwargs`` set it for a run; the weights are as they were before and after."""
    lens = look(NAME)
    _load(lens, tmp_path, "transformer")
    full, half = (
        ask(NAME, extra={"max_sequence_length": 8, "attention_kwargs": {"scale": scale}}) for scale in (1.0, 0.5)
    )
    before = lens.identity
    one, two = (lens.trace(request, ["latent"], tmp_path / "a.zarr", decode=False) for request in (full, half))
    assert not torch.equal(one.latents, two.latents)
    assert lens.identity == before
    store = stores.open_store(tmp_path / "a.zarr")
    scales = [store[run.trace_id].manifest["extra"]["attention_kwargs"] for run in (one, two)]
    assert scales == [{"scale": 1.0}, {"scale": 0.5}]

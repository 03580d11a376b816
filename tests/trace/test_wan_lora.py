"""LoRA weights that diffusers has loaded, apart from the base and fused into it, for either expert or both."""

from __future__ import annotations

import hashlib

import pytest
import torch
from safetensors.torch import save_file

import dit_lens_stores as stores
from dit_lens_stores.manifests import manifest_problems

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


ORIGINAL = {
    "self_attn.q": "attn1.to_q",
    "self_attn.k": "attn1.to_k",
    "self_attn.v": "attn1.to_v",
    "self_attn.o": "attn1.to_out.0",
    "cross_attn.q": "attn2.to_q",
    "cross_attn.k": "attn2.to_k",
    "cross_attn.v": "attn2.to_v",
    "cross_attn.o": "attn2.to_out.0",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
}
"""Names of Wan's own code, as LoRA files have them, and those of diffusers."""
FILES = {"transformer": "high_noise_lora", "transformer_2": "low_noise_lora"}
IMAGE, RANK = "i2v-a14b", 32


def _vbvr(lens, folder, parts=("lora_A", "lora_B"), alpha=None):
    """Two files of rank 32 on q, k, v, o, ffn.0 and ffn.2, under Wan's own names; gives the changes of weights."""
    changes = {}
    for seed, (expert, file) in enumerate(FILES.items()):
        generator, weights = torch.Generator().manual_seed(seed), {}
        for number in range(LAYERS):
            for name, ours in ORIGINAL.items():
                linear = getattr(lens.pipeline, expert).get_submodule(f"blocks.{number}.{ours}")
                down = torch.randn(RANK, linear.in_features, generator=generator)
                up = torch.randn(linear.out_features, RANK, generator=generator) / RANK
                key = f"diffusion_model.blocks.{number}.{name}"
                weights |= {f"{key}.{parts[0]}.weight": down, f"{key}.{parts[1]}.weight": up}
                if alpha is not None:
                    weights[f"{key}.alpha"] = torch.tensor(float(alpha))
                changes[expert, f"blocks.{number}.{ours}"] = up @ down * (1 if alpha is None else alpha / RANK)
        save_file(weights, folder / f"{file}.safetensors")
    return changes


def _load_vbvr(lens, folder):
    load, (high, low) = lens.pipeline.load_lora_weights, FILES.values()
    load(folder, weight_name=f"{high}.safetensors", adapter_name="vbvr-high")
    load(folder, weight_name=f"{low}.safetensors", adapter_name="vbvr-low", load_into_transformer_2=True)


def _manifest(lens, path):
    result = lens.trace(ask(IMAGE), ["latent"], path, trace_id="a", decode=False)
    manifest = stores.open_store(path)["a"].manifest
    assert manifest_problems(dict(manifest)) == []
    return manifest, result.latents


FORMS = {"A and B": (("lora_A", "lora_B"), None), "down and up": (("lora_down", "lora_up"), 16)}


@pytest.mark.parametrize(("parts", "alpha"), FORMS.values(), ids=FORMS)
def test_the_manifest_names_a_lora_for_each_expert(tmp_path, parts, alpha):
    """In both forms of Wan's LoRA files, loaded by diffusers from disk; what they do is that of their product."""
    lens, merged = look(IMAGE), look(IMAGE)
    changes = _vbvr(lens, tmp_path, parts, alpha)
    bare, _ = _manifest(lens, tmp_path / "bare.zarr")
    assert "loras" not in bare
    _load_vbvr(lens, tmp_path)
    manifest, latents = _manifest(lens, tmp_path / "a.zarr")
    told = {"strength": 1.0, "on": True, "fused": False, "rank": RANK, "alpha": RANK}
    told["modules"] = len(ORIGINAL) * LAYERS
    found = [{key: value for key, value in lora.items() if key != "sha256"} for lora in manifest["loras"]]
    assert found == [
        {"name": "vbvr-high", "component": "transformer", **told},
        {"name": "vbvr-low", "component": "transformer_2", **told},
    ]
    assert len({lora["sha256"] for lora in manifest["loras"]} - {None}) == 2
    for (expert, path), change in changes.items():
        getattr(merged.pipeline, expert).get_submodule(path).weight.data += change
    wanted = merged.generate(ask(IMAGE), decode=False).latents
    torch.testing.assert_close(latents, wanted, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(latents, look(IMAGE).generate(ask(IMAGE), decode=False).latents, atol=1e-2)


def _loras(lens):
    return {lora["name"]: lora for lora in lens.identity.get("loras", ())}


def test_strength_and_state_of_a_lora_are_told_and_its_hash_stays(tmp_path):
    lens = look(IMAGE)
    _vbvr(lens, tmp_path)
    _load_vbvr(lens, tmp_path)
    whole = _loras(lens)
    lens.pipeline.set_adapters(["vbvr-high", "vbvr-low"], [0.7, 0.3])
    weaker = _loras(lens)
    assert {name: lora["strength"] for name, lora in weaker.items()} == {"vbvr-high": 0.7, "vbvr-low": 0.3}
    assert {name: lora["sha256"] for name, lora in weaker.items()} == {n: lora["sha256"] for n, lora in whole.items()}
    lens.pipeline.disable_lora()
    assert {lora["on"] for lora in _loras(lens).values()} == {False}
    lens.pipeline.enable_lora()
    lens.pipeline.fuse_lora(components=["transformer"])
    fused = _loras(lens)
    assert [(lora["fused"], lora["on"]) for lora in fused.values()] == [(True, True), (False, True)]
    lens.pipeline.unload_lora_weights()
    left = _loras(lens)
    assert list(left) == ["vbvr-high"], "its layers are gone, its weights are in the model's"
    assert (left["vbvr-high"]["fused"], left["vbvr-high"]["component"], left["vbvr-high"]["rank"]) == (True, None, None)


def test_a_strength_of_its_own_for_each_layer_is_told_as_all_of_them(tmp_path):
    lens = look(IMAGE)
    _vbvr(lens, tmp_path)
    _load_vbvr(lens, tmp_path)
    layer = lens.pipeline.transformer.blocks[1].attn1.to_q
    layer.set_scale("vbvr-high", 0.25)
    assert _loras(lens)["vbvr-high"]["strength"] == [0.25, 1.0]


def test_the_hash_of_a_lora_is_that_of_its_tensors_alone(tmp_path):
    """The same file under two names, beside another base: the same hash; one bit else: another."""
    lens, other = look(IMAGE), look("t2v-a14b")
    _vbvr(lens, tmp_path)
    file = f"{FILES['transformer']}.safetensors"
    lens.pipeline.load_lora_weights(tmp_path, weight_name=file, adapter_name="one")
    other.pipeline.load_lora_weights(tmp_path, weight_name=file, adapter_name="two")
    one, two = _loras(lens)["one"], _loras(other)["two"]
    assert one["sha256"] == two["sha256"] == _sha256(lens.pipeline.transformer, "one")
    with torch.no_grad():
        other.pipeline.transformer.blocks[0].attn1.to_q.lora_B["two"].weight[0, 0] += 1
    assert _loras(other)["two"]["sha256"] != one["sha256"]


def _sha256(module, name):
    """As the format says: path, kind, dtype, shape and bytes."""
    digest = hashlib.sha256()
    for path, layer in module.named_modules():
        for part in ("lora_A", "lora_B"):
            if hasattr(layer, part):
                weight = getattr(layer, part)[name].weight.detach()
                digest.update(f"{path}.{part}weight torch.float32 {tuple(weight.shape)}".encode())
                digest.update(weight.numpy().tobytes())
    return digest.hexdigest()

"""What else diffusers does to a pipeline: where weights lie, in what they compute, and what a cache leaves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import (
    FasterCacheConfig,
    FirstBlockCacheConfig,
    MagCacheConfig,
    PyramidAttentionBroadcastConfig,
    SeaCacheConfig,
    TaylorSeerCacheConfig,
)
from diffusers.hooks import apply_first_block_cache, apply_layer_skip, apply_pyramid_attention_broadcast
from diffusers.hooks.layer_skip import LayerSkipConfig
from diffusers.models import attention_dispatch

from dit_lens.engine.errors import Untraceable
from dit_lens.sites import SITES

from .wan_kept import trace
from .wan_observer import framed, observed
from .wan_variants import LAYERS, VARIANTS, ask, look

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "t2v-a14b"
CPU = torch.device("cpu")
EXPERTS = ("transformer", "transformer_2")


def _experts(act: Callable[[Any], Any]) -> Callable[[Any], None]:
    def both(pipeline: Any) -> None:
        for name in EXPERTS:
            act(getattr(pipeline, name))

    return both


PLACES = {
    "model offload": lambda pipeline: pipeline.enable_model_cpu_offload(device=CPU),
    # what enable_sequential_cpu_offload does to each model; itself it fails in accelerate if all is on a CPU
    "sequential offload": _experts(lambda model: cpu_offload(model, CPU, offload_buffers=True)),
    "group offload of blocks": _experts(
        lambda model: model.enable_group_offload(CPU, CPU, offload_type="block_level", num_blocks_per_group=1)
    ),
    "group offload of leaves": _experts(lambda model: model.enable_group_offload(CPU, CPU, offload_type="leaf_level")),
}


@pytest.mark.parametrize("name", PLACES)
def test_where_the_weights_lie_changes_nothing(name):
    at_home = look(NAME)
    expected, _, plain = trace(at_home, ask(NAME))
    lens = look(NAME)
    PLACES[name](lens.pipeline)
    kept, _, latents = trace(lens, ask(NAME))
    assert torch.equal(latents, plain)
    assert torch.equal(lens.generate(ask(NAME), decode=False).latents, plain)
    assert kept.writes.keys() == expected.writes.keys()
    assert all(np.array_equal(kept.writes[at], expected.writes[at]) for at in expected.writes)
    assert None not in lens.identity["weights_sha256"].values()
    assert lens.identity == at_home.identity


def _casting(model: Any) -> None:
    model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)


COMPUTED_IN = {
    "bfloat16": lambda pipeline: pipeline.to(torch.bfloat16),
    "float16": lambda pipeline: pipeline.to(torch.float16),
    "fp8 storage": lambda pipeline: (pipeline.to(torch.bfloat16), _experts(_casting)(pipeline)),
    "fused projections": _experts(lambda model: model.fuse_qkv_projections()),
}


@pytest.mark.parametrize("name", COMPUTED_IN)
def test_in_what_the_model_computes(name):
    """Every block's output is the observer's, bit for bit, and was not rounded on the way."""
    lens, dtype = look(NAME), {"float16": "float16", "fused projections": "float32"}.get(name, "bfloat16")
    COMPUTED_IN[name](lens.pipeline)
    kept, layout, latents = trace(lens, ask(NAME))
    seen = {}
    handles = [
        layer.register_forward_hook(lambda m, a, out, at=(name, number): seen.setdefault(at, []).append(out.clone()))
        for name in EXPERTS
        for number, layer in enumerate(getattr(lens.pipeline, name).blocks)
    ]
    assert torch.equal(lens.generate(ask(NAME), decode=False).latents, latents)
    for handle in handles:
        handle.remove()
    assert layout.dtype == dtype
    assert kept.manifest["source_dtypes"]["block.out.raw"] == dtype
    assert not any(np.isnan(values).any() for values in kept.writes.values())
    for (branch, step, layer), values in kept.of("block.out.raw").items():
        expert = layout.experts[step]
        call = 2 * (step - layout.experts.index(expert)) + (branch == "uncond")
        out = seen[expert, layer][call]
        assert str(out.dtype) == f"torch.{dtype}"
        assert np.array_equal(values, framed(out, VARIANTS[NAME])[0].float().numpy())


def test_fused_projections_have_the_same_heads():
    lens, request = look(NAME), ask(NAME)
    with observed(lens.pipeline, VARIANTS[NAME], [request]) as seen:
        lens.generate(request, decode=False)
    _experts(lambda model: model.fuse_qkv_projections())(lens.pipeline)
    kept, _, _ = trace(lens, request, ["attn1.q", "attn1.k", "attn1.v", "attn2.k", "attn2.v", "attn2.words"])
    assert len(kept.writes) == 6 * 2 * 4 * LAYERS
    for (_, branch, step, layer, site), values_B in seen.sites.items():
        if (f"{site}.raw", branch, step, layer) in kept.writes:
            stored = kept.of(f"{site}.raw")[branch, step, layer]
            np.testing.assert_allclose(stored, values_B[0].numpy(), atol=1e-5)


def test_warm_compiled_blocks_are_traced_eagerly():
    """As after ``compile_repeated_blocks``; the compiler is one of our own, which hides what is inside a block."""
    expected, _, plain = trace(look(NAME), ask(NAME))
    lens = look(NAME)
    compiled: list[int] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        compiled.append(1)
        return graph.forward

    _experts(lambda model: model.compile_repeated_blocks(backend=backend))(lens.pipeline)
    given = lens.family.arguments(lens.family, lens.pipeline, ask(NAME, steps=2), VARIANTS[NAME].size)
    lens.pipeline.set_progress_bar_config(disable=True)
    lens.pipeline(**given, output_type="latent")
    assert compiled, "the blocks are warm"
    kept, _, latents = trace(lens, ask(NAME))
    torch._dynamo.reset()
    assert torch.equal(latents, plain)
    assert kept.writes.keys() == expected.writes.keys()
    assert all(np.array_equal(kept.writes[at], expected.writes[at]) for at in expected.writes)


def _timestep() -> int:
    return 500


CACHES = {
    "first block": FirstBlockCacheConfig(threshold=0.1),
    "faster": FasterCacheConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(-1, 1000),
        current_timestep_callback=_timestep,
        is_guidance_distilled=True,
    ),
    "pyramid attention broadcast": PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(-1, 1000),
        current_timestep_callback=_timestep,
    ),
    "taylor seer": TaylorSeerCacheConfig(cache_interval=2, disable_cache_before_step=1),
    "mag": MagCacheConfig(num_inference_steps=4, calibrate=True),
    "sea": SeaCacheConfig(),
}


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_is_refused_and_without_it_the_pipeline_traces(tmp_path, name):
    lens = look(NAME)
    model = lens.pipeline.transformer_2
    model.enable_cache(CACHES[name])
    with pytest.raises(Untraceable, match=r"^transformer_2 cannot be traced; got an enabled cache, .*disable_cache"):
        lens.trace(ask(NAME), ["block.out"], tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
    model.disable_cache()
    plain = look(NAME).generate(ask(NAME), decode=False)
    assert torch.equal(trace(lens, ask(NAME), ["block.out"])[2], plain.latents)


HIDDEN = {
    "fbc_leader_block_hook": lambda model: apply_first_block_cache(model, CACHES["first block"]),
    "pyramid_attention_broadcast": lambda model: apply_pyramid_attention_broadcast(
        model, CACHES["pyramid attention broadcast"]
    ),
    "layer_skip_hook": lambda model: apply_layer_skip(model, LayerSkipConfig(indices=[1], fqn="blocks")),
}


@pytest.mark.parametrize("hook", HIDDEN)
def test_a_cache_that_the_model_does_not_know_of_is_refused(tmp_path, hook):
    """Put on by a function of ``diffusers.hooks``: ``is_cache_enabled`` says no, and values would be stale."""
    lens = look(NAME)
    HIDDEN[hook](lens.pipeline.transformer)
    assert not lens.pipeline.transformer.is_cache_enabled
    with pytest.raises(Untraceable) as caught:
        lens.trace(ask(NAME), ["block.out"], tmp_path / "a.zarr")
    assert f" cannot be traced; got the diffusers hook '{hook}', which may skip layers, allowed group_off" in str(
        caught.value
    )
    assert str(caught.value).startswith("transformer.blocks.")
    assert not (tmp_path / "a.zarr").exists()


def test_context_parallelism_is_refused_by_name(tmp_path):
    """On the model, as ``enable_parallelism`` leaves it, and on the processors of its attention."""
    lens = look(NAME)
    lens.pipeline.transformer_2._parallel_config = object()
    with pytest.raises(Untraceable, match=r"^transformer_2 cannot be traced; got context parallelism"):
        lens.trace(ask(NAME), ["latent"], tmp_path / "a.zarr")
    lens.pipeline.transformer_2._parallel_config = None
    lens.pipeline.transformer_2.blocks[1].attn1.processor._parallel_config = object()
    with pytest.raises(Untraceable, match=r"transformer_2\.blocks\.1\.attn1 is split over devices; got context par"):
        lens.trace(ask(NAME), ["attn1.q"], tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


OF_HEADS = [site for site in SITES if site.split(".")[0] in ("attn1", "attn2") and not site.endswith(".out")]


@pytest.mark.parametrize("site", OF_HEADS)
def test_attention_that_bypasses_torch_is_refused_where_it_is_wanted(tmp_path, site):
    lens = look(NAME)
    part = site.split(".")[0]
    module = getattr(lens.pipeline.transformer_2.blocks[1], part)
    module.processor._attention_backend = attention_dispatch.AttentionBackendName.FLEX
    with pytest.raises(Untraceable) as caught:
        lens.trace(ask(NAME), ["latent", site], tmp_path / "a.zarr")
    assert str(caught.value) == (
        f"the attention of transformer_2.blocks.1.{part} cannot be seen; got attention backend 'flex', allowed "
        '_native_cudnn, _native_efficient, _native_flash, _native_math, native; call set_attention_backend("native") '
        "on the denoiser"
    )
    assert not (tmp_path / "a.zarr").exists()


def test_another_backend_is_no_matter_where_no_attention_is_wanted():
    lens = look(NAME)
    plain = trace(lens, ask(NAME), ["block.out", "attn1.out", "attn2.q"])
    for layer in lens.pipeline.transformer.blocks:
        layer.attn1.processor._attention_backend = attention_dispatch.AttentionBackendName._NATIVE_MATH
    kept, _, _ = trace(lens, ask(NAME), ["block.out", "attn1.out", "attn2.q"])
    assert kept.writes.keys() == plain[0].writes.keys()
    lens.pipeline.transformer.blocks[
        0
    ].attn1.processor._attention_backend = attention_dispatch.AttentionBackendName.FLEX
    lens.plan(ask(NAME), ["block.out", "attn1.out", "attn2.q"])


def test_a_backend_that_is_set_for_all_is_seen(tmp_path):
    """``set_attention_backend`` also changes what is active for every other model of the process."""
    lens = look(NAME)
    registry = attention_dispatch._AttentionBackendRegistry
    before = registry._active_backend
    try:
        registry._active_backend = attention_dispatch.AttentionBackendName.FLEX
        with pytest.raises(Untraceable, match="got attention backend 'flex'"):
            lens.trace(ask(NAME), ["attn1.frames"], tmp_path / "a.zarr")
    finally:
        registry._active_backend = before
    lens.plan(ask(NAME), ["attn1.frames"])

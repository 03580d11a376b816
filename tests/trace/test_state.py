"""Compiled denoisers, enabled caches, and memory."""

from __future__ import annotations

import gc
import time
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import FirstBlockCacheConfig

import dit_lens_stores as stores
from dit_lens.engine import run
from dit_lens.engine.errors import Untraceable


def _backend(graph, inputs):
    """Stands for a compiler: the graph runs as it is, but hooks that come later are not seen."""
    return graph.forward


@pytest.mark.parametrize("how", ["transformer.compile()", "torch.compile(transformer)"])
def test_a_warm_compile_is_traced_eagerly(kit, tmp_path, how):
    eager = kit.look(kit.build()).generate(kit.ask(steps=2))
    pipeline = kit.build()
    for name in ("transformer", "transformer_2"):
        model = getattr(pipeline, name)
        if how == "transformer.compile()":
            model.compile(backend=_backend)
        else:
            setattr(pipeline, name, torch.compile(model, backend=_backend))
    _call(pipeline, kit)
    lens = kit.look(pipeline)
    result = lens.trace(kit.ask(steps=2), ["block.out:energy"], tmp_path / "a.zarr")
    energy = stores.open_store(tmp_path / "a.zarr")[result.trace_id]["block.out.energy"]
    assert np.isfinite(energy.values).all()
    assert torch.equal(result.latents, eager.latents)
    assert torch.equal(lens.generate(kit.ask(steps=2)).latents, result.latents), "the control is eager as well"
    assert torch._dynamo.eval_frame._stance.stance == "default"
    torch._dynamo.reset()


def _call(pipeline, kit):
    request = kit.ask(steps=2)
    pipeline.set_progress_bar_config(disable=True)
    pipeline(
        image=request.image, prompt=request.prompt, height=32, width=32, num_frames=5, num_inference_steps=2,
        guidance_scale=3.0, output_type="latent",
    )  # fmt: skip


def test_an_enabled_cache_is_refused(lens, kit, tmp_path):
    lens.pipeline.transformer_2.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    with pytest.raises(Untraceable) as caught:
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr")
    assert str(caught.value) == (
        "transformer_2 cannot be traced; got an enabled cache, which skips layers, allowed none; "
        "call pipeline.transformer_2.disable_cache() first"
    )
    assert caught.value.exit_code == 2
    assert not (tmp_path / "a.zarr").exists()
    lens.pipeline.transformer_2.disable_cache()
    lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr")


def test_context_parallelism_is_refused(lens, kit, tmp_path):
    lens.pipeline.transformer._parallel_config = object()
    with pytest.raises(
        Untraceable, match=r"transformer cannot be traced; got context parallelism, .* load the pipeline"
    ):
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr")
    lens.pipeline.transformer._parallel_config = None


def _live_after_each_step(lens, kit, path, steps):
    """How many outputs of blocks and denoisers are still alive at the end of each step."""
    born, outputs, tensors = [], [], []
    pipeline = lens.pipeline
    handles = [
        module.register_forward_hook(
            lambda m, a, out: born.append(weakref.ref((out[0] if isinstance(out, tuple) else out).untyped_storage()))
        )
        for model in (pipeline.transformer, pipeline.transformer_2)
        for module in (*model.blocks, model)
    ]

    def on_step(done, total):
        outputs.append(sum(ref() is not None for ref in born))
        if done in (4, 8, 12):  # walking over all objects takes half a second
            time.sleep(0.1)  # what waits is written
            gc.collect()  # of what earlier tests left
            tensors.append(sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()))

    lens.trace(kit.ask(steps=steps), ["block.out", "block.out:energy", "x0", "velocity"], path, on_step=on_step)
    for handle in handles:
        handle.remove()
    return outputs, tensors


def test_memory_does_not_grow_with_the_steps(kit, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "Flow", partial(run.Flow, limit_bytes=1))  # one event waits at most: no race in the count
    lens = kit.look(kit.build())
    outputs, tensors = _live_after_each_step(lens, kit, tmp_path / "a.zarr", 12)
    assert len(outputs) == 12
    assert max(outputs) <= 4, "only what the pipeline itself holds of the running step"
    assert max(tensors) - tensors[0] <= 4, tensors  # what earlier tests left may still go


def test_nothing_of_a_trace_is_kept_alive(lens, kit, tmp_path):
    kept = []
    store = stores.create_store(tmp_path / "a.zarr")
    begin = store.begin

    def watched(*args, **kwargs):
        writer = begin(*args, **kwargs)
        kept.append(weakref.ref(writer))
        return writer

    store.begin = watched
    lens.trace(kit.ask(), ["block.out"], store)
    gc.collect()
    assert kept[0]() is None

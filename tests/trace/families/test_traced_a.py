"""Traces of every family: each address once, every value that of an observer of our own, and nothing changed by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dit_lens_stores as stores
from dit_lens.adapters.family import Family, Stack
from dit_lens.adapters.registry import family_of
from dit_lens.engine.errors import BadRequest, IncompleteTrace, UnexpectedVisit
from dit_lens.lens import Lens

from . import truth
from .build_a import STEPS, TINY, Tiny

Key = tuple[str, str, int, int]  # site, branch, step, layer
pytestmark = [
    pytest.mark.filterwarnings("ignore:In CPU autocast"),  # Mochi asks for float32
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # in diffusers' schedulers
]
_STREAMS = ("block.in", "block.out", "attn1.out", "attn2.out", "ffn.out")
_FURTHER = {"stg_scale": 1.0, "modality_scale": 2.0, "spatio_temporal_guidance_blocks": [1]}


@cache
def _pipeline(name: str) -> Any:
    return TINY[name].build()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Streams:
    """Every stream of every layer, by the order in which the denoiser and its layers are called."""

    def __init__(self, family: Family, pipeline: Any, branches: tuple[str, ...], seen: truth.Seen) -> None:
        self.family, self.pipeline, self.branches, self.seen = family, pipeline, branches, seen
        self.values: dict[Key, torch.Tensor] = {}
        size = TINY_BY_PIPELINE[id(pipeline)].size
        self.grid = family.grid(pipeline.transformer, family.latent_shape(pipeline, size))

    def keep(self, site: str, layer: int, stack: Stack, output: Any) -> None:
        values = output[0] if isinstance(output, tuple) else output
        step, call = len(self.seen.guided), sum(call.step == len(self.seen.guided) for call in self.seen.calls)
        rows = truth.rows_of(self.family, self.branches, call)
        for branch, row in zip(rows, stack.frames(values, self.grid), strict=True):
            assert (site, branch, step, layer) not in self.values
            self.values[site, branch, step, layer] = row.clone()

    @contextmanager
    def watched(self) -> Iterator[None]:
        hooks: list[Any] = []
        for number, (stack, _, layer) in enumerate(self.family.layers(self.pipeline.transformer)):

            def before(_m: Any, args: Any, kwargs: Any, number: int = number, stack: Stack = stack) -> None:
                self.keep("block.in", number, stack, stack.argument_of(args, kwargs))

            hooks.append(layer.register_forward_pre_hook(before, with_kwargs=True))
            inner = {f"{part}.out": layer.get_submodule(path) for part, path in stack.inside.items()}
            for site, module in {"block.out": layer, **inner}.items():

                def after(
                    _m: Any, _args: Any, output: Any, site: str = site, number: int = number, stack: Stack = stack
                ) -> None:
                    self.keep(site, number, stack, output)

                hooks.append(module.register_forward_hook(after))
        yield
        for hook in hooks:
            hook.remove()


TINY_BY_PIPELINE: dict[int, Tiny] = {}


def _observe(tiny: Tiny, pipeline: Any, request: Any) -> tuple[Streams, truth.Seen, torch.Tensor]:
    family = family_of(pipeline)
    TINY_BY_PIPELINE[id(pipeline)] = tiny
    with truth.watched(pipeline) as seen:
        streams = Streams(family, pipeline, family.branches(family, request), seen)
        with streams.watched():
            latents = truth.run(pipeline, family, request, tiny.size)
    return streams, seen, latents


def _sites(family: Family) -> list[str]:
    inner = {site for stack in family.stacks for site in stack.sites if site.endswith(".out")}
    return [site for site in _STREAMS if site in inner or site.startswith("block")]


def _clean(scheduler: Any, step: int, timestep: float, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The textbook formula of each scheduler's kind of output."""
    kind = type(scheduler).__name__
    if kind.startswith("FlowMatch"):
        sigma = scheduler.sigmas[step]
        return x + (1 - sigma) * v if scheduler.sigmas[-1] == 1 else x - sigma * v
    if kind.startswith("EulerAncestral"):
        return x - scheduler.sigmas[step] * v
    kept = scheduler.alphas_cumprod[int(timestep)]
    if scheduler.config.prediction_type == "v_prediction":
        return kept**0.5 * x - (1 - kept) ** 0.5 * v
    return (x - (1 - kept) ** 0.5 * v) / kept**0.5


def _sigma(scheduler: Any, step: int, timestep: float) -> float:
    if hasattr(scheduler, "sigmas"):
        return float(scheduler.sigmas[step])
    kept = float(scheduler.alphas_cumprod[int(timestep)])
    return float(((1 - kept) / kept) ** 0.5) if kept else float("inf")


def _check_streams(trace: Any, streams: Streams, sites: list[str]) -> None:
    for (site, branch, step, layer), values in streams.values.items():
        at = {"branch": branch, "step": step, "layer": layer}
        stored = trace[f"{site}.raw"].sel(at).values
        assert np.array_equal(stored, values.numpy()), (site, at)
        if site == "block.out":
            energy = (values.double() ** 2).sum(-1).sqrt().numpy()
            np.testing.assert_allclose(trace["block.out.energy"].sel(at).values, energy, rtol=1e-5)
    stored = {(site, int(np.prod(trace[f"{site}.raw"].shape[:3]))) for site in sites}
    events = [site for site, *_ in streams.values]
    assert stored == {(site, events.count(site)) for site in sites}, "an event that nobody saw, or one too few"


def _check_latents(trace: Any, streams: Streams, seen: truth.Seen, scheduler: Any) -> None:
    family, pipeline = streams.family, streams.pipeline
    latent = family.latent_shape(pipeline, TINY_BY_PIPELINE[id(pipeline)].size)
    ordinal = dict.fromkeys(range(len(seen.guided)), 0)
    for step, (x, v, timestep) in enumerate(zip(seen.latents, seen.guided, seen.timesteps, strict=True)):
        x, v = family.latents_of(x, latent)[0], family.latents_of(v, latent)[0]
        assert np.array_equal(trace["latent.raw"].sel(step=step).values, x.numpy())
        assert np.array_equal(trace["velocity.guided.raw"].sel(step=step).values, v.numpy())
        clean = _clean(scheduler, step, timestep, x, v)
        np.testing.assert_allclose(trace["x0.guided.raw"].sel(step=step).values, clean, rtol=1e-3, atol=1e-3)
    for call in seen.calls:
        rows = truth.rows_of(family, streams.branches, ordinal[call.step])
        ordinal[call.step] += 1
        x = family.latents_of(seen.latents[call.step], latent)[0]
        for branch, v in zip(rows, family.velocity_of(call.velocity, latent), strict=True):
            at = {"branch": branch, "step": call.step}
            assert np.array_equal(trace["velocity.raw"].sel(at).values, v.numpy()), at
            clean = _clean(scheduler, call.step, seen.timesteps[call.step], x, v)
            np.testing.assert_allclose(trace["x0.raw"].sel(at).values, clean, rtol=1e-3, atol=1e-3)


def _check_clock(trace: Any, seen: truth.Seen, scheduler: Any, branches: tuple[str, ...]) -> None:
    dataset = trace["velocity.raw"]
    assert tuple(dataset["branch"].values) == branches
    assert list(dataset["step"].values) == list(range(STEPS))
    assert list(dataset["timestep"].values) == seen.timesteps
    assert set(dataset["expert"].values) == {"transformer"}
    sigmas = [_sigma(scheduler, step, at) for step, at in enumerate(seen.timesteps)]
    np.testing.assert_allclose(dataset["sigma"].values, sigmas, rtol=1e-6)


def _check(name: str, path: Path, request: Any) -> None:
    tiny, pipeline = TINY[name], _pipeline(name)
    streams, seen, plain = _observe(tiny, pipeline, request)
    lens, sites = Lens(pipeline), _sites(streams.family)
    captures = [*sites, "block.out:energy", "latent", "velocity", "velocity.guided", "x0", "x0.guided"]
    result = lens.trace(request, captures, path, decode=False)
    assert torch.equal(result.latents, plain), "a trace changes nothing"
    store = stores.open_store(path)
    assert store.status(result.trace_id) == "complete"
    trace = store[result.trace_id]
    _check_streams(trace, streams, sites)
    _check_latents(trace, streams, seen, pipeline.scheduler)
    _check_clock(trace, seen, pipeline.scheduler, streams.branches)
    assert not any(layer._forward_hooks for _, _, layer in streams.family.layers(pipeline.transformer))


def _guider(name: str, pipeline: Any, scale: float) -> None:
    if name == "hunyuan-video-1.5":
        pipeline.guider = pipeline.guider.new(guidance_scale=scale)


@pytest.mark.parametrize("guided", [True, False], ids=["guided", "plain"])
@pytest.mark.parametrize("name", list(TINY))
def test_every_address_once_and_every_value_the_observer_s(name: str, guided: bool, tmp_path: Path) -> None:
    request = TINY[name].ask(guided=guided)
    _guider(name, _pipeline(name), request.guidance)
    _check(name, tmp_path / "a.zarr", request)


@pytest.mark.parametrize("guided", [True, False], ids=["guided", "plain"])
def test_further_guidance_of_ltx2(guided: bool, tmp_path: Path) -> None:
    tiny = TINY["ltx2"]
    _check("ltx2", tmp_path / "a.zarr", tiny.ask(guided=guided, extra={**tiny.extra, **_FURTHER}))


@pytest.mark.parametrize("name", ["ltx", "ltx2", "allegro", "kandinsky5"])
def test_attention_maps_are_those_of_the_weights(name: str, tmp_path: Path) -> None:
    """What the attention hands on is its map times its values: recomputed from the stored queries, keys and values."""
    tiny, pipeline = TINY[name], _pipeline(name)
    request = tiny.ask(guided=False, steps=2)
    captures = [f"{site}[step=1,layer=0]" for site in ("attn1.q", "attn1.k", "attn1.frames", "attn2.words")]
    result = Lens(pipeline).trace(request, captures, tmp_path / "a.zarr", decode=False)
    trace = stores.open_store(tmp_path / "a.zarr")[result.trace_id]
    queries, keys = (
        torch.from_numpy(trace[f"attn1.{part}.raw"].values[0, 0, 0]).double().movedim(2, 0).flatten(1, 2)
        for part in "qk"
    )
    weights = torch.softmax(queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5, -1)
    frames = len(trace["attn1.q.raw"]["frame"])
    by_frame = weights.unflatten(2, (frames, -1)).sum(-1).unflatten(1, (frames, -1)).mean(2)
    np.testing.assert_allclose(
        trace["attn1.frames.raw"].values[0, 0, 0], by_frame.transpose(0, 1).numpy(), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(trace["attn2.words.raw"].values.sum(-1), 1.0, rtol=1e-4)


_MASKS_OTHERWISE = {"latte": {"mask_feature": False}}  # a single prompt is cut to its words, a batch is not
_EMBEDDED = ("hunyuan-video-1.5", "kandinsky5")
_TOGETHER = [name for name, tiny in TINY.items() if name not in _EMBEDDED and not tiny.image]


@pytest.mark.parametrize("name", _TOGETHER)
def test_rows_of_a_batch_of_requests(name: str, tmp_path: Path) -> None:
    """Two prompts in one call, of which each has the trace that it has alone, up to rounding."""
    tiny, lens = TINY[name], Lens(_pipeline(name))
    extra = {**tiny.extra, **_MASKS_OTHERWISE.get(name, {})}
    requests = [tiny.ask(seed=3, extra=extra), tiny.ask(seed=4, prompt="the cat", extra=extra)]
    captures = ["block.out[step=1]", "velocity"]
    batch = lens.trace_batch(requests, captures, tmp_path / "both.zarr", decode=False)
    both = stores.open_store(tmp_path / "both.zarr")
    rows = [both[result.trace_id] for result in batch]
    for request, row in zip(requests, rows, strict=True):
        path = tmp_path / f"{request.seed}.zarr"
        result = lens.trace(request, captures, path, decode=False)
        alone = stores.open_store(path)[result.trace_id]
        for array in ("block.out.raw", "velocity.raw"):
            np.testing.assert_allclose(row[array].values, alone[array].values, rtol=1e-2, atol=2e-3)
    assert abs(rows[0]["velocity.raw"].values - rows[1]["velocity.raw"].values).max() > 0.1


def test_prompts_beside_embeddings_in_a_batch(tmp_path: Path) -> None:
    lens, tiny = Lens(_pipeline("kandinsky5")), TINY["kandinsky5"]
    requests = [tiny.ask(seed=3), tiny.ask(seed=4, prompt="the cat")]
    with pytest.raises(BadRequest, match="got 2 prompts beside them, allowed 1"):
        lens.trace_batch(requests, ["latent"], tmp_path / "a.zarr")


class TestNegativeControls:
    """An adapter that is wrong in one place cannot fill a trace."""

    def _fails(self, name: str, path: Path, captures: list[str], guided: bool = True, **wrong: Any) -> str:
        lens = Lens(_pipeline(name))
        lens.family = replace(lens.family, **wrong)
        with pytest.raises((IncompleteTrace, UnexpectedVisit)) as caught:
            lens.trace(TINY[name].ask(guided=guided), captures, path)
        assert stores.open_store(path).status(stores.open_store(path).traces[0]) == "failed"
        return str(caught.value)

    def test_a_wrong_grid(self, tmp_path: Path) -> None:
        said = self._fails("mochi", tmp_path / "a.zarr", ["block.out"], grid=lambda *_: (3, 4, 6))
        assert "correct the adapter's grid" in said

    def test_a_wrong_fold(self, tmp_path: Path) -> None:
        stacks = tuple(replace(stack, fold="none") for stack in family_of(_pipeline("latte")).stacks)
        assert "fold and text of its stack" in self._fails("latte", tmp_path / "a.zarr", ["block.out"], stacks=stacks)

    def test_text_for_video(self, tmp_path: Path) -> None:
        stacks = tuple(replace(stack, video=1) for stack in family_of(_pipeline("cogvideox")).stacks)
        said = self._fails("cogvideox", tmp_path / "a.zarr", ["block.out"], stacks=stacks)
        assert "transformer/step 0/layer 0/block.out" in said

    @pytest.mark.parametrize(("name", "guidance"), [("ltx", "sequential"), ("kandinsky5", "batched")])
    def test_a_wrong_kind_of_guidance(self, name: str, guidance: str, tmp_path: Path) -> None:
        self._fails(name, tmp_path / "a.zarr", ["velocity"], guidance=guidance)

    def test_contexts_without_a_branch(self, tmp_path: Path) -> None:
        pipeline = _pipeline("hunyuan-video-1.5")
        _guider("hunyuan-video-1.5", pipeline, 3.0)
        said = self._fails("hunyuan-video-1.5", tmp_path / "a.zarr", ["velocity"], contexts={})
        assert "got pred_cond, allowed cond, uncond" in said

    def test_a_timestep_that_counts_the_other_way(self, tmp_path: Path) -> None:
        self._fails("mochi", tmp_path / "a.zarr", ["latent"], tells_timestep=True)

    def test_a_schedule_that_is_not_the_scheduler_s_own(self, tmp_path: Path) -> None:
        said = self._fails("hunyuan-video", tmp_path / "a.zarr", ["latent"], knows_schedule=True)
        assert "a timestep that was not planned" in said


@pytest.mark.parametrize("name", ["kandinsky5", "latte", "mochi"])
def test_the_video_is_stored_as_the_pipeline_draws_it(name: str, tmp_path: Path) -> None:
    tiny, pipeline = TINY[name], _pipeline(name)
    request = tiny.ask(guided=False)
    drawn = truth.run(pipeline, family_of(pipeline), request, tiny.size, "np")[0]
    result = Lens(pipeline).trace(request, ["latent"], tmp_path / "a.zarr")
    stored = stores.open_store(tmp_path / "a.zarr")[result.trace_id]["video"].values
    assert np.array_equal(stored, (drawn * 255).round().astype(np.uint8))

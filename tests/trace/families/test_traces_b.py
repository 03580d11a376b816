"""Traces of the families of this half: every value equals that of an observer that shares no code with the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from dit_lens.engine.errors import BadRequest, DitLensError, IncompleteTrace
from dit_lens.generation import Generation
from dit_lens.lens import Lens
from dit_lens_stores import Trace, open_store

from .build_b import CASES, WORDS, Case
from .observe_b import Call, Observer, observed

STEPS = 3
SITES = ("block.in", "block.out", "block.out:energy", "latent", "velocity", "velocity.guided")
BY_NAME = {case.pipeline: case for case in CASES}
PARTS: dict[str, dict[str, str]] = {
    "EasyAnimatePipeline": {"attn1": "attn1"},
    "SanaVideoPipeline": {"attn1": "attn1", "attn2": "attn2"},
    "FluxPipeline": {"attn1": "attn", "ffn": "ff"},
    "Flux2Pipeline": {"attn1": "attn", "ffn": "ff"},
    "Flux2KleinPipeline": {"attn1": "attn", "ffn": "ff"},
    "StableDiffusion3Pipeline": {"attn1": "attn", "ffn": "ff"},
    "QwenImagePipeline": {"attn1": "attn", "ffn": "img_mlp"},
}
WAN_PARTS = {"attn1": "attn1", "attn2": "attn2", "ffn": "ffn"}
PLAIN_PARTS = {"attn1": "attn1", "attn2": "attn2", "ffn": "ff"}
WITH_MAPS = tuple(case for case in CASES if case.pipeline not in PARTS)
WRAPPED = ("Cosmos2TextToImagePipeline", "Cosmos2VideoToWorldPipeline")

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Cosmos Predict 2 gives its scheduler a torch tensor where numpy wants an array
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parts_of(case: Case) -> dict[str, str]:
    """Modules of the first stack's layers, by the site that they are."""
    return PARTS.get(case.pipeline, WAN_PARTS if "blocks" in case.layers else PLAIN_PARTS)


def paths_of(case: Case) -> list[str]:
    return [f"{path}.{number}" for path, count in case.layers.items() for number in range(count)]


def with_parts(case: Case) -> list[str]:
    first, count = next(iter(case.layers.items()))
    return [f"{first}.{number}" for number in range(count)]


@dataclass(frozen=True)
class Traced:
    """A trace, and what was seen of a second run of the same request."""

    case: Case
    trace: Trace
    seen: Observer
    traced: torch.Tensor
    plain: torch.Tensor

    def calls(self) -> Iterator[tuple[int, int, str, Call]]:
        """Every row of every call: step, row, branch, call."""
        for call in self.seen.calls:
            yield from ((call.step, row, branch, call) for row, branch in enumerate(call.rows))

    def video(self, value: Any, row: int) -> np.ndarray[Any, Any]:
        """The video among tensors and text: the first with as many tokens, text in front of it cut off."""
        frames, rows, columns = self.case.tokens
        count = frames * rows * columns
        flat = value if isinstance(value, (tuple, list)) else (value,)
        tensors = [item for item in flat if isinstance(item, torch.Tensor)]  # the last text of SD3 is None
        tensor = next(item for item in tensors if item.ndim == 3 and item.shape[1] in (count, count + WORDS))
        return tensor[row, -count:].reshape(frames, rows * columns, -1).numpy()  # type: ignore[no-any-return]

    def canonical(self, values: torch.Tensor) -> torch.Tensor:
        """(B, C, F, H, W) of what the scheduler or the denoiser holds; a variance behind the velocity is cut off."""
        channels, _, rows, columns = self.case.latent
        if values.ndim == 3:
            values = values.reshape(-1, rows // 2, columns // 2, channels, 2, 2)
            values = values.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, rows, columns)
        return values[:, :channels, None] if values.ndim == 4 else values[:, :channels]


def trace(case: Case, folder: Path, sites: tuple[str, ...], guidance: float = 3.0) -> Traced:
    pipeline, request = case.build(), case.ask(guidance=guidance)
    result = Lens(pipeline).trace(request, sites, folder / "a.zarr", decode=False)
    assert result.trace_id is not None
    texts = {"cond": request.extra["prompt_embeds"]}
    if "negative_prompt_embeds" in request.extra:
        texts["uncond"] = request.extra["negative_prompt_embeds"]
    parts = [f"{path}.{name}" for path in with_parts(case) for name in parts_of(case).values()]
    with observed(pipeline, texts, (*paths_of(case), *parts)) as seen:
        plain = Lens(pipeline).generate(request, decode=False).latents
    return Traced(case, open_store(folder / "a.zarr")[result.trace_id], seen, result.latents, plain)


def sites_of(case: Case) -> tuple[str, ...]:
    clean = () if case.pipeline in WRAPPED else ("x0", "x0.guided")
    return (*SITES, *(f"{part}.out" for part in parts_of(case)), *clean)


@pytest.fixture(scope="module", params=[3.0, 1.0], ids=["guided", "unguided"])
def guidance(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.pipeline)
def done(request: pytest.FixtureRequest, guidance: float, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    return trace(request.param, tmp_path_factory.mktemp("trace"), sites_of(request.param), guidance)


def test_recording_changes_nothing(done: Traced) -> None:
    assert torch.isfinite(done.plain).all()
    assert torch.equal(done.traced, done.plain)


def test_every_address_is_there_once_and_nothing_else(done: Traced) -> None:
    branches = {branch for call in done.seen.calls for branch in call.rows}
    assert done.trace.status == "complete"
    for site in sites_of(done.case):
        array = done.trace[f"{site.replace(':', '.')}" if ":" in site else f"{site}.raw"]
        assert not np.isnan(array.values).any()
        assert array.sizes["step"] == STEPS
        assert set(array.coords["branch"].values if "branch" in array.dims else branches) == branches


def test_layers_hold_what_the_observer_saw(done: Traced) -> None:
    into, out = done.trace["block.in.raw"], done.trace["block.out.raw"]
    energy = done.trace["block.out.energy"]
    assert list(out.coords["module"].values) == paths_of(done.case)
    for step, row, branch, call in done.calls():
        for layer, path in enumerate(paths_of(done.case)):
            at = {"step": step, "branch": branch, "layer": layer}
            args, kwargs = call.inputs[path]
            taken = kwargs.get("hidden_states", args[0] if args else None)
            assert np.array_equal(into.sel(at).values, done.video(taken, row))
            given = done.video(call.outputs[path], row)
            assert np.array_equal(out.sel(at).values, given)
            np.testing.assert_allclose(energy.sel(at).values, np.linalg.norm(given, axis=-1), rtol=1e-5)


def test_parts_of_layers_hold_what_the_observer_saw(done: Traced) -> None:
    for part, name in parts_of(done.case).items():
        array = done.trace[f"{part}.out.raw"]
        assert list(array.coords["layer"].values) == list(range(len(with_parts(done.case))))
        for step, row, branch, call in done.calls():
            for layer, path in enumerate(with_parts(done.case)):
                values = array.sel(step=step, branch=branch, layer=layer).values
                assert np.array_equal(values, done.video(call.outputs[f"{path}.{name}"], row))


def test_latents_and_velocities_hold_what_the_observer_saw(done: Traced) -> None:
    for step, row, branch, call in done.calls():
        stored = done.trace["velocity.raw"].sel(step=step, branch=branch).values
        assert np.array_equal(stored, done.canonical(call.output[0])[row].numpy())
    for number, step in enumerate(done.seen.steps):
        for site, values in (("latent", step.latent), ("velocity.guided", step.velocity)):
            stored = done.trace[f"{site}.raw"].sel(step=number).values
            assert np.array_equal(stored, done.canonical(values)[0].numpy())


def test_steps_have_the_clock_of_the_scheduler(done: Traced) -> None:
    latent = done.trace["latent.raw"]
    assert list(latent.coords["sigma"].values) == [step.sigma for step in done.seen.steps]
    assert list(latent.coords["timestep"].values) == [step.timestep for step in done.seen.steps]
    assert set(latent.coords["expert"].values) == {"transformer"}


def _clean(done: Traced, latent: torch.Tensor, output: torch.Tensor, sigma: float) -> np.ndarray[Any, Any]:
    """PixArt predicts noise in a variance-preserving latent; the others a velocity."""
    x, v = done.canonical(latent)[0].double(), done.canonical(output)[0].double()
    kept = (1 + sigma**2) ** -0.5
    clean = (x - sigma * kept * v) / kept if "PixArt" in done.case.pipeline else x - sigma * v
    return clean.numpy()  # type: ignore[no-any-return]


def test_clean_latents_follow_from_latent_and_velocity(done: Traced) -> None:
    if done.case.pipeline in WRAPPED:
        pytest.skip("the family has none")
    for number, step in enumerate(done.seen.steps):
        wanted = _clean(done, step.latent, step.velocity, step.sigma)
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(done.trace["x0.guided.raw"].sel(step=number).values, wanted, atol=1e-5 * scale)
    for number, row, branch, call in done.calls():
        step = done.seen.steps[number]
        wanted = _clean(done, step.latent, call.output[0][row : row + 1], step.sigma)
        stored = done.trace["x0.raw"].sel(step=number, branch=branch).values
        np.testing.assert_allclose(stored, wanted, atol=1e-5 * np.abs(wanted).max())


@contextmanager
def attentions(denoiser: Any) -> Iterator[list[torch.Tensor]]:
    """The probabilities of every attention of a denoiser; those of encoders are left out."""
    stock, found = functional.scaled_dot_product_attention, []

    def kept(query: Any, key: Any, value: Any, attn_mask: Any = None, **kwargs: Any) -> Any:
        scores = query.double() @ key.double().transpose(-1, -2) * query.shape[-1] ** -0.5
        found.append((scores + attn_mask.double() if attn_mask is not None else scores).softmax(-1))
        return stock(query, key, value, attn_mask=attn_mask, **kwargs)

    def use(function: Any) -> Any:
        return lambda *_: setattr(functional, "scaled_dot_product_attention", function)

    handles = (denoiser.register_forward_pre_hook(use(kept)), denoiser.register_forward_hook(use(stock)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
        functional.scaled_dot_product_attention = stock


def _maps(case: Case, pipeline: Any, request: Generation) -> list[list[torch.Tensor]]:
    """Of every layer of the first call, its attentions in the order in which they come."""
    with attentions(pipeline.transformer) as found:
        Lens(pipeline).generate(request, decode=False)
    layers = sum(case.layers.values())
    each = 3 if "image_encoder" in pipeline.components else 2  # a first frame has an attention of its own
    return [found[layer * each : layer * each + each] for layer in range(layers)]


@pytest.mark.parametrize("case", WITH_MAPS, ids=lambda case: case.pipeline)
def test_attention_maps_are_those_of_the_observer(case: Case, tmp_path: Path) -> None:
    pipeline, request = case.build(), case.ask()
    sites = ("attn1.rows[step=0]", "attn1.frames[step=0]", "attn2.words[step=0]")
    result = Lens(pipeline).trace(request, sites, tmp_path / "a.zarr", decode=False)
    trace = open_store(tmp_path / "a.zarr")[result.trace_id or ""]
    frames, count = case.tokens[0], case.tokens[1] * case.tokens[2]
    row = case.calls[0].index("cond")
    for layer, maps in enumerate(_maps(case, pipeline, request)):
        at = {"branch": "cond", "step": 0, "layer": layer}
        rows = maps[0][row].reshape(-1, frames, count, frames, count).permute(1, 2, 0, 3, 4).numpy()
        np.testing.assert_allclose(trace["attn1.rows.raw"].sel(at).values, rows, atol=1e-5)
        by_frame = rows.sum(-1).mean(1)
        np.testing.assert_allclose(trace["attn1.frames.raw"].sel(at).values, by_frame, atol=1e-5)
        words = maps[-1][row].reshape(-1, frames, count, case.words).permute(1, 2, 0, 3).numpy()
        np.testing.assert_allclose(trace["attn2.words.raw"].sel(at).values, words, atol=1e-5)


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("site", ["x0", "x0.guided"])
def test_no_clean_latent_of_a_wrapped_denoiser(name: str, site: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    with pytest.raises(BadRequest, match=rf"capture '{site}:raw' needs a denoiser that returns a velocity; got cosmos"):
        Lens(case.build()).trace(case.ask(), [site], tmp_path / "a.zarr", decode=False)
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("name", PARTS)
def test_no_attention_maps_where_text_stands_beside_the_video(name: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    with pytest.raises(DitLensError, match=r"attn1\.rows"):
        Lens(case.build()).trace(case.ask(), ["attn1.rows"], tmp_path / "a.zarr", decode=False)


def _wrong(case: Case, **changes: Any) -> Lens:
    """A lens whose adapter is wrong in one respect."""
    lens = Lens(case.build())
    lens.family = replace(lens.family, **changes)
    return lens


def test_a_wrong_adapter_ends_the_run(tmp_path: Path) -> None:
    case = BY_NAME["Flux2Pipeline"]
    double, single = Lens(case.build()).family.stacks
    wrong: tuple[dict[str, Any], ...] = (
        {"stacks": (double, replace(single, text="none"))},
        {"stacks": (replace(double, video=0), single)},
        {"grid": lambda _denoiser, latent: (1, latent[2], latent[3])},
        {"guidance": "sequential"},  # the pipeline has one branch
    )
    for number, changes in enumerate(wrong):
        with pytest.raises(IncompleteTrace):
            _wrong(case, **changes).trace(case.ask(), ["block.out:energy"], tmp_path / f"{number}.zarr", decode=False)


def test_given_frames_keep_their_velocity_from_the_branches(tmp_path: Path) -> None:
    """Cosmos Predict 2.5 goes on from a video: one number for the whole latent no longer joins the branches."""
    case = BY_NAME["Cosmos2_5_PredictBasePipeline"]
    frames = [Image.new("RGB", (96, 64), (30 * number, 80, 200)) for number in range(9)]
    given = replace(case, given={"video": frames, "num_latent_conditional_frames": 1})
    done = trace(given, tmp_path, ("block.in:energy", "latent", "velocity", "velocity.guided"))
    assert torch.equal(done.traced, done.plain)
    cond, uncond = (done.trace["velocity.raw"].sel(branch=branch).values for branch in ("cond", "uncond"))
    joined, guided = cond + 3.0 * (cond - uncond), done.trace["velocity.guided.raw"].values
    np.testing.assert_allclose(guided[:, :, 1:], joined[:, :, 1:], rtol=1e-4, atol=1e-4)
    assert not np.allclose(guided[:, :, 0], joined[:, :, 0], atol=1e-2)

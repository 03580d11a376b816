"""Every answer of a family held against its real pipeline, without the engine."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from einops import EinopsError

from dit_lens.adapters.checked import CHECKED
from dit_lens.adapters.cross_attention import CROSS_ATTENTION
from dit_lens.adapters.factored import FACTORED
from dit_lens.adapters.family import Family, Stack
from dit_lens.adapters.joint_attention import JOINT_ATTENTION
from dit_lens.adapters.refused import REFUSED
from dit_lens.adapters.registry import families, family_of
from dit_lens.engine.errors import BadRequest, UnknownModel
from dit_lens.generation import Generation

from . import build_cross, build_joint, truth
from .build_a import STEPS, TINY

FAMILIES = {family.name: family for family in (*JOINT_ATTENTION, *CROSS_ATTENTION, *FACTORED)}
NAMES = tuple(TINY)
pytestmark = [
    pytest.mark.filterwarnings("ignore:In CPU autocast"),  # Mochi asks for float32
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # in diffusers' schedulers
]


@cache
def _pipeline(name: str) -> Any:
    return TINY[name].build()


def _case(name: str) -> SimpleNamespace:
    """Pipeline, family, size, latent shape and token grid; one pipeline serves all tests, which leave no trace."""
    tiny, pipeline = TINY[name], _pipeline(name)
    family = FAMILIES[tiny.family]
    latent = family.latent_shape(pipeline, tiny.size)
    grid = family.grid(pipeline.transformer, latent)
    return SimpleNamespace(name=name, tiny=tiny, pipeline=pipeline, family=family, latent=latent, grid=grid)


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> SimpleNamespace:
    return _case(request.param)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _watch(case: SimpleNamespace, request: Generation) -> truth.Seen:
    with truth.watched(case.pipeline) as seen:
        truth.run(case.pipeline, case.family, request, case.tiny.size)
    return seen


def _guider(case: SimpleNamespace, guided: bool) -> None:
    """HunyuanVideo 1.5 takes its guidance from a component."""
    if case.name == "hunyuan-video-1.5":
        case.pipeline.guider = case.pipeline.guider.new(guidance_scale=case.tiny.guidance if guided else 1.0)


def _velocities(case: SimpleNamespace, seen: truth.Seen, branches: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The velocity of each branch at step 0."""
    found: dict[str, torch.Tensor] = {}
    for number, call in enumerate(call for call in seen.calls if call.step == 0):
        velocity = case.family.velocity_of(call.velocity, case.latent)
        for row, branch in enumerate(truth.rows_of(case.family, branches, number)):
            found[branch] = velocity[row]
    return found


def test_the_family_knows_its_pipeline(case: SimpleNamespace) -> None:
    family, pipeline = case.family, case.pipeline
    assert type(pipeline).__name__ in family.pipelines
    assert {name: type(model).__name__ for name, model in family.denoisers(pipeline).items()} == {
        "transformer": family.model
    }
    paths = [path for _, path, _ in family.layers(pipeline.transformer)]
    assert all(
        pipeline.transformer.get_submodule(path) is layer for _, path, layer in family.layers(pipeline.transformer)
    )
    assert len(paths) == len(set(paths)) > 1
    for stack, _, layer in family.layers(pipeline.transformer):
        assert all(layer.get_submodule(path) for path in stack.inside.values())


def test_the_table_of_checks_is_what_is_checked() -> None:
    tried = {(type(_pipeline(name)).__name__, tiny.family, "pipeline") for name, tiny in TINY.items()}
    assert {(row.pipeline, row.family, row.how) for row in CHECKED if row.family in FAMILIES} == tried
    declared = {(pipeline, family.name) for family in FAMILIES.values() for pipeline in family.pipelines}
    assert {(pipeline, family) for pipeline, family, _ in tried} == declared


@pytest.mark.parametrize("guided", [True, False])
def test_calls_and_contexts(case: SimpleNamespace, guided: bool) -> None:
    _guider(case, guided)
    request = case.tiny.ask(guided=guided)
    seen, family = _watch(case, request), case.family
    branches = family.branches(family, request)
    assert set(branches) == ({"cond", "uncond"} if guided else {"cond"})
    batched = guided and family.guidance == "batched"
    for step in range(STEPS):
        calls = [call for call in seen.calls if call.step == step]
        assert [len(call.latents) for call in calls] == ([2] if batched else [1] * len(branches))
        names = [call.context for call in calls]
        if names == ["cond_uncond"] or set(names) == {None}:
            continue
        assert tuple(family.contexts.get(name or "", name) for name in names) == branches
    assert len(seen.calls) == STEPS * (1 if batched else len(branches))


@pytest.mark.parametrize("guided", [True, False])
def test_steps_and_schedule(case: SimpleNamespace, guided: bool) -> None:
    _guider(case, guided)
    request = case.tiny.ask(guided=guided)
    seen = _watch(case, request)
    assert len(seen.timesteps) == case.family.steps(case.pipeline, request)
    scheduler = copy.deepcopy(case.pipeline.scheduler)
    if getattr(scheduler.config, "use_dynamic_shifting", False):
        return
    scheduler.set_timesteps(STEPS)
    alone = [float(timestep) for timestep in scheduler.timesteps]
    assert (alone == seen.timesteps) or not case.family.knows_schedule


@pytest.mark.parametrize("name", ["hunyuan-video", "hunyuan-video-1.5", "ltx", "ltx2", "mochi"])
def test_pipelines_with_a_schedule_of_their_own_say_so(name: str) -> None:
    case = _case(name)
    _guider(case, False)
    scheduler = copy.deepcopy(case.pipeline.scheduler)
    scheduler.set_timesteps(STEPS)
    seen = _watch(case, case.tiny.ask(guided=False))
    assert [float(timestep) for timestep in scheduler.timesteps] != seen.timesteps
    assert not case.family.knows_schedule


def test_rows_of_a_batch_and_layout_of_the_velocity(case: SimpleNamespace) -> None:
    """At step 0 both runs start from the same noise: the branch ``cond`` is the run without guidance."""
    _guider(case, False)
    alone = _velocities(case, _watch(case, case.tiny.ask(guided=False)), ("cond",))["cond"]
    _guider(case, True)
    request = case.tiny.ask()
    seen = _watch(case, request)
    found = _velocities(case, seen, case.family.branches(case.family, request))
    torch.testing.assert_close(found["cond"], alone, atol=1e-4, rtol=1e-3)
    assert (found["uncond"] - alone).abs().max() > 1e-3
    guided = found["uncond"] + request.guidance * (found["cond"] - found["uncond"])
    handed = case.family.latents_of(seen.guided[0], case.latent)[0]
    torch.testing.assert_close(handed, guided, atol=1e-4, rtol=1e-3)


def _agrees_with_the_autoencoder(case: SimpleNamespace, family: Family) -> None:
    _guider(case, False)
    last, handed = truth.decoded(case.pipeline, family, case.tiny.ask(guided=False), case.tiny.size)
    ours = family.latents_of(last, case.latent)
    assert tuple(ours.shape) == (1, *case.latent)
    if handed.ndim == 4:  # pictures in the batch
        handed = handed.unflatten(0, (1, -1)).transpose(1, 2)
    assert truth.same_up_to_scale(ours[:, :, -handed.shape[2] :], handed)


def test_layout_of_the_latents(case: SimpleNamespace) -> None:
    _agrees_with_the_autoencoder(case, case.family)


def _tokens_follow_latents(case: SimpleNamespace, family: Family, grid: tuple[int, int, int]) -> None:
    """One latent at a time, everywhere along the diagonals of the video."""
    _guider(case, False)
    request = case.tiny.ask(guided=False)
    stack, _, layer = family.layers(case.pipeline.transformer)[0]
    seen = _watch(case, request)
    at = truth.places(family, seen.latents[0].shape, case.latent)
    strides = [extent // tokens for extent, tokens in zip(case.latent[1:], grid, strict=True)]
    for number in range(max(case.latent[1:])):
        place = [(number + offset) % extent for offset, extent in enumerate(case.latent[1:])]
        where = [int(at[(number % case.latent[0], *place)])]
        changed = truth.moved(case.pipeline, family, request, case.tiny.size, where, stack, layer)
        frame, row, column = (index // stride for index, stride in zip(place, strides, strict=True))
        expected = torch.zeros(grid[0], grid[1] * grid[2], dtype=torch.bool)
        expected[frame, row * grid[2] + column] = True
        assert torch.equal(stack.frames(changed, grid)[0, ..., 0], expected)


def test_grid_and_order_of_the_tokens(case: SimpleNamespace) -> None:
    _tokens_follow_latents(case, case.family, case.grid)


def _layers_pass_on_the_video(case: SimpleNamespace, family: Family) -> None:
    """What a layer gives is what the next one takes, frame by frame and place by place."""
    taken: list[torch.Tensor] = []
    given: list[torch.Tensor] = []
    hooks: list[Any] = []
    for stack, _, layer in family.layers(case.pipeline.transformer):

        def before(_module: Any, args: Any, kwargs: Any, stack: Stack = stack) -> None:
            taken.append(stack.frames(stack.argument_of(args, kwargs), case.grid).clone())

        def after(_module: Any, _args: Any, output: Any, stack: Stack = stack) -> None:
            given.append(stack.frames(stack.video_of(output), case.grid).clone())

        hooks += [layer.register_forward_pre_hook(before, with_kwargs=True), layer.register_forward_hook(after)]
    _guider(case, False)
    try:
        _watch(case, case.tiny.ask(guided=False, steps=2))
    finally:
        for hook in hooks:
            hook.remove()
    layers = len(family.layers(case.pipeline.transformer))
    assert len(taken) == len(given) == 2 * layers
    shape = (1, case.grid[0], case.grid[1] * case.grid[2], family.width(case.pipeline.transformer))
    assert {tuple(values.shape) for values in (*taken, *given)} == {shape}
    for number in range(1, layers):
        if number == 1 and family.name == "latte":
            continue  # where the places in time are added
        assert torch.equal(taken[number], given[number - 1]), number


def test_layers_pass_on_the_video(case: SimpleNamespace) -> None:
    _layers_pass_on_the_video(case, case.family)


def _parts(family: Family, denoiser: Any) -> Iterator[tuple[Stack, Any, str, Any]]:
    for stack, path, layer in family.layers(denoiser):
        if path.endswith(".0"):
            for part, inner in stack.inside.items():
                yield stack, layer, part, layer.get_submodule(inner)


def test_parts_of_a_layer_hold_the_tokens_of_the_video(case: SimpleNamespace) -> None:
    """What is added to one token behind a part comes out of its layer at that token."""
    _guider(case, False)
    frame, token = case.grid[0] - 1, case.grid[1] * case.grid[2] - 2
    tried = []
    for stack, layer, part, module in _parts(case.family, case.pipeline.transformer):
        plain, changed = (_through(case, stack, layer, module, place) for place in (None, (frame, token)))
        tokens = (plain != changed).any(-1)
        expected = torch.zeros_like(tokens)
        expected[frame, token] = True
        assert torch.equal(tokens, expected), (stack.path, part)
        tried.append(part)
    assert "attn1" in tried


def _through(case: SimpleNamespace, stack: Stack, layer: Any, module: Any, place: Any) -> torch.Tensor:
    found: list[torch.Tensor] = []

    def disturb(_module: Any, _args: Any, output: Any) -> Any:
        values = output[0] if isinstance(output, tuple) else output
        values = values.clone()
        if place is not None:
            stack.frames(values, case.grid)[0, place[0], place[1]] += 1.0
        return (values, *output[1:]) if isinstance(output, tuple) else values

    def keep(_module: Any, _args: Any, output: Any) -> None:
        found.append(stack.frames(stack.video_of(output), case.grid)[0].clone())
        raise truth.Enough

    hooks = [module.register_forward_hook(disturb), layer.register_forward_hook(keep)]
    try:
        with pytest.raises(truth.Enough):
            truth.run(case.pipeline, case.family, case.tiny.ask(guided=False), case.tiny.size)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0]


def test_attention_sees_what_the_stack_says(case: SimpleNamespace) -> None:
    """Maps are sites exactly where queries and keys are the video's tokens, all of them and nothing else."""
    _guider(case, False)
    denoiser, tokens = case.pipeline.transformer, case.grid[0] * case.grid[1] * case.grid[2]
    for stack, _, part, module in _parts(case.family, denoiser):
        if part == "ffn":
            continue
        with truth.attentions(module) as shapes:
            truth.run(case.pipeline, case.family, case.tiny.ask(guided=False, steps=2), case.tiny.size)
        queries, keys = zip(*shapes, strict=True)
        assert {(shape[-3], shape[-1]) for shape in queries} == {case.family.heads(denoiser)}
        alone = {shape[-2] for shape in queries} == {tokens}
        assert stack.probabilities == (alone and (part == "attn2" or {shape[-2] for shape in keys} == {tokens}))


def test_text_tokens_are_those_of_cross_attention(case: SimpleNamespace) -> None:
    _guider(case, False)
    request = case.tiny.ask(guided=False, steps=2)
    for stack, _, part, module in _parts(case.family, case.pipeline.transformer):
        if stack.probabilities and part == "attn2":
            with truth.attentions(module) as shapes:
                truth.run(case.pipeline, case.family, request, case.tiny.size)
            assert {keys[-2] for _, keys in shapes} == {case.family.text_tokens(case.pipeline, request)}


@pytest.mark.parametrize("name", ["hunyuan-video", "hunyuan-video-1.5", "mochi", "kandinsky5", "latte"])
def test_latents_are_decoded_as_by_the_pipeline(name: str) -> None:
    case = _case(name)
    _guider(case, False)
    request, decode = case.tiny.ask(guided=False), case.family.decode
    latents = truth.run(case.pipeline, case.family, request, case.tiny.size)
    video = truth.run(case.pipeline, case.family, request, case.tiny.size, "np")[0]
    assert decode is not None
    with torch.no_grad():
        assert np.array_equal(decode(case.pipeline, latents), video)
    assert video.shape == (case.tiny.size.frames, case.tiny.size.height, case.tiny.size.width, 3)
    assert video.std() > 1e-3


class TestNegativeControls:
    """The same checks, with an adapter that is wrong in one place."""

    @pytest.mark.parametrize("name", ["cogvideox", "hunyuan-video", "mochi", "allegro", "kandinsky5"])
    def test_a_grid_with_rows_for_columns(self, name: str) -> None:
        case = _case(name)
        frames, rows, columns = case.grid
        with pytest.raises(AssertionError):
            _tokens_follow_latents(case, case.family, (frames, columns, rows))

    def test_frames_that_are_patched_but_not_said_to_be(self) -> None:
        case = _case("cogvideox1.5")
        assert case.grid[0] == case.latent[1] // 2 == 2
        with pytest.raises(EinopsError):
            _tokens_follow_latents(case, case.family, (4, *case.grid[1:]))

    @pytest.mark.parametrize(
        ("name", "layout"), [("cogvideox", "b c f h w"), ("ltx", "b (f w h) c"), ("kandinsky5", "b f w h c")]
    )
    def test_a_layout_of_the_latents_that_is_not_theirs(self, name: str, layout: str) -> None:
        case = _case(name)
        with pytest.raises((AssertionError, EinopsError)):
            _agrees_with_the_autoencoder(case, replace(case.family, latent=layout))

    @pytest.mark.parametrize("folds", [("time", "time"), ("space", "space"), ("time", "space")])
    def test_a_wrong_fold(self, folds: tuple[Any, Any]) -> None:
        case = _case("latte")
        stacks = tuple(replace(stack, fold=fold) for stack, fold in zip(case.family.stacks, folds, strict=True))
        with pytest.raises((AssertionError, EinopsError)):
            _layers_pass_on_the_video(case, replace(case.family, stacks=stacks))

    def test_text_for_video(self) -> None:
        case = _case("cogvideox")
        stacks = tuple(replace(stack, video=1) for stack in case.family.stacks)
        with pytest.raises((AssertionError, EinopsError)):
            _layers_pass_on_the_video(case, replace(case.family, stacks=stacks))


class TestLTX2:
    """Further kinds of guidance are calls of their own, and the audio follows the video."""

    @pytest.mark.parametrize(
        ("guided", "extra", "rows", "branches"),
        [
            (True, {"stg_scale": 1.0}, (2, 1), ("cond", "uncond", "uncond_stg")),
            (True, {"audio_modality_scale": 3.0}, (2, 1), ("cond", "uncond", "uncond_modality")),
            (False, {"stg_scale": 1.0, "modality_scale": 2.0}, (1, 1, 1), ("cond", "uncond_stg", "uncond_modality")),
            (False, {"audio_guidance_scale": 7.0}, (2,), ("cond", "uncond")),
            (True, {"audio_guidance_scale": 1.0}, (2,), ("cond", "uncond")),
        ],
    )
    def test_branches(self, guided: bool, extra: Any, rows: Any, branches: tuple[str, ...]) -> None:
        case = _case("ltx2")
        further = {"spatio_temporal_guidance_blocks": [1]} if "stg_scale" in extra else {}
        request = case.tiny.ask(guided=guided, extra={**case.tiny.extra, **extra, **further})
        assert case.family.branches(case.family, request) == branches
        seen = _watch(case, request)
        first = [call for call in seen.calls if call.step == 0]
        assert tuple(len(call.latents) for call in first) == rows
        assert tuple(call.context for call in first[1:]) == branches[-len(rows) + 1 :] or len(rows) == 1


class TestRefusals:
    @pytest.mark.parametrize("name", [name for name in NAMES if name != "latte"])
    def test_sizes_that_the_pipeline_would_round(self, name: str) -> None:
        case = _case(name)
        _guider(case, True)
        request = case.tiny.ask()
        case.family.check(case.pipeline, request, case.tiny.size)
        with pytest.raises(BadRequest, match="the width does not fit the model"):
            case.family.check(case.pipeline, request, replace(case.tiny.size, width=case.tiny.size.width + 1))
        if name != "allegro":
            with pytest.raises(BadRequest, match="the number of frames does not fit the model"):
                case.family.check(case.pipeline, request, replace(case.tiny.size, frames=case.tiny.size.frames + 1))

    def test_a_first_frame_that_is_missing_or_too_much(self) -> None:
        case, other = _case("cogvideox-image"), _case("cogvideox")
        with pytest.raises(BadRequest, match="draws from a first frame; got image None"):
            case.family.check(case.pipeline, other.tiny.ask(), case.tiny.size)
        with pytest.raises(BadRequest, match="traced from text alone; got an image"):
            other.family.check(other.pipeline, case.tiny.ask(), case.tiny.size)

    def test_one_step_of_mochi(self) -> None:
        case = _case("mochi")
        with pytest.raises(BadRequest, match="got 1 steps, allowed 2 or more"):
            case.family.check(case.pipeline, case.tiny.ask(steps=1), case.tiny.size)

    def test_frames_that_latte_has_no_places_for(self) -> None:
        case = _case("latte")
        with pytest.raises(BadRequest, match="got 5, allowed 1 or 3; ask for 3"):
            case.family.check(case.pipeline, case.tiny.ask(), replace(case.tiny.size, frames=5))

    def test_temporal_layers_that_do_not_run(self) -> None:
        case = _case("latte")
        request = case.tiny.ask(extra={"enable_temporal_attentions": False})
        with pytest.raises(BadRequest, match="enable_temporal_attentions False"):
            case.family.check(case.pipeline, request, case.tiny.size)

    def test_sparse_attention(self) -> None:
        case = _case("kandinsky5")
        sparse = build_cross.kandinsky5(attention_type="nabla")
        case.family.check(case.pipeline, case.tiny.ask(), case.tiny.size)
        with pytest.raises(BadRequest, match="got attention_type nabla, allowed regular"):
            case.family.check(sparse, case.tiny.ask(), case.tiny.size)

    def test_guidance_that_the_guider_does_not_have(self) -> None:
        case = _case("hunyuan-video-1.5")
        _guider(case, True)
        case.family.check(case.pipeline, case.tiny.ask(), case.tiny.size)
        with pytest.raises(BadRequest, match=r"got 5.0, allowed 3.0; .*guidance_scale=5.0"):
            case.family.check(case.pipeline, case.tiny.ask(guidance=5.0), case.tiny.size)

    def test_a_guider_that_starts_late(self) -> None:
        case = _case("hunyuan-video-1.5")
        pipeline = build_joint.hunyuan_video15()
        pipeline.guider = pipeline.guider.new(start=0.5)
        with pytest.raises(BadRequest, match=r"ClassifierFreeGuidance from 0.5 to 1.0"):
            case.family.check(pipeline, case.tiny.ask(), case.tiny.size)

    def test_refused_pipelines_exist_and_are_no_family_s(self) -> None:
        known = {name for family in families() for name in family.pipelines}
        assert all(hasattr(diffusers, name) for name in REFUSED)
        assert not known & set(REFUSED)

    @pytest.mark.parametrize("name", sorted(REFUSED))
    def test_a_refusal_says_why(self, name: str) -> None:
        pipeline = object.__new__(getattr(diffusers, name))
        with pytest.raises(UnknownModel) as caught:
            family_of(pipeline)
        assert REFUSED[name] in str(caught.value)
        assert f"got {name}, allowed" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_even_numbers_of_frames_are_rounded_up_by_allegro() -> None:
    case = _case("allegro")
    size = replace(case.tiny.size, frames=8)
    request = case.tiny.ask(guided=False, frames=8, steps=1)
    with truth.watched(case.pipeline) as seen:
        truth.run(case.pipeline, case.family, request, size)
    assert tuple(seen.latents[0].shape[1:]) == case.family.latent_shape(case.pipeline, size)

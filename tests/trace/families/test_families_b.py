"""What the families of image models, Cosmos and the others of this half say, against what their pipelines do.

A family's answers are held to the real pipeline without the engine: rows of a batch by the embeddings that are in
them, the order of tokens by moving one place of the latent, the layout of the velocity by moving one token of the last
layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from einops import EinopsError
from PIL import Image

from dit_lens.adapters.checked import CHECKED
from dit_lens.adapters.cosmos import COSMOS
from dit_lens.adapters.easyanimate import EASYANIMATE
from dit_lens.adapters.family import Family, Stack
from dit_lens.adapters.image import IMAGE
from dit_lens.adapters.linear_attention import LINEAR_ATTENTION
from dit_lens.adapters.wan_blocks import WAN_BLOCKS
from dit_lens.engine.errors import BadRequest
from dit_lens.engine.solver import schedule_of
from dit_lens.generation import Generation, Size

from .build_b import CASES, Case, beyond
from .observe_b import Call, Observer, observed

FAMILIES = {family.name: family for family in (*IMAGE, *COSMOS, *WAN_BLOCKS, *LINEAR_ATTENTION, EASYANIMATE)}
STEPS = 3
BY_NAME = {case.pipeline: case for case in CASES}
PLACES = ((0, 1, 2), (-1, 2, 0))  # frame, row, column of a token

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Cosmos Predict 2 gives its scheduler a torch tensor where numpy wants an array
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Run:
    """A run of the real pipeline that nobody but our own hooks has seen."""

    case: Case
    family: Family
    pipeline: Any
    request: Generation
    seen: Observer
    latents: torch.Tensor

    @property
    def paths(self) -> list[str]:
        return [f"{path}.{number}" for path, count in self.case.layers.items() for number in range(count)]

    @property
    def denoiser(self) -> Any:
        return self.pipeline.transformer

    def stack_of(self, path: str) -> Stack:
        return next(stack for stack in self.family.stacks if path.startswith(f"{stack.path}."))

    def taken(self, call: Call, path: str) -> torch.Tensor:
        stack = self.stack_of(path)
        return stack.frames(stack.argument_of(*call.inputs[path]), self.case.tokens)

    def given(self, call: Call, path: str) -> torch.Tensor:
        stack = self.stack_of(path)
        return stack.frames(stack.video_of(call.outputs[path]), self.case.tokens)


def call(pipeline: Any, family: Family, request: Generation, size: Size) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    arguments = family.arguments(family, pipeline, request, size)
    generator = torch.Generator("cpu").manual_seed(request.seed)
    latents: torch.Tensor = pipeline(**arguments, generator=generator, output_type="latent", return_dict=False)[0]
    return latents


def run(case: Case, **changes: Any) -> Run:
    family, pipeline, request = FAMILIES[case.family], case.build(), case.ask(**changes)
    texts = {"cond": request.extra["prompt_embeds"]}
    if "negative_prompt_embeds" in request.extra:
        texts["uncond"] = request.extra["negative_prompt_embeds"]
    layers = [f"{path}.{number}" for path, count in case.layers.items() for number in range(count)]
    parts = [f"{layer}.{part}" for layer in layers for part in _inside(family, layer)]
    with observed(pipeline, texts, (*layers, *parts)) as seen:
        latents = call(pipeline, family, request, case.size)
    return Run(case, family, pipeline, request, seen, latents)


def _inside(family: Family, layer: str) -> list[str]:
    stack = next(stack for stack in family.stacks if layer.startswith(f"{stack.path}."))
    return [*stack.inside.values(), *(f"{stack.inside[part]}.to_out" for part in ("attn1",) if part in stack.inside)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.pipeline)
def ran(request: pytest.FixtureRequest) -> Run:
    return run(request.param)


def test_pipeline_and_denoiser_are_those_of_the_family(ran: Run) -> None:
    assert type(ran.pipeline).__name__ in ran.family.pipelines
    assert type(ran.denoiser).__name__ == ran.family.model
    assert list(ran.family.denoisers(ran.pipeline)) == ["transformer"]


def test_branches_come_in_the_order_that_the_family_says(ran: Run) -> None:
    branches = ran.family.branches(ran.family, ran.request)
    for step in range(STEPS):
        calls = [call for call in ran.seen.calls if call.step == step]
        assert tuple(call.rows for call in calls) == ran.case.calls
        assert tuple(call.context for call in calls) == ran.case.contexts
        if ran.family.guidance == "batched":
            assert tuple(reversed(calls[0].rows)) == branches
        else:
            assert tuple(row for call in calls for row in call.rows) == branches
        for call in calls:
            assert call.context is None or ran.family.contexts.get(call.context, call.context) == call.rows[0]
    assert len(ran.seen.steps) == STEPS == ran.family.steps(ran.pipeline, ran.request)


def test_without_guidance_only_cond_runs(ran: Run) -> None:
    off = run(ran.case, guidance=1.0)
    assert off.family.branches(off.family, off.request) == ("cond",)
    assert [call.rows for call in off.seen.calls] == [("cond",)] * STEPS


def test_layers_are_all_there(ran: Run) -> None:
    assert [path for _, path, _ in ran.family.layers(ran.denoiser)] == ran.paths
    blocks = [name for name, module in ran.denoiser.named_modules() if type(module).__name__.endswith("Block")]
    assert sorted(blocks) == sorted(ran.paths)
    assert all(set(ran.paths) <= call.outputs.keys() for call in ran.seen.calls)


def test_shapes_are_those_that_the_pipeline_makes(ran: Run) -> None:
    latent = ran.family.latent_shape(ran.pipeline, ran.case.size)
    assert latent == ran.case.latent
    assert ran.family.grid(ran.denoiser, latent) == ran.case.tokens
    for step in ran.seen.steps:
        assert ran.family.latents_of(step.latent, latent).shape == (1, *latent)
        assert ran.family.latents_of(step.velocity, latent).shape == (1, *latent)
    for call in ran.seen.calls:
        assert ran.family.velocity_of(call.output[0], latent).shape == (len(call.rows), *latent)
        for path in ran.paths:
            frames = (len(call.rows), ran.case.tokens[0], ran.case.tokens[1] * ran.case.tokens[2])
            assert ran.given(call, path).shape == (*frames, ran.family.width(ran.denoiser))


def _first(output: Any) -> torch.Tensor:
    first = output[0] if isinstance(output, tuple) else output
    assert isinstance(first, torch.Tensor)
    return first


def _poked(run: Run, call: Call, place: tuple[int, int, int]) -> dict[str, Any]:
    """The call's arguments with the latent moved at the last corner of one patch."""
    name, latent = run.family.argument, run.case.latent
    values = call.given[name].clone().contiguous()
    head = values[:1] if values.ndim == 3 else values[:1, : latent[0]]
    number = run.family.latents_of(torch.arange(head.numel()).reshape(head.shape), latent)
    frame, row, column = place
    values[0].view(-1)[number[0, 0, frame, 2 * row + 1, 2 * column + 1]] += 1.0
    return {**call.given, name: values}


@torch.no_grad()
def _one_token_moves(ran: Run, place: tuple[int, int, int]) -> bool:
    """Whether the first layer takes another value at the token of one place of the latent, and nowhere else."""
    call, path = ran.seen.calls[0], ran.paths[0]
    with observed(ran.pipeline, ran.seen.texts, (path,)) as seen:
        ran.denoiser(**call.given)
        ran.denoiser(**_poked(ran, call, place))
    moved = (ran.taken(seen.calls[1], path) - ran.taken(seen.calls[0], path)).abs().amax(-1) > 0
    wanted = torch.zeros_like(moved)
    wanted[0, place[0], place[1] * ran.case.tokens[2] + place[2]] = True
    return torch.equal(moved, wanted)


@pytest.mark.parametrize("place", PLACES)
def test_one_place_of_the_latent_moves_one_token_of_the_first_layer(ran: Run, place: tuple[int, int, int]) -> None:
    assert _one_token_moves(ran, place)


@torch.no_grad()
@pytest.mark.parametrize("place", PLACES)
def test_one_token_of_the_last_layer_moves_one_patch_of_the_velocity(ran: Run, place: tuple[int, int, int]) -> None:
    call, path = ran.seen.calls[0], ran.paths[-1]
    stack, frame = ran.stack_of(path), place[0] % ran.case.tokens[0]

    def poke(_module: Any, _args: Any, output: Any) -> None:
        values = stack.video_of(output)
        tokens = ran.case.tokens[1] * ran.case.tokens[2]
        number = frame * tokens + place[1] * ran.case.tokens[2] + place[2]
        number += values.shape[1] - ran.case.tokens[0] * tokens if stack.text == "prefix" else 0
        values[0, number] += torch.linspace(-1, 1, values.shape[-1])

    plain = ran.family.velocity_of(ran.denoiser(**call.given)[0], ran.case.latent)
    handle = ran.denoiser.get_submodule(path).register_forward_hook(poke)
    try:
        poked = ran.family.velocity_of(ran.denoiser(**call.given)[0], ran.case.latent)
    finally:
        handle.remove()
    moved = (poked - plain).abs().amax(1) > 0
    wanted = torch.zeros_like(moved)
    wanted[0, frame, 2 * place[1] : 2 * place[1] + 2, 2 * place[2] : 2 * place[2] + 2] = True
    assert torch.equal(moved, wanted)


def _layers_pass_on(ran: Run) -> bool:
    return all(
        torch.equal(ran.given(call, before), ran.taken(call, after))
        for call in ran.seen.calls
        for before, after in zip(ran.paths, ran.paths[1:], strict=False)
    )


def test_a_layer_takes_what_the_one_before_returned(ran: Run) -> None:
    assert _layers_pass_on(ran)


def test_the_scheduler_steps_by_the_branches_joined(ran: Run) -> None:
    if ran.case.guide is None:
        pytest.skip("there is one branch, or the pipeline makes something else of what comes out")
    for number, step in enumerate(ran.seen.steps):
        rows = {
            branch: call.output[0][row : row + 1]
            for call in ran.seen.calls
            if call.step == number
            for row, branch in enumerate(call.rows)
        }
        joined = ran.case.guide(rows["cond"], rows["uncond"], ran.request.guidance)
        latent = ran.case.latent
        torch.testing.assert_close(ran.family.velocity_of(joined, latent), ran.family.latents_of(step.velocity, latent))


def test_a_known_schedule_is_the_one_that_runs(ran: Run) -> None:
    if not ran.family.knows_schedule:
        pytest.skip("the pipeline computes its timesteps itself")
    schedule = schedule_of(ran.case.build().scheduler, STEPS)
    assert schedule.timesteps == tuple(step.timestep for step in ran.seen.steps)
    assert schedule.sigmas == pytest.approx([step.sigma for step in ran.seen.steps])


def test_parts_of_a_layer_return_the_video_first(ran: Run) -> None:
    tokens = ran.case.tokens[0] * ran.case.tokens[1] * ran.case.tokens[2]
    call = ran.seen.calls[0]
    for path in ran.paths:
        for part, name in ran.stack_of(path).inside.items():
            values = _first(call.outputs[f"{path}.{name}"])
            assert values.shape == (len(call.rows), tokens, ran.family.width(ran.denoiser))
            if part == "attn1":  # its own projection is the video's: that of the text has another name
                projection = ran.denoiser.get_submodule(f"{path}.{name}.to_out.0")
                assert values.shape[-1] == projection.out_features


@torch.no_grad()
def test_attention_of_the_video_alone_has_its_heads_and_words(ran: Run) -> None:
    maps = [stack for stack in ran.family.stacks if stack.probabilities]
    if not maps:
        pytest.skip("queries, keys and values hold text beside the video, or there is no softmax")
    seen: dict[str, tuple[int, ...]] = {}
    layer = maps[0].layers(ran.denoiser)[0]
    handles = [
        layer.get_submodule(f"{maps[0].inside[part]}.{what}").register_forward_hook(
            lambda _module, _args, output, name=f"{part}.{what}": seen.update({name: tuple(output.shape)})
        )
        for part in ("attn1", "attn2")
        for what in ("to_q", "to_k")
    ]
    call = ran.seen.calls[0]
    ran.denoiser(**call.given)
    for handle in handles:
        handle.remove()
    heads, channels = ran.family.heads(ran.denoiser)
    tokens, words = ran.case.tokens, ran.family.text_tokens(ran.pipeline, ran.request)
    video = (len(call.rows), tokens[0] * tokens[1] * tokens[2], heads * channels)
    assert seen == {
        "attn1.to_q": video,
        "attn1.to_k": video,
        "attn2.to_q": video,
        "attn2.to_k": (len(call.rows), words, heads * channels),
    }


def _packed(pipeline: Any, latent_BCHW: torch.Tensor) -> torch.Tensor:
    """As the pipeline itself packs a latent picture."""
    if type(pipeline).__name__.startswith("Flux2"):
        return pipeline._pack_latents(pipeline._patchify_latents(latent_BCHW))  # type: ignore[no-any-return]
    shape = latent_BCHW.shape
    return pipeline._pack_latents(latent_BCHW, *shape)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["FluxPipeline", "Flux2Pipeline", "Flux2KleinPipeline", "QwenImagePipeline"])
def test_packed_latents_are_unpacked_as_they_were_packed(name: str) -> None:
    case = BY_NAME[name]
    latent = torch.arange(4 * 8 * 12.0).reshape(1, 4, 8, 12)
    packed = _packed(case.build(), latent)
    assert torch.equal(FAMILIES[case.family].latents_of(packed, case.latent), latent[:, :, None])
    turned = replace(FAMILIES[case.family], latent="b (w h) (c p q)")
    assert not torch.equal(turned.latents_of(packed, case.latent), latent[:, :, None])


@pytest.mark.parametrize("name", ["Cosmos2TextToImagePipeline", "Cosmos2VideoToWorldPipeline"])
def test_cosmos_2_mixes_the_output_with_the_latent(name: str) -> None:
    """What makes the family preconditioned: neither branch's output is the velocity that the scheduler gets."""
    seen = run(BY_NAME[name]).seen
    for number, step in enumerate(seen.steps[:-1]):
        cond, uncond = (call.output[0] for call in seen.calls if call.step == number)
        share = step.sigma / (step.sigma + 1)
        clean = [(1 - share) * step.latent - share * output for output in (cond, uncond)]
        guided = (step.latent - beyond(*clean, 3.0)) / step.sigma
        given = slice(1, None) if name == "Cosmos2VideoToWorldPipeline" else slice(None)  # the first frame is given
        torch.testing.assert_close(step.velocity[:, :, given], guided[:, :, given], rtol=1e-3, atol=1e-3)
        assert not torch.allclose(step.velocity, beyond(cond, uncond, 3.0), rtol=0.1)
    assert FAMILIES[BY_NAME[name].family].preconditioned


def _changed(name: str, **changes: Any) -> Run:
    """A run of which a changed family is asked."""
    truth = run(BY_NAME[name])
    return replace(truth, family=replace(truth.family, **changes))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.pipeline)
def test_a_wrong_grid_is_caught(case: Case) -> None:
    frames, rows, columns = case.tokens
    truth = run(case)
    wrong = replace(truth, case=replace(case, tokens=(frames, columns, rows)))
    assert _one_token_moves(truth, PLACES[0])
    assert not _one_token_moves(wrong, PLACES[0])


def test_a_dropped_text_prefix_is_caught() -> None:
    double, single = FAMILIES["flux-2"].stacks
    with pytest.raises(EinopsError):
        _layers_pass_on(_changed("Flux2Pipeline", stacks=(double, replace(single, text="none"))))
    assert not _layers_pass_on(_changed("Flux2Pipeline", stacks=(double, replace(single, text="suffix"))))


def test_the_wrong_stream_is_caught() -> None:
    double, single = FAMILIES["flux"].stacks
    with pytest.raises(EinopsError):
        _layers_pass_on(_changed("FluxPipeline", stacks=(replace(double, video=0), single)))


REFUSALS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("FluxPipeline", {"frames": 5}, "got 5 frames, allowed 1; ask for 1"),
    ("FluxPipeline", {"height": 72}, "got 72, allowed multiples of 16; ask for 64 or 80"),
    ("QwenImagePipeline", {"width": 8}, "got 8, allowed multiples of 16; ask for 16 or 32"),
    ("PixArtSigmaPipeline", {"frames": 2}, "got 2 frames, allowed 1; ask for 1"),
    ("EasyAnimatePipeline", {"frames": 8}, "got 8, allowed 1 and then every 4 more; ask for 5 or 9"),
    ("SanaVideoPipeline", {"height": 80}, "got 80, allowed multiples of 32; ask for 64 or 96"),
    ("SkyReelsV2Pipeline", {"image": Image.new("RGB", (96, 64))}, "got an image, allowed None; leave it out"),
    ("Flux2Pipeline", {"image": Image.new("RGB", (96, 64))}, "got an image, allowed None; leave it out"),
    ("SkyReelsV2ImageToVideoPipeline", {"image": None}, "got image None, allowed a PIL image; give one"),
    ("Cosmos2VideoToWorldPipeline", {"image": None}, "got image None, allowed a PIL image; give one"),
    ("Cosmos2_5_PredictBasePipeline", {"frames": 4}, "got 4, allowed 1 and then every 4 more; ask for 1 or 5"),
    ("Cosmos2TextToImagePipeline", {"frames": 5}, "got 5 frames, allowed 1; ask for 1"),
    ("ChronoEditPipeline", {"frames": 9}, "got 9, allowed 5; give enable_temporal_reasoning in extra"),
)


@pytest.mark.parametrize(("name", "changes", "message"), REFUSALS)
def test_what_a_pipeline_would_round_or_ignore_is_refused(name: str, changes: dict[str, Any], message: str) -> None:
    case = BY_NAME[name]
    family, pipeline, request = FAMILIES[case.family], case.build(), case.ask(**changes)
    family.check(pipeline, case.ask(), case.size)
    size = Size(request.height or 0, request.width or 0, request.frames or 0)
    with pytest.raises(BadRequest, match=message):
        family.check(pipeline, request, size)


def test_guidance_by_skipped_layers_is_refused() -> None:
    case = BY_NAME["StableDiffusion3Pipeline"]
    request = replace(case.ask(), extra={"skip_guidance_layers": [1]})
    with pytest.raises(BadRequest, match=r"got skip_guidance_layers \[1\], allowed None; leave it out of extra"):
        FAMILIES["sd3"].check(case.build(), request, case.size)


def test_a_distilled_klein_runs_without_guidance() -> None:
    case = BY_NAME["Flux2KleinPipeline"]
    pipeline = case.build()
    pipeline.register_to_config(is_distilled=True)
    FAMILIES["flux-2-klein"].check(pipeline, case.ask(guidance=1.0), case.size)
    with pytest.raises(BadRequest, match=r"got 3\.0, allowed 1; ask for guidance 1"):
        FAMILIES["flux-2-klein"].check(pipeline, case.ask(), case.size)


def test_chronoedit_reasons_through_all_steps_or_not_at_all() -> None:
    case = replace(BY_NAME["ChronoEditPipeline"], size=Size(64, 96, 9), latent=(16, 3, 8, 12), tokens=(3, 4, 6))
    extra = case.ask().extra
    short, whole = (
        replace(case.ask(), extra={**extra, "enable_temporal_reasoning": True, "num_temporal_reasoning_steps": steps})
        for steps in (2, 3)
    )
    family, pipeline = FAMILIES["chronoedit"], case.build()
    family.check(pipeline, whole, case.size)
    assert call(pipeline, family, whole, case.size).shape == (1, *case.latent)
    assert family.latent_shape(pipeline, case.size) == case.latent
    with pytest.raises(BadRequest, match="got num_temporal_reasoning_steps 2, allowed 3 or more; give that in extra"):
        family.check(pipeline, short, case.size)
    assert call(pipeline, family, short, case.size).shape == (1, 16, 2, 8, 12)


def test_padded_prompts_have_the_length_that_the_call_names() -> None:
    request = Generation(prompt="Draw the path", seed=0, steps=4)
    longest = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300, "SkyReelsV2Pipeline": 512}
    for name, words in longest.items():
        case = BY_NAME[name]
        family, pipeline = FAMILIES[case.family], case.build()
        assert family.text_tokens(pipeline, request) == words
        assert family.text_tokens(pipeline, replace(request, extra={"max_sequence_length": 33})) == 33


def test_the_table_of_checks_names_every_pipeline_that_was_run() -> None:
    ran = {(case.pipeline, case.family) for case in CASES}
    listed = {(entry.pipeline, entry.family) for entry in CHECKED if entry.family in FAMILIES}
    declared = {(pipeline, family.name) for family in FAMILIES.values() for pipeline in family.pipelines}
    assert listed == ran == declared
    assert {entry.how for entry in CHECKED if entry.family in FAMILIES} == {"pipeline"}


DECODED = ("EasyAnimatePipeline", "SanaVideoPipeline", "SkyReelsV2Pipeline", "SkyReelsV2ImageToVideoPipeline")


def _shown(case: Case, extra: dict[str, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The video as the pipeline gives it, and as the family decodes its latents."""
    family, pipeline, request = FAMILIES[case.family], case.build(), case.ask()
    request = replace(request, extra={**request.extra, **extra})
    latents = call(pipeline, family, request, case.size)
    arguments = family.arguments(family, pipeline, request, case.size)
    generator = torch.Generator("cpu").manual_seed(request.seed)
    video = pipeline(**arguments, generator=generator, output_type="np", return_dict=False)[0][0]
    assert family.decode is not None
    with torch.no_grad():
        return np.asarray(video), np.asarray(family.decode(pipeline, latents))


@pytest.mark.parametrize("name", [*DECODED, "ChronoEditPipeline"])
def test_latents_are_decoded_as_by_the_pipeline(name: str) -> None:
    video, ours = _shown(BY_NAME[name], {})
    assert video.shape == (BY_NAME[name].size.frames, 64, 96, 3)
    assert np.array_equal(video, ours)
    assert video.std() > 0.01


def test_frames_in_between_are_decoded_apart_from_the_edit() -> None:
    case = replace(BY_NAME["ChronoEditPipeline"], size=Size(64, 96, 9))
    video, ours = _shown(case, {"enable_temporal_reasoning": True, "num_temporal_reasoning_steps": STEPS})
    assert video.shape == (9, 64, 96, 3)
    assert np.array_equal(video, ours)

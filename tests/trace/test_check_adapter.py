"""The check of an adapter passes what is right, and finds every mistake planted in a family, a pipeline or in us."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FirstBlockCacheConfig

from dit_lens.adapters import Family, Stack
from dit_lens.adapters.wan import WAN
from dit_lens.engine import hooks, watch
from dit_lens.errors import AdapterFailed, BadRequest, DitLensError
from dit_lens.generation import Size
from dit_lens.testing import AdapterReport, check_adapter, small_request

ROWS = [
    *("traceable", "clean", "experts", "runs", "layers", "parts", "shapes"),
    *("tokens.frames", "tokens.rows", "tokens.columns"),
    *(
        "velocity",
        "latents",
        "decode",
        "complete",
        "complete.unguided",
        "identity",
        "restored",
        "branches",
        "x0",
        "timesteps",
    ),
    *("swap.self", "swap.zero"),
]
RAGGED = {"height": 32, "width": 48, "frames": 5, "steps": 2}


@pytest.fixture
def one(kit: Any) -> Any:
    """A pipeline with one expert, which is the fastest."""
    return kit.build("t2v", experts=1)


@pytest.fixture
def check(kit: Any) -> Any:
    """Check a text-to-video pipeline on 2 frames of 4 x 6 tokens."""

    def checked(
        pipeline: Any, family: Family | None = None, only: set[str] | None = None, **changes: Any
    ) -> AdapterReport:
        return check_adapter(pipeline, kit.ask("t2v", **{**RAGGED, **changes}), family=family, only=only, raises=False)

    return checked


def failed(report: AdapterReport) -> set[str]:
    return {row.name for row in report.failed}


@pytest.mark.parametrize(
    ("kind", "experts", "scheduler"),
    [
        ("i2v", 2, "unipc"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("i2v", 1, "euler"), ("i2v", 2, "dpm"), ("t2v", 2, "euler"), ("t2v", 1, "dpm"))
        ),
        ("t2v", 1, "euler"),
    ],
)
def test_wan_passes_every_check(kit, kind, experts, scheduler):
    report = check_adapter(kit.look(kit.build(kind, scheduler, experts)))
    assert [row.name for row in report.checks] == ROWS
    assert {row.outcome for row in report.checks} == {"passed"}, report
    assert report["experts"].seen == ("transformer, transformer_2" if experts == 2 else "transformer")
    assert report.request == "2 steps of 64 x 96 x 9"
    assert report["x0"].seen.endswith("bit for bit")
    assert report["parts"].seen == "blocks: attn1 WanAttention, attn2 WanAttention, ffn FeedForward"
    assert report["decode"].seen == "pixels (9, 64, 96, 3) as the pipeline shows them, bit for bit"


def test_without_guidance_there_is_nothing_to_compare(check, one):
    report = check(one, guidance=1.0)
    assert report.passed
    assert {row.name for row in report.checks if row.outcome == "skipped"} == {"complete.unguided", "branches"}


def test_one_frame_has_no_frames_to_tell_apart(check, one):
    report = check(one, frames=1)
    assert report.passed
    assert [row for row in report.checks if row.outcome == "skipped"] == [report["tokens.frames"]]
    assert report["tokens.frames"].seen == "one frame of tokens"
    assert report["velocity"].seen == "rows alone, columns alone"


def test_a_request_gets_steps_until_every_expert_has_one(kit):
    pipeline = kit.build("t2v")
    pipeline.register_to_config(boundary_ratio=0.7)
    request = small_request(pipeline, WAN, height=32, width=32)
    assert (request.steps, request.height, request.width, request.frames) == (4, 32, 32, 9)


def test_a_size_that_the_family_refuses_is_named(kit):
    with pytest.raises(BadRequest) as caught:
        small_request(kit.build(), WAN, height=40)
    assert str(caught.value).startswith(
        "no request that was made up fits wan: the height of the video does not fit the model; got 40, allowed"
    )


@pytest.mark.parametrize(
    ("name", "changes", "rows"),
    [
        ("rows and columns swapped", {"grid": lambda d, x: (x[1], x[3], x[2])}, {"tokens.rows", "tokens.columns"}),
        ("frames and rows swapped", {"grid": lambda d, x: (x[2], x[1], x[3])}, {"tokens.frames", "tokens.rows"}),
        ("coarser", {"grid": lambda d, x: (x[1], x[2] // 2, x[3] * 2)}, {"tokens.rows", "tokens.columns"}),
        ("patches that are none", {"grid": lambda d, x: (x[1], x[2] // 2, x[3])}, {"tokens.rows", "complete"}),
        ("half the channels", {"width": lambda d: 12}, {"complete"}),
        ("fewer latent channels", {"latent_shape": lambda p, s: (8, 2, 4, 6)}, {"shapes", "complete"}),
        ("space folded", {"stacks": (Stack("blocks", fold="space"),)}, {"tokens.frames", "complete"}),
        ("time folded", {"stacks": (Stack("blocks", fold="time"),)}, {"tokens.frames", "complete"}),
        ("no such list", {"stacks": (Stack("layers"),)}, {"layers"}),
        ("another argument", {"argument": "latents"}, {"tokens.frames"}),
        ("frames first", {"latent": "b f c h w"}, {"shapes", "complete"}),
        ("velocity the other way", {"velocity": "b c f w h"}, {"shapes", "velocity", "complete"}),
        ("branches swapped", {"contexts": {"cond": "uncond", "uncond": "cond"}}, {"complete.unguided"}),
        ("branches not named", {"contexts": {"cond": "yes", "uncond": "no"}}, {"complete"}),
        ("one branch too few", {"branches": lambda f, r: ("cond",)}, {"complete"}),
        ("batched guidance", {"guidance": "batched"}, {"complete"}),
        ("a second argument of the block", {"stacks": (Stack("blocks", argument="x", position=1),)}, {"tokens.frames"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_family_is_found(check, one, name, changes, rows):
    report = check(one, replace(WAN, **changes), rows)
    assert rows <= failed(report), report
    assert all(row.seen and row.remedy for row in report.failed)


def inside(probabilities: bool = True, **changes: str) -> Family:
    """Wan with other modules for the parts of its layers."""
    (blocks,) = WAN.stacks
    return replace(WAN, stacks=(replace(blocks, inside={**blocks.inside, **changes}, probabilities=probabilities),))


@pytest.mark.parametrize(
    ("family", "seen"),
    [
        (inside(ffn="attn1"), "blocks.0: two parts are one module (attn1 WanAttention, attn2 WanAttention, ffn WanA"),
        (inside(ffn="norm2"), "blocks.0: ffn is a FP32LayerNorm"),
        (inside(ffn="norm1"), "blocks.0: ffn is a FP32LayerNorm"),
        (inside(ffn="ffn.net.1"), "blocks.0: ffn is a Dropout"),
        (inside(False, attn1="norm1"), "blocks.0: attn1 is a FP32LayerNorm"),
        (inside(False, attn1="ffn", ffn="attn1"), "blocks.0: attn1 is a FeedForward, which does not attend"),
        (inside(False, attn1="attn2", attn2="attn1"), "blocks.0 runs attn2, attn1, ffn, not attn1, attn2, ffn"),
        (inside(False, attn2="attn1.to_q"), "blocks.0: attn2 is a Linear, which does not attend"),
        (replace(inside(), stacks=(Stack("blocks", inside={"ffn": "attn2"}),)), "ffn is a WanAttention, which attends"),
    ],
)
def test_a_part_that_is_another_module_is_found(check, one, family, seen):
    report = check(one, family, {"parts"})
    assert failed(report) == {"parts"}
    assert seen in report["parts"].seen
    assert report["parts"].remedy == "correct inside of the stack"


def test_rows_can_be_chosen(check, one):
    report = check(one, only=("swap.self", "parts"))
    assert [row.name for row in report.checks] == [*ROWS[:4], "parts", "swap.self"]
    with pytest.raises(BadRequest, match=r"no such row; got 'swap.slf', allowed layers, .*; did you mean 'swap.self'"):
        check(one, only={"swap.slf"})


def test_a_stack_without_parts_has_none_to_check(check, one):
    report = check(one, replace(WAN, stacks=(Stack("blocks"),)))
    assert report.passed
    assert report["parts"].outcome == "skipped"


def test_a_part_that_no_layer_has_is_said(check, one):
    report = check(one, inside(ffn="ff"), {"parts"})
    assert report["parts"].seen == "blocks: attn1 WanAttention, attn2 WanAttention, no ffn"


def test_a_part_that_counts_nothing_is_found(check, one):
    for value in one.transformer.blocks[1].ffn.parameters():
        value.data.zero_()
    report = check(one)
    assert failed(report) == {"parts"}
    assert report["parts"].seen == "blocks.1: zeros in place of ffn give the same block.out"


def test_a_part_that_runs_twice_is_found(check, one):
    block = one.transformer.blocks[2]
    stock = block.forward

    def again(*args: Any, **kwargs: Any) -> Any:
        block.ffn(args[0])
        return stock(*args, **kwargs)

    block.forward = again
    assert check(one, only={"parts"})["parts"].seen == "blocks.2 runs ffn, attn1, attn2, ffn, not attn1, attn2, ffn"


class Wrapped(torch.nn.Module):
    """An attention without a processor of its own."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


def test_an_attention_of_another_make_is_heard(check, one):
    for block in one.transformer.blocks:
        block.attn1 = Wrapped(block.attn1)
    report = check(one, inside(False), {"parts"})
    assert report["parts"].outcome == "passed"
    assert "attn1 Wrapped" in report["parts"].seen


def decodes(change: Any) -> Family:
    return replace(WAN, decode=lambda pipeline, latents: change(WAN.decode, pipeline, latents))


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda stock, p, x: stock(p, x * 0), "to other pixels than the pipeline, by up to"),
        (lambda stock, p, x: stock(p, x) + 0.001, "to other pixels than the pipeline, by up to 0.26 of 255"),
        (lambda stock, p, x: stock(p, x) * float("nan"), "to other pixels than the pipeline, by up to nan of 255"),
        (lambda stock, p, x: stock(p, x.flip(2)), "to other pixels than the pipeline"),
        (lambda stock, p, x: stock(p, x)[1:], "decodes to (4, 32, 48, 3), and the pipeline to (5, 32, 48, 3)"),
    ],
)
def test_a_wrong_decode_is_found(check, one, change, seen):
    report = check(one, decodes(change), {"latents", "decode"})
    assert failed(report) == {"decode"}
    assert seen in report["decode"].seen
    assert report["decode"].remedy == "correct Family.decode, or set it to None"


@pytest.mark.parametrize(("off", "fails"), [(0.003, set()), (0.01, {"decode"})])
def test_half_precision_may_be_a_level_of_a_byte_off(check, one, off, fails):
    one.vae.to(torch.bfloat16)
    report = check(one, decodes(lambda stock, p, x: stock(p, x) + off), {"latents", "decode"})
    assert failed(report) == fails
    assert f"{255 * off:.2g} of 255" in report["decode"].seen


def test_a_family_that_does_not_decode_is_not_asked_to(check, one):
    report = check(one, replace(WAN, decode=None), {"latents", "decode"})
    assert report.passed
    assert report["decode"].outcome == "skipped"
    assert report["decode"].seen == "family wan does not decode"
    assert report["latents"].outcome == "passed", "at the door of the autoencoder, which is not run"


def test_an_autoencoder_that_fails_is_said_once(check, one):
    def die(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no weights")

    one.vae.decode = die
    report = check(one, only={"latents", "decode"})
    assert failed(report) == {"decode"}
    assert report["decode"].seen == "RuntimeError: no weights"
    assert vars(one.vae)["decode"] is die


def test_a_square_hides_a_grid_that_is_swapped_and_says_nothing_wrong(check, one):
    """Rows and columns swapped on a square are the same numbers: a made-up request is no square, for this reason."""
    swapped = replace(WAN, grid=lambda d, x: (x[1], x[3], x[2]))
    assert check(one, swapped, width=32).passed
    assert not check_adapter(one, family=swapped, only={"tokens.rows"}, raises=False).passed


def test_a_hidden_expert_is_found(kit, check):
    report = check(kit.build("t2v"), replace(WAN, experts=("transformer",)), {"complete"})
    assert report["experts"].outcome == "failed"
    assert report["experts"].seen == "transformer_2 of the same class, named by no expert"
    assert "complete" in failed(report), "and half of the steps are missing"


def test_a_schedule_that_the_pipeline_does_not_follow_is_found(check, one):
    one.scheduler.register_to_config(flow_shift=1.0)
    stock = type(one.scheduler).set_timesteps

    class Own(type(one.scheduler)):
        def set_timesteps(self, steps: int, device: Any = None) -> None:
            stock(self, steps if device is None else steps + 1, device=device)

    one.scheduler.__class__ = Own
    assert {"complete", "timesteps"} <= failed(check(one, only={"complete", "timesteps"}))


@pytest.mark.parametrize("where", ["blocks.1", "blocks.0.attn1.to_q", ""])
def test_a_hook_left_behind_by_somebody_is_found(check, one, where):
    handle = one.transformer.get_submodule(where).register_forward_hook(lambda _m, _a, out: None)
    report = check(one, only={"identity", "restored", "parts"})
    assert failed(report) == {"clean"}
    assert f"transformer.{where}".rstrip(".") in report["clean"].seen
    handle.remove()
    assert check(one, only=())["clean"].outcome == "passed"


def test_a_hook_left_behind_by_us_is_found(check, one, monkeypatch):
    from contextlib import nullcontext

    monkeypatch.setattr(hooks, "_hook", nullcontext)
    report = check(one, only={"restored"})
    assert "restored" in failed(report)
    assert "hooks of transformer" in report["restored"].seen


def test_a_capture_that_changes_what_flows_is_found(check, one, monkeypatch):
    stock = watch.Watch._recording

    def meddling(self: Any, number: int, kind: Stack, site: str) -> Any:
        record = stock(self, number, kind, site)

        def changed(values: torch.Tensor) -> None:
            record(values)
            values.mul_(1.001)

        return changed

    monkeypatch.setattr(watch.Watch, "_recording", meddling)
    assert "identity" in failed(check(one, only={"identity"}))


def test_a_pipeline_that_does_not_repeat_itself_is_found(check, one):
    stock, calls = type(one).prepare_latents, count()
    one.prepare_latents = lambda *args, **kwargs: stock(one, *args, **kwargs) + 0.01 * next(calls)
    report = check(one, only={"identity"})
    assert report["identity"].seen.startswith("two plain runs differ by up to")


def test_a_wrong_clean_latent_is_found(check, one, monkeypatch):
    stock = watch.clean_latent
    monkeypatch.setattr(watch, "clean_latent", lambda *args: stock(*args) * 1.1)
    assert failed(check(one)) == {"x0"}


def test_a_denoiser_that_is_told_another_step_is_found(check, one):
    told = {999: 833, 833: 999}

    def swap(_module: Any, args: Any, kwargs: Any) -> Any:
        return args, {**kwargs, "timestep": torch.tensor([told[int(at)] for at in kwargs["timestep"]])}

    one.transformer.register_forward_pre_hook(swap, with_kwargs=True)
    report = check(one)
    assert failed(report) == {"clean", "timesteps"}
    assert "of other steps" in report["timesteps"].seen


def test_tokens_that_are_put_back_elsewhere_are_found(check, one, monkeypatch):
    stock = Stack.with_frames
    monkeypatch.setattr(Stack, "with_frames", lambda self, values, new: stock(self, values, new.roll(1, 2)))
    assert "swap.self" in failed(check(one, only={"swap.self"}))


def test_a_layer_that_nobody_reads_is_found(check, one):
    last = one.transformer.blocks[-1]
    last.forward = lambda hidden, *args, **kwargs: torch.ones_like(hidden)
    assert "swap.zero" in failed(check(one, only={"swap.zero"}))


def test_a_pipeline_that_cannot_run_ends_the_check(check, one):
    def die(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no\nweights")

    one.transformer.forward = die
    report = check(one)
    assert [row.name for row in report.checks] == ROWS[:4]
    assert report["runs"].seen == "RuntimeError: no weights"
    assert report["runs"].remedy == "give a request that the pipeline can run"


def test_an_enabled_cache_is_refused(check, one):
    one.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    report = check(one)
    assert [row.name for row in report.checks] == ["traceable"]
    assert "disable_cache() first" in report["traceable"].seen


def _backend(graph: Any, _inputs: Any) -> Any:
    """Stands for a compiler."""
    return graph.forward


@pytest.mark.parametrize("wrapped", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_warm_compile_is_checked_eagerly(kit, check, one, wrapped):
    if wrapped:
        one.transformer = torch.compile(one.transformer, backend=_backend)
    else:
        one.transformer.compile(backend=_backend)
    request = kit.ask("t2v")
    one.set_progress_bar_config(disable=True)
    one(prompt=request.prompt, height=32, width=48, num_frames=5, num_inference_steps=2, output_type="latent")
    report = check(one)
    torch._dynamo.reset()
    assert report.passed, report


def test_a_failed_check_is_one_line_with_every_row(kit, one):
    one.transformer.blocks[1].register_forward_hook(lambda _m, _a, out: None)
    with pytest.raises(AdapterFailed) as caught:
        check_adapter(one, kit.ask("t2v", **RAGGED))
    assert str(caught.value) == (
        "the adapter 'wan' does not fit WanPipeline; got 1 of 22 checks failed, allowed 0: clean (hooks on "
        "transformer.blocks.1 before the check began; remove what an earlier edit or another tool has left there)"
    )
    assert isinstance(caught.value, DitLensError)
    assert isinstance(caught.value, AssertionError)
    assert caught.value.exit_code == 1


def test_a_report_can_be_read(check, one):
    one.transformer.blocks[1].register_forward_hook(lambda _m, _a, out: None)
    report = check(one)
    lines = str(report).splitlines()
    assert lines == repr(report).splitlines()
    assert lines[0] == "wan with WanPipeline, 2 steps of 32 x 48 x 5: 21 passed, 1 failed, 0 skipped"
    assert [line.split()[1] for line in lines[1:]] == ROWS
    assert not report.as_dict()["passed"]
    assert [row["name"] for row in report.as_dict()["checks"]] == ROWS


def test_nothing_is_left_behind(kit, check, one, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    plain = kit.look(one).generate(kit.ask("t2v"), decode=True).latents  # the autoencoder keeps counters of its own
    state = {**vars(one)}, {**vars(one.vae)}, type(one.scheduler), [dict(vars(m)) for m in one.transformer.modules()]
    assert check(one).passed
    after = {**vars(one)}, {**vars(one.vae)}, type(one.scheduler), [dict(vars(m)) for m in one.transformer.modules()]
    assert [list(part) if isinstance(part, dict) else part for part in after[:3]] == [
        list(part) if isinstance(part, dict) else part for part in state[:3]
    ]
    assert [list(module) for module in after[3]] == [list(module) for module in state[3]]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in one.transformer.modules())
    assert torch.equal(kit.look(one).generate(kit.ask("t2v"), decode=False).latents, plain)
    assert list(Path(tmp_path).iterdir()) == []


def test_the_size_of_the_model_is_tried_last(kit):
    only = replace(WAN, check=lambda p, r, s: None if s.height == 32 else _refuse())
    request = small_request(kit.build("t2v"), only, size=Size(32, 48, 5))
    assert (request.height, request.width, request.frames) == (32, 48, 9)


def _refuse() -> None:
    raise BadRequest("not this one")

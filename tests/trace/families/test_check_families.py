"""Every family passes the check of an adapter on its real pipeline; mistakes that Wan has no place for are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from torch import nn

from dit_lens.adapters import Family, family_of
from dit_lens.testing import AdapterReport, check_adapter

from .build_a import TINY
from .build_b import CASES

BUILT = {**TINY, **{case.pipeline: case for case in CASES}}
ALWAYS = {"traceable", "clean", "experts", "runs", "layers", "parts", "shapes"}
ALWAYS |= {"tokens.rows", "tokens.columns", "velocity"}
"""Checks that no family may skip, beside those of a trace."""
OF_A_TRACE = {"complete", "identity", "restored", "swap.self", "swap.zero"}

# in diffusers' schedulers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@cache
def built(name: str) -> Any:
    """One pipeline serves all tests, which leave no trace."""
    return BUILT[name].build()


@cache
def checked(name: str) -> AdapterReport:
    """The report on a family as it is."""
    return check_adapter(built(name), BUILT[name].ask(steps=2), raises=False)


def checked_as(name: str, rows: set[str], **changes: Any) -> AdapterReport:
    """Some rows of the report on another family; a single step shows as much as two of what is not about steps."""
    family, steps = replace(family_of(built(name)), **changes), 2 if "tells_timestep" in changes else 1
    return check_adapter(built(name), BUILT[name].ask(steps=steps), family=family, only=rows, raises=False)


def stack(number: int, **changes: Any) -> Callable[[Family], dict[str, Any]]:
    """Another stack of that number."""

    def stacks(family: Family) -> dict[str, Any]:
        own = enumerate(family.stacks)
        return {"stacks": tuple(replace(one, **changes) if at == number else one for at, one in own)}

    return stacks


OFTEN = {"FluxPipeline", "hunyuan-video"}
"""Families that are checked every time; the others have the same check in the slow suite."""


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in BUILT]
)
def test_every_family_passes(name):
    report = checked(name)
    assert report.passed, report
    skipped = {row.name for row in report.checks if row.outcome == "skipped"}
    assert not skipped & {*ALWAYS, *OF_A_TRACE}, report
    assert ("decode" in skipped) == (family_of(built(name)).decode is None)
    assert report["decode"].outcome == "skipped" or report["decode"].seen.endswith("bit for bit")


def test_latents_that_are_packed_are_held_to_what_is_decoded():
    report = checked("FluxPipeline")
    assert report["tokens.rows"].seen.endswith("(the pipeline packs them itself: see latents)")
    assert report["latents"].seen == "b (h w) (c p q), as the autoencoder is handed them (cosine 1.0000 or more)"


def test_text_has_a_list_of_its_own():
    assert checked("hunyuan-video")["layers"].seen == (
        "transformer_blocks (2), single_transformer_blocks (2); context_embedder.token_refiner.refiner_blocks apart, "
        "where no video goes"
    )


@pytest.mark.parametrize(
    ("name", "wrong", "rows"),
    [
        ("Flux2Pipeline", stack(1, text="none"), {"tokens.rows", "complete", "swap.self"}),
        ("Flux2Pipeline", stack(1, text="suffix"), {"tokens.rows", "tokens.columns", "velocity"}),
        ("FluxPipeline", stack(0, video=0), {"tokens.rows", "complete"}),
        ("FluxPipeline", stack(1, video=0), {"tokens.rows", "complete"}),
        ("cogvideox", stack(0, video=1), {"tokens.frames", "complete"}),
        ("latte", stack(0, fold="time"), {"tokens.frames", "complete"}),
        ("latte", stack(1, fold="none"), {"tokens.frames", "complete"}),
        ("FluxPipeline", lambda family: {"stacks": family.stacks[:1]}, {"layers"}),
        ("hunyuan-video", lambda family: {"stacks": family.stacks[1:]}, {"layers"}),
        ("latte", lambda family: {"stacks": family.stacks[:1]}, {"layers"}),
        ("FluxPipeline", lambda _: {"latent": "b (w h) (c p q)"}, {"latents"}),
        ("FluxPipeline", lambda _: {"latent": "b (h w) (c q p)"}, {"latents"}),
        ("FluxPipeline", lambda _: {"velocity": "b (w h) (c p q)"}, {"velocity"}),
        ("ltx", lambda _: {"latent": "b (h w f) c"}, {"tokens.frames", "latents"}),
        ("cogvideox", lambda _: {"latent": "b c f h w"}, {"shapes", "complete"}),
        ("mochi", lambda _: {"tells_timestep": True}, {"complete"}),
        ("FluxPipeline", stack(0, inside={"attn1": "attn", "ffn": "ff_context"}), {"parts"}),
        ("latte", stack(1, inside={"attn1": "norm1", "ffn": "ff"}), {"parts"}),
        ("hunyuan-video", stack(0, inside={"attn1": "norm1", "ffn": "ff"}), {"parts"}),
    ],
)
def test_a_wrong_family_is_found(name, wrong, rows):
    report = checked_as(name, rows, **wrong(family_of(built(name))))
    assert rows <= {row.name for row in report.failed}, report


def test_a_hidden_stack_is_named_with_its_length():
    seen = checked_as("FluxPipeline", {"layers"}, stacks=family_of(built("FluxPipeline")).stacks[:1])["layers"].seen
    assert seen == "the video goes through transformer.single_transformer_blocks (1 blocks), named by no stack"


def test_branches_in_another_order_are_found():
    """The pipeline hands its prompts over the other way round, so that the first row of a batch is ``cond``."""
    case = BUILT["StableDiffusion3Pipeline"]
    pipeline = case.build()
    stock = pipeline.encode_prompt

    def turned(*args: Any, **kwargs: Any) -> Any:
        cond, uncond, pooled, pooled_uncond = stock(*args, **kwargs)
        guided = kwargs["do_classifier_free_guidance"]
        return (uncond, cond, pooled_uncond, pooled) if guided else (cond, uncond, pooled, pooled_uncond)

    pipeline.encode_prompt = turned
    report = check_adapter(pipeline, case.ask(steps=2), raises=False)
    assert [row.name for row in report.failed] == ["branches"]
    assert "rows of one batch must be uncond first" in report["branches"].remedy


def test_blocks_that_the_video_does_not_pass_need_no_stack():
    case = BUILT["FluxPipeline"]
    pipeline = case.build()
    pipeline.transformer.spare = nn.ModuleList([pipeline.transformer.transformer_blocks[0].__class__(24, 2, 12)])
    report = check_adapter(pipeline, case.ask(steps=1), only={"layers"}, raises=False)
    assert report["layers"].outcome == "passed"
    assert report["layers"].seen.endswith("; spare apart, where no video goes")

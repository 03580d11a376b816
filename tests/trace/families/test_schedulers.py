"""Every family under every scheduler that diffusers lets it run with, with guidance and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dit_lens.adapters.checked import CHECKED
from dit_lens.engine.solver import finds_clean
from dit_lens.lens import Lens
from dit_lens_stores import Trace, open_store

from . import truth
from .observe_schedule import Seen, watched
from .schedulers import CANNOT, DRAWN, OWN, PIPELINES, STEPS, built, rows, under, whole

_KEPT = {("StableDiffusion3Pipeline", "FlowMatchHeunDiscreteScheduler"), ("mochi", "UniPCMultistepScheduler")}
"""Always run: the steps of a second order that no plan foretells, and settings that a scheduler keeps but ignores."""
pytestmark = [
    pytest.mark.filterwarnings("ignore:In CPU autocast"),  # Mochi asks for float32
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # in diffusers' schedulers
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def _rows() -> Iterator[Any]:
    """One other scheduler for each pipeline, in turn, is run always; the whole table is slow."""
    for place, name in enumerate(DRAWN):
        schedulers = [scheduler for row, scheduler in rows(True) if row == name]
        for number, scheduler in enumerate(schedulers):
            always = number == place % len(schedulers) or (name, scheduler) in _KEPT
            yield pytest.param(name, scheduler, marks=() if always else pytest.mark.slow, id=f"{name}-{scheduler}")


def _check_clock(trace: Trace, seen: Seen, branches: tuple[str, ...]) -> None:
    velocity = trace["velocity.raw"]
    assert tuple(velocity["branch"].values) == branches
    assert list(velocity["step"].values) == list(range(len(seen.steps)))
    assert list(velocity["timestep"].values) == [step.timestep for step in seen.steps]
    np.testing.assert_allclose(velocity["sigma"].values, [step.sigma for step in seen.steps], rtol=1e-6)
    assert set(velocity["expert"].values) == {"transformer"}


def _check_calls(trace: Trace, seen: Seen, lens: Lens, latent: Any, branches: tuple[str, ...]) -> None:
    """Every velocity, and the energy of every token of every layer, at its address; and no address beside them."""
    family, grid = lens.family, lens.family.grid(lens.pipeline.transformer, latent)
    energy, found = trace["block.out.energy"], 0
    for (step, output), ordinal, context in zip(seen.calls, _ordinals(seen), seen.contexts, strict=True):
        rows = truth.rows_of(family, branches, ordinal)
        assert len(output) == len(rows)
        assert family.contexts.get(context or "", context) in (None, "cond_uncond", *rows)
        for row, branch in enumerate(rows):
            at = {"branch": branch, "step": step}
            assert np.array_equal(trace["velocity.raw"].sel(at), family.velocity_of(output, latent)[row])
            for layer, (stack, _, _) in enumerate(family.layers(lens.pipeline.transformer)):
                values = stack.frames(stack.video_of(seen.layers[step, ordinal, layer]), grid)[row]
                np.testing.assert_allclose(energy.sel({**at, "layer": layer}), values.norm(dim=-1), rtol=1e-4)
                found += 1
    assert found == energy.shape[0] * energy.shape[1] * energy.shape[2]
    assert not np.isnan(energy.values).any()


def _ordinals(seen: Seen) -> list[int]:
    steps = [step for step, _ in seen.calls]
    return [steps[:number].count(step) for number, step in enumerate(steps)]


def _check_latents(trace: Trace, seen: Seen, lens: Lens, latent: Any) -> None:
    for number, step in enumerate(seen.steps):
        for site, values in (("latent", step.latents), ("velocity.guided", step.guided)):
            stored = trace[f"{site}.raw"].sel(step=number).values
            assert np.array_equal(stored, lens.family.latents_of(values, latent)[0])
        if "x0.guided.raw" in trace.arrays:
            clean = lens.family.latents_of(step.clean, latent)[0].numpy()
            scale = float(np.abs(clean).max())
            np.testing.assert_allclose(trace["x0.guided.raw"].sel(step=number), clean, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("guidance", [3.0, 1.0], ids=["guided", "plain"])
@pytest.mark.parametrize(("name", "scheduler"), list(_rows()))
def test_every_address_once_at_its_step(name: str, scheduler: str, guidance: float, tmp_path: Path) -> None:
    pipeline, request = under(name, scheduler), DRAWN[name].ask(guidance)
    if hasattr(pipeline, "guider"):
        pipeline.guider = pipeline.guider.new(guidance_scale=guidance)
    lens, branches = Lens(pipeline), Lens(pipeline).family.branches(Lens(pipeline).family, request)
    clean = ["x0", "x0.guided"] if finds_clean(pipeline.scheduler) and not lens.family.preconditioned else []
    captures = ["block.out:energy", "latent", "velocity", "velocity.guided", *clean]
    result = lens.trace(request, captures, tmp_path / "a.zarr", decode=False)
    with watched(pipeline, lens.family) as seen:
        plain = lens.generate(request, decode=False).latents
    assert torch.equal(result.latents, plain), "a trace changes nothing"
    assert plain.isfinite().all()
    trace, latent = (
        open_store(tmp_path / "a.zarr")[result.trace_id or ""],
        lens.family.latent_shape(pipeline, DRAWN[name].size),
    )
    assert trace.status == "complete"
    assert len(seen.steps) >= STEPS
    _check_clock(trace, seen, branches)
    _check_calls(trace, seen, lens, latent, branches)
    _check_latents(trace, seen, lens, latent)
    assert type(pipeline.scheduler).__name__ == scheduler


@pytest.mark.parametrize(("name", "scheduler"), rows(False))
def test_what_is_not_in_the_table_diffusers_cannot_run(name: str, scheduler: str) -> None:
    """Its own pipeline raises, with nothing of ours about."""
    pipeline, request = under(name, scheduler), DRAWN[name].ask(3.0)
    family = Lens(pipeline).family
    with pytest.raises((ValueError, TypeError, AttributeError), match=CANNOT[PIPELINES[name]][scheduler]):
        truth.run(pipeline, family, request, DRAWN[name].size)


def test_every_pipeline_is_in_the_table_under_every_scheduler() -> None:
    """Each runs, or raises for a reason that is named."""
    assert set(PIPELINES.values()) == {entry.pipeline for entry in CHECKED}
    for entry in CHECKED:
        cannot = tuple(CANNOT.get(entry.pipeline, ()))
        every = next(whole(name) for name, pipeline in PIPELINES.items() if pipeline == entry.pipeline)
        assert sorted((*entry.schedulers, *cannot)) == sorted(every)


@pytest.mark.parametrize("name", DRAWN)
def test_the_table_tells_what_is_built(name: str) -> None:
    pipeline, own = built(name)
    assert (type(pipeline).__name__, type(own).__name__) == (PIPELINES[name], OWN[name])
    assert OWN[name] in whole(name)

"""Whether what a trace holds is what its labels say: shapes, branches, clean latents and timesteps.

The branch is told by what it computes: without guidance only ``cond`` runs, from the same noise, so that at step 0 the
branch called ``cond`` must agree with it, and ``uncond`` must not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dit_lens.engine.solver import is_flow
from dit_lens.testing.adapter.report import Broken, Moot
from dit_lens.testing.adapter.runs import Runs

if TYPE_CHECKING:
    from dit_lens_stores import Trace

__all__ = ["branches", "clean_latents", "complete", "shapes", "timesteps", "unguided"]

_ENDS_CLEAN = ("FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler", "DPMSolverMultistepScheduler")
_CLEARLY = 0.5
_TOLD = 0.005  # relative; half precision rounds what a denoiser is told


def complete(runs: Runs) -> str:
    """Every address of the request came once."""
    return _counted(runs.traced[1])


def unguided(runs: Runs) -> str:
    """Every address of the request without guidance came once."""
    return _counted(runs.unguided)


def shapes(runs: Runs) -> str:
    """Latents and velocity have the shape of the layout."""
    subject, seen = runs.subject, runs.seen
    latent = subject.layout.latent
    if seen.latent is None or seen.output is None:
        raise Broken("the scheduler or the denoiser was never called", "name the scheduler's and denoiser's components")
    remedy = "correct Family.latent, velocity, pack or latent_shape"
    try:
        latents = subject.family.latents_of(seen.latent, latent)
        velocity = subject.family.velocity_of(seen.output, latent)
    except Exception as error:
        shown = f"{tuple(seen.latent.shape)} and {tuple(seen.output.shape)}"
        raise Broken(f"latents and output of shape {shown}: {' '.join(str(error).split())[:160]}", remedy) from None
    got = tuple(latents.shape[1:]), tuple(velocity.shape[1:])
    if got != (latent, latent):
        raise Broken(f"latents {got[0]} and velocity {got[1]}, planned {latent}", remedy)
    return f"latents and velocity (C, F, H, W) = {latent}"


def branches(runs: Runs) -> str:
    """The branch called ``cond`` is the one that also runs without guidance."""
    if not {"cond", "uncond"} <= set(runs.subject.layout.branches):
        raise Moot("one branch")
    guided, alone = runs.traced[1], runs.unguided
    own: list[float] = []
    for array in ("velocity.raw", "block.out.energy"):
        cond, other = (guided[array].sel(branch=name).isel(step=0).values for name in ("cond", "uncond"))
        reference = alone[array].sel(branch="cond").isel(step=0).values
        near, far = (float(np.linalg.norm(values - reference)) for values in (cond, other))
        if far * _CLEARLY > near:
            own.append(near / far)
        elif near * _CLEARLY > far:
            raise Broken(
                f"'uncond' is what runs without guidance ({array}), and 'cond' is not",
                "correct Family.guidance, contexts or branches; rows of one batch must be uncond first",
            )
    if not own:
        raise Moot("the prompt makes no difference that can be told from rounding")
    return f"cond agrees with the run without guidance, to {max(own):.2g} of what uncond is off"


def clean_latents(runs: Runs) -> str:
    """``x0.guided`` of the last step is what the scheduler ends with, where it ends on its estimate."""
    scheduler = runs.subject.pipeline.scheduler
    name = type(scheduler).__name__
    if "x0.guided" not in runs.subject.captures:
        raise Moot(f"no clean latent is known for {name} with {runs.subject.family.name}")
    if name not in _ENDS_CLEAN or not is_flow(scheduler) or _ends_noisy(scheduler):
        raise Moot(f"{name} does not end on its estimate of the clean latent")
    trace, last = runs.traced[1], runs.seen.last
    assert last is not None
    final = runs.subject.family.latents_of(last, runs.subject.layout.latent)[0].float().cpu()
    estimate = torch.from_numpy(np.array(trace["x0.guided.raw"].isel(step=-1).values, dtype=np.float32))
    if torch.equal(estimate, final):
        return "x0.guided of the last step is the final latent, bit for bit"
    apart = float((estimate - final).abs().max() / final.abs().max())
    if apart < _TOLD:
        return f"x0.guided of the last step is the final latent, to {apart:.1g} of the largest value"
    raise Broken(
        f"x0.guided of the last step is off the final latent by {apart:.2g} of the largest value",
        "set Family.preconditioned if the pipeline mixes the output with the latent; else correct Family.latent",
    )


def _ends_noisy(scheduler: Any) -> bool:
    config = scheduler.config
    return bool(config.get("stochastic_sampling")) or config.get("final_sigmas_type") == "sigma_min"


def timesteps(runs: Runs) -> str:
    """What the denoiser is told of the time fits the clock's timestep."""
    seen = runs.seen
    if not seen.told:
        raise Moot("the denoiser is given no argument 'timestep'")
    total = float(getattr(runs.subject.pipeline.scheduler.config, "num_train_timesteps", 1000))
    if runs.subject.layout.timesteps is not None and tuple(seen.stepped) != runs.subject.layout.timesteps:
        raise Broken(
            f"the scheduler steps {seen.stepped}, planned {list(runs.subject.layout.timesteps)}",
            "set Family.knows_schedule to False",
        )
    forms = {
        "the clock's": seen.stepped,
        f"1/{total:g} of the clock's": [at / total for at in seen.stepped],
        f"{total:g} less the clock's": [total - at for at in seen.stepped],
        f"1 less 1/{total:g} of the clock's": [1 - at / total for at in seen.stepped],
    }
    for name, wanted in forms.items():
        if all(abs(told - wanted[step]) <= _TOLD * max(abs(wanted[step]), abs(told)) for step, told in seen.told):
            return f"the denoiser is told {name} timestep: {', '.join(f'{told:g}' for _, told in seen.told[:4])}"
        if all(any(abs(told - one) <= _TOLD * max(abs(one), abs(told)) for one in wanted) for _, told in seen.told):
            raise Broken(
                f"the denoiser is told {name} timestep of other steps: {seen.told}", "the clock is off: report it"
            )
    raise Moot(f"the pipeline reckons its own: {', '.join(f'{told:g}' for _, told in seen.told[:4])}")


def _counted(trace: Trace) -> str:
    arrays = [name for name in trace if not name.startswith("video")]
    return f"{len(arrays)} arrays, every event once; branches {', '.join(_branches(trace))}"


def _branches(trace: Trace) -> list[str]:
    return [str(name) for name in trace["velocity.raw"]["branch"].values]

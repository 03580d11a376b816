"""What a scheduler knows: its steps, their sigma, and the clean latent that a velocity points to.

In flow matching the latent is ``(1 - sigma) * clean + sigma * noise`` and the velocity is ``noise - clean``, so the
clean latent is ``x + (sigmas[-1] - sigma) * v``: one formula for Euler, Heun, UniPC and DPM++. It is evaluated with
the scheduler's own zero-dimensional sigma tensor and in its order of operations, so that the last step agrees with
the final latents bit for bit. The sigma of a step is read from ``scheduler.sigmas``, never from the timestep, which
UniPC truncates to an integer.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from dit_lens.engine.errors import Untraceable

__all__ = ["Schedule", "clean_latent", "is_flow", "schedule_of", "step_index"]

_NEEDED = ("sigmas", "step_index", "begin_index")


@dataclass(frozen=True)
class Schedule:
    """Timesteps and sigmas of a number of steps."""

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]


def schedule_of(scheduler: Any, steps: int) -> Schedule:
    """The schedule of a run, asked of a copy, so that the scheduler itself is not touched.

    Raises
    ------
    Untraceable
        If the scheduler has no sigmas.

    Examples
    --------
    >>> from diffusers import FlowMatchEulerDiscreteScheduler
    >>> schedule_of(FlowMatchEulerDiscreteScheduler(), 2).sigmas
    (1.0, 0.0010000000474974513)
    """
    lacking = [name for name in _NEEDED if not hasattr(scheduler, name)]
    if lacking:
        raise Untraceable(
            f"the scheduler cannot be traced; got {type(scheduler).__name__} without {', '.join(lacking)}, allowed one "
            f"that steps through sigmas, such as UniPCMultistepScheduler; exchange pipeline.scheduler"
        )
    twin = copy.deepcopy(scheduler)
    twin.set_timesteps(steps)
    timesteps = tuple(float(timestep) for timestep in twin.timesteps)
    return Schedule(timesteps, tuple(float(sigma) for sigma in twin.sigmas[: len(timesteps)]))


def is_flow(scheduler: Any) -> bool:
    """Whether the scheduler takes a flow-matching velocity, so that ``clean_latent`` holds.

    Examples
    --------
    >>> from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
    >>> is_flow(FlowMatchEulerDiscreteScheduler()), is_flow(DDIMScheduler())
    (True, False)
    """
    matching = any(kind.__name__.startswith("FlowMatch") for kind in type(scheduler).__mro__)
    return matching or getattr(scheduler.config, "prediction_type", None) == "flow_prediction"


def step_index(scheduler: Any, timestep: Any) -> int:
    """The index at which the scheduler is about to step, found as the scheduler itself finds it."""
    if scheduler.step_index is not None:
        return int(scheduler.step_index)
    if scheduler.begin_index is not None:
        return int(scheduler.begin_index)
    return int(scheduler.index_for_timestep(timestep))


def clean_latent(scheduler: Any, index: int, latent: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
    """The clean latent that a velocity points to at one step, in float32 or better.

    Parameters
    ----------
    scheduler : diffusers scheduler for which ``is_flow``
    index : int
        See ``step_index``.
    latent, velocity : torch.Tensor

    Returns
    -------
    torch.Tensor
    """
    towards_clean = scheduler.sigmas[-1] - scheduler.sigmas[index]
    if latent.dtype != torch.float64:
        latent = latent.to(torch.float32)
    clean: torch.Tensor = latent + towards_clean * velocity
    return clean

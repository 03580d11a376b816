"""What a scheduler knows: its steps, their sigma, and the clean latent that a model output points to.

In flow matching the latent is ``(1 - sigma) * clean + sigma * noise`` and the model output is the velocity
``noise - clean``, so the clean latent is ``x - sigma * v``, or ``x + (1 - sigma) * v`` with inverted sigmas: one
formula for Euler, Heun, UniPC and DPM++. It is evaluated with the scheduler's own zero-dimensional sigma tensor and in
its order of operations, so that the last step agrees with the final latents bit for bit, if it ends on its estimate (it
does not with ``final_sigmas_type="sigma_min"``). Older schedulers keep
``alpha * clean + beta * noise`` (variance preserving) or ``clean + sigma * noise`` (Euler's) and predict noise, the
clean latent, or ``alpha * noise - beta * clean`` (Salimans and Ho 2022, https://arxiv.org/abs/2202.00512). The sigma of
a step is read from ``scheduler.sigmas``, never from the timestep, which UniPC truncates to an integer; a scheduler that
has none gets diffusers' own definition of it, ``sqrt((1 - a) / a)`` with ``a = alphas_cumprod[timestep]``: infinite
where ``a`` is 0, as at the first step of the released CogVideoX (``rescale_betas_zero_snr``). There is nothing of the
clean latent there, and a prediction of noise does not point to one.
"""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch

from dit_lens.engine.errors import Untraceable

__all__ = [
    "Schedule",
    "check_scheduler",
    "clean_latent",
    "finds_clean",
    "is_flow",
    "schedule_of",
    "sigma_at",
    "step_index",
]

Space = Literal["flow", "exploding", "preserving"]
_EXPLODING = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler")
_PRESERVING = (
    "DDIMScheduler",
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)
_PREDICTIONS = ("epsilon", "v_prediction", "sample")


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
        If the scheduler knows no noise level.

    Examples
    --------
    >>> from diffusers import FlowMatchEulerDiscreteScheduler
    >>> schedule_of(FlowMatchEulerDiscreteScheduler(), 2).sigmas
    (1.0, 0.0010000000474974513)
    """
    check_scheduler(scheduler)
    twin = copy.deepcopy(scheduler)
    twin.set_timesteps(steps)
    timesteps = tuple(float(timestep) for timestep in twin.timesteps)
    return Schedule(timesteps, tuple(sigma_at(twin, index, at) for index, at in enumerate(timesteps)))


def check_scheduler(scheduler: Any) -> None:
    """Refuse a scheduler of which nobody can tell the noise level of a step.

    Raises
    ------
    Untraceable
    """
    if not (_has_sigmas(scheduler) or hasattr(scheduler, "alphas_cumprod")):
        raise Untraceable(
            f"the scheduler cannot be traced; got {type(scheduler).__name__} without sigmas or alphas_cumprod, allowed "
            f"one that has them, such as UniPCMultistepScheduler; exchange pipeline.scheduler"
        )


def is_flow(scheduler: Any) -> bool:
    """Whether the scheduler takes a flow-matching velocity.

    Examples
    --------
    >>> from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
    >>> is_flow(FlowMatchEulerDiscreteScheduler()), is_flow(DDIMScheduler())
    (True, False)
    """
    matching = any(kind.startswith("FlowMatch") for kind in _kinds(scheduler))
    return matching or _option(scheduler, "prediction_type") == "flow_prediction"


def finds_clean(scheduler: Any) -> bool:
    """Whether ``clean_latent`` has a formula for the scheduler, at each of its timesteps.

    Examples
    --------
    >>> from diffusers import DDIMScheduler, EDMEulerScheduler
    >>> finds_clean(DDIMScheduler()), finds_clean(EDMEulerScheduler())
    (True, False)
    """
    return _space(scheduler) is not None


def step_index(scheduler: Any, timestep: Any) -> int | None:
    """The index at which the scheduler is about to step, found as it finds it itself; None if it has none."""
    if not _has_sigmas(scheduler):
        return None
    if scheduler.step_index is not None:
        return int(scheduler.step_index)
    if scheduler.begin_index is not None:
        return int(scheduler.begin_index)
    return int(scheduler.index_for_timestep(timestep))


def sigma_at(scheduler: Any, index: int | None, timestep: float) -> float:
    """Noise level at the start of a step.

    Examples
    --------
    >>> from diffusers import DDIMScheduler
    >>> scheduler = DDIMScheduler()
    >>> a = scheduler.alphas_cumprod[500]
    >>> abs(sigma_at(scheduler, None, 500.0) - float((1 - a) / a) ** 0.5) < 1e-6
    True
    """
    if index is not None and _has_sigmas(scheduler):
        return float(scheduler.sigmas[index])
    kept = float(scheduler.alphas_cumprod[int(timestep)])
    return float(((1 - kept) / kept) ** 0.5) if kept else math.inf


def clean_latent(
    scheduler: Any, index: int | None, timestep: Any, latent: torch.Tensor, output: torch.Tensor
) -> torch.Tensor:
    """The clean latent that a model output points to at one step, in float32 or better.

    A scheduler that clips its own estimate (``clip_sample``) is not followed in that.

    Parameters
    ----------
    scheduler : diffusers scheduler for which ``finds_clean``
    index : int or None
        See ``step_index``.
    timestep : float or torch.Tensor
    latent, output : torch.Tensor

    Returns
    -------
    torch.Tensor
    """
    if latent.dtype != torch.float64:
        latent = latent.to(torch.float32)
    if _space(scheduler) == "flow":
        end = 1.0 if _option(scheduler, "invert_sigmas") else 0.0
        clean: torch.Tensor = latent + (end - scheduler.sigmas[index]) * output
        return clean
    kept, lost = _shares(scheduler, index, timestep)
    if _space(scheduler) == "exploding":
        latent = latent * kept
    return _variance_preserving(scheduler.config.prediction_type, latent, output, kept, lost)


def _shares(scheduler: Any, index: int | None, timestep: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Alpha and beta; not by way of sigma where that may be infinite."""
    if index is None:
        kept = scheduler.alphas_cumprod[int(timestep)]
        return kept**0.5, (1 - kept) ** 0.5
    sigma = scheduler.sigmas[index]
    alpha = 1 / (sigma**2 + 1) ** 0.5
    return alpha, sigma * alpha


def _variance_preserving(
    kind: str, latent: torch.Tensor, output: torch.Tensor, kept: torch.Tensor, lost: torch.Tensor
) -> torch.Tensor:
    if kind == "epsilon":
        return (latent - lost * output) / kept
    return kept * latent - lost * output if kind == "v_prediction" else output


def _space(scheduler: Any) -> Space | None:
    """How the scheduler mixes latent and noise; None if no formula is known for it."""
    if is_flow(scheduler):
        return "flow" if _has_sigmas(scheduler) else None
    prediction = _option(scheduler, "prediction_type")
    if prediction not in _PREDICTIONS or prediction in _points_nowhere(scheduler):
        return None
    kind = type(scheduler).__name__
    return "exploding" if kind in _EXPLODING else "preserving" if kind in _PRESERVING else None


def _points_nowhere(scheduler: Any) -> tuple[str, ...]:
    """Predictions from which no clean latent follows, or another one than this page's formula gives."""
    if _option(scheduler, "use_flow_sigmas"):
        return ("epsilon", "v_prediction")  # taken for those of a latent that is mixed as in flow matching
    if not _has_sigmas(scheduler) and float(scheduler.alphas_cumprod.min()) == 0:
        return ("epsilon",)
    return ()


def _option(scheduler: Any, name: str) -> Any:
    """An entry of the configuration that means something to the scheduler, or None.

    ``from_config`` also keeps, unread, those of the scheduler that it was made from.
    """
    known = any(name in inspect.signature(kind).parameters for kind in type(scheduler).__mro__)
    return scheduler.config.get(name) if known else None


def _has_sigmas(scheduler: Any) -> bool:
    return all(hasattr(scheduler, name) for name in ("sigmas", "step_index", "begin_index"))


def _kinds(scheduler: Any) -> tuple[str, ...]:
    return tuple(kind.__name__ for kind in type(scheduler).__mro__)

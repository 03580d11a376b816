"""What a solver remembers from step to step, and how it is made to forget it.

A solver of several steps builds the next latent from its own history: UniPC corrects the latent from the last one that
it knew, and so discards whatever was put in its place. After a reset it steps as at the start of a run, in first order,
from the latent that it is given. That is known of the solvers listed here; of any other a state edit is refused,
because a reset that leaves something behind, or a solver that is no longer one after it, would be taken for a result.
"""

from __future__ import annotations

from typing import Any

from dit_lens.engine.errors import BadEdit

__all__ = ["check_forgets", "check_replays", "forget", "remembers"]

_WITHOUT = (
    "CogVideoXDDIMScheduler",
    "DDIMScheduler",
    "DDPMScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchLCMScheduler",
)
"""Solvers of a single step, which start each from nothing but the latent."""
_WITH = ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler")
_RANDOM = ("DDPMScheduler", "EulerAncestralDiscreteScheduler", "FlowMatchLCMScheduler")


def remembers(scheduler: Any) -> bool:
    """Whether a solver has a history.

    Examples
    --------
    >>> from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
    >>> remembers(FlowMatchEulerDiscreteScheduler()), remembers(UniPCMultistepScheduler())
    (False, True)
    """
    return type(scheduler).__name__ in _WITH


def forget(scheduler: Any) -> None:
    """Reset the history: the next step is one of first order, from the latent that it is given.

    Examples
    --------
    >>> from diffusers import UniPCMultistepScheduler
    >>> scheduler = UniPCMultistepScheduler()
    >>> scheduler.lower_order_nums = 2
    >>> forget(scheduler)
    >>> scheduler.lower_order_nums, scheduler.model_outputs
    (0, [None, None])
    """
    if not remembers(scheduler):
        return
    scheduler.model_outputs = [None] * scheduler.config.solver_order
    scheduler.lower_order_nums = 0
    if type(scheduler).__name__ == "UniPCMultistepScheduler":
        scheduler.timestep_list = [None] * scheduler.config.solver_order
        scheduler.last_sample = None


def check_forgets(scheduler: Any, what: str) -> None:
    """Refuse a solver of which no reset is known.

    Parameters
    ----------
    scheduler : diffusers scheduler
    what : str
        What needs it, for the message.

    Raises
    ------
    BadEdit

    Examples
    --------
    >>> from diffusers import FlowMatchHeunDiscreteScheduler
    >>> check_forgets(FlowMatchHeunDiscreteScheduler(), "edit 'state:zero'")
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadEdit: edit 'state:zero' needs a solver whose history can be reset; got FlowMatchHeun...
    """
    name = type(scheduler).__name__
    inner = getattr(scheduler, "solver_p", None) is not None
    if name not in (*_WITHOUT, *_WITH) or inner:
        raise BadEdit(
            f"{what} needs a solver whose history can be reset; got {name}{' with a solver_p' if inner else ''}, "
            f"allowed {', '.join((*_WITHOUT, *_WITH))}; exchange pipeline.scheduler"
        )


def check_replays(scheduler: Any) -> None:
    """Refuse a start in the midst of a run for a solver that draws noise, or of which too little is known.

    Raises
    ------
    BadEdit
    """
    check_forgets(scheduler, "a start from a stored step")
    config = scheduler.config
    drawing = config.get("stochastic_sampling") or str(config.get("algorithm_type")).startswith("sde")
    if type(scheduler).__name__ in _RANDOM or drawing:
        raise BadEdit(
            f"a start from a stored step needs a solver that draws no noise; got {type(scheduler).__name__}, allowed "
            f"one whose steps follow from latent and velocity; run from the first step"
        )

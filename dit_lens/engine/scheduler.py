"""Observe a scheduler by swapping its class, so that a copy of it is not observed and nothing is left behind.

Patching ``scheduler.step`` on the instance would not do: some pipelines step deep copies, and a copied patch still
drives the original. The subclass acts only when ``self is target``, keeps the wrapped signatures (pipelines inspect
them), and carries the original's name, so that configurations that store the class name stay right.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from dit_lens.engine.streams import with_first

__all__ = ["StepCall", "StepEdits", "observed_scheduler"]


@dataclass(frozen=True)
class StepCall:
    """The arguments of one call of ``scheduler.step``."""

    velocity: Any
    timestep: Any
    latent: Any


class StepEdits(Protocol):
    """Who changes what goes into a step and what it leaves."""

    def enters(self, call: StepCall) -> StepCall:
        """Another call in the place of one that is about to be made; before it is observed."""
        ...

    def leaves(self, latents: Any) -> Any:
        """Other latents in the place of those that a step left; before they are observed."""
        ...


@contextmanager
def observed_scheduler(
    target: Any,
    on_start: Callable[[], None],
    around_step: Callable[[StepCall], Callable[[Any], None]],
    edits: StepEdits | None = None,
) -> Iterator[None]:
    """While inside, report ``set_timesteps`` and every ``step`` of one scheduler.

    Parameters
    ----------
    target : diffusers scheduler
    on_start : callable
        Called after ``set_timesteps``.
    around_step : callable
        Called before a step with its arguments; what it returns is called after the step with the new latents.
    edits : StepEdits, optional

    Examples
    --------
    >>> from diffusers import FlowMatchEulerDiscreteScheduler
    >>> scheduler, started = FlowMatchEulerDiscreteScheduler(), []
    >>> with observed_scheduler(scheduler, lambda: started.append(1), lambda call: lambda after: None):
    ...     scheduler.set_timesteps(4)
    >>> started, type(scheduler) is FlowMatchEulerDiscreteScheduler
    ([1], True)
    """
    original = type(target)
    target.__class__ = _observing(original, target, on_start, around_step, edits)
    try:
        yield
    finally:
        target.__class__ = original


def _observing(
    original: type,
    target: Any,
    on_start: Callable[[], None],
    around_step: Callable[[StepCall], Callable[[Any], None]],
    edits: StepEdits | None,
) -> type:
    signature = inspect.signature(original.step)  # type: ignore[attr-defined]

    @functools.wraps(original.set_timesteps)  # type: ignore[attr-defined]
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original.set_timesteps(self, *args, **kwargs)  # type: ignore[attr-defined]
        if self is target:
            on_start()
        return result

    @functools.wraps(original.step)  # type: ignore[attr-defined]
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not target:
            return original.step(self, *args, **kwargs)  # type: ignore[attr-defined]
        bound = signature.bind(self, *args, **kwargs)
        given = bound.arguments
        call = StepCall(given["model_output"], given["timestep"], given["sample"])
        if edits is not None:
            call = edits.enters(call)
            given["model_output"] = call.velocity
        after = around_step(call)
        result = original.step(*bound.args, **bound.kwargs)  # type: ignore[attr-defined]
        left = result[0]
        if edits is not None and (latents := edits.leaves(left)) is not left:
            result, left = with_first(result, latents), latents
        after(left)
        return result

    names = {"__module__": original.__module__, "__qualname__": original.__qualname__, "__doc__": original.__doc__}
    return type(original.__name__, (original,), {**names, "set_timesteps": set_timesteps, "step": step})

"""What a run does under any scheduler, seen with plain patches that know nothing of the engine.

Steps are counted by the calls of ``scheduler.step``, branches by the order of the denoiser's calls in a step. The clean
latent is the scheduler's own, wherever it tells: what it converts a model output to; otherwise the textbook's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from unittest.mock import patch

import torch

from dit_lens.adapters.family import Family


@dataclass
class Step:
    """One call of ``scheduler.step``."""

    timestep: float
    sigma: float
    latents: torch.Tensor
    guided: torch.Tensor
    clean: torch.Tensor


@dataclass
class Seen:
    """One run; calls and layers by step and number of the call in it."""

    steps: list[Step] = field(default_factory=list)
    calls: list[tuple[int, torch.Tensor]] = field(default_factory=list)
    contexts: list[str | None] = field(default_factory=list)
    layers: dict[tuple[int, int, int], Any] = field(default_factory=dict)
    context: str | None = None
    converted: torch.Tensor | None = None

    @property
    def call(self) -> int:
        """How many calls of the denoiser were over in this step."""
        return sum(step == len(self.steps) for step, _ in self.calls)


def _step(seen: Seen, scheduler: Any, stock: Any) -> Any:
    signature = inspect.signature(stock)

    @functools.wraps(stock)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not scheduler:
            return stock(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs).arguments
        latents, guided = given["sample"].clone(), given["model_output"].clone()
        seen.converted = None
        result = stock(self, *args, **kwargs)
        sigma = _sigma(self, given["timestep"])
        clean = _clean(self, seen, latents, guided, sigma)
        seen.steps.append(Step(float(given["timestep"]), sigma, latents, guided, clean))
        return result

    return step


def _sigma(scheduler: Any, timestep: Any) -> float:
    """After the step: its number has moved on by one."""
    if hasattr(scheduler, "sigmas"):
        return float(scheduler.sigmas[scheduler.step_index - 1])
    kept = float(scheduler.alphas_cumprod[int(timestep)])
    return float(((1 - kept) / kept) ** 0.5) if kept else float("inf")


def _clean(scheduler: Any, seen: Seen, latents: torch.Tensor, guided: torch.Tensor, sigma: float) -> torch.Tensor:
    """In flow matching a mixture; of noise, a latent that is scaled to keep its variance, or one that is not."""
    if seen.converted is not None:
        return seen.converted
    x, v = latents.double(), guided.double()
    if type(scheduler).__name__.startswith("FlowMatch"):
        return x + (1 - sigma) * v if scheduler.sigmas[-1] == 1 else x - sigma * v
    kept, lost = ((1 + sigma**2) ** -0.5, sigma * (1 + sigma**2) ** -0.5) if isfinite(sigma) else (0.0, 1.0)
    if type(scheduler).__name__.startswith(("Euler", "Heun")):
        x = x * kept
    return kept * x - lost * v if scheduler.config.prediction_type == "v_prediction" else (x - lost * v) / kept


def _converting(seen: Seen, stock: Any) -> Any:
    @functools.wraps(stock)
    def convert(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.converted = stock(self, *args, **kwargs)
        return seen.converted

    return convert


@contextmanager
def watched(pipeline: Any, family: Family) -> Iterator[Seen]:
    """Watch one run; nothing is left behind."""
    seen, scheduler, denoiser = Seen(), pipeline.scheduler, pipeline.transformer
    kind = type(scheduler)

    def called(_module: Any, _args: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output.sample
        seen.contexts.append(seen.context)
        seen.calls.append((len(seen.steps), first.clone()))

    def layer(number: int) -> Any:
        def keep(_module: Any, _args: Any, output: Any) -> None:
            at = (len(seen.steps), seen.call, number)
            assert at not in seen.layers, f"layer {number} came twice"
            seen.layers[at] = output

        return keep

    with ExitStack() as stack:
        stack.enter_context(patch.object(kind, "step", _step(seen, scheduler, kind.step)))
        if hasattr(kind, "convert_model_output"):
            stock = kind.convert_model_output
            stack.enter_context(patch.object(kind, "convert_model_output", _converting(seen, stock)))
        for number, (_, _, module) in enumerate(family.layers(denoiser)):
            stack.callback(module.register_forward_hook(layer(number)).remove)
        stack.callback(denoiser.register_forward_hook(called).remove)
        if hasattr(denoiser, "cache_context"):
            stack.enter_context(patch.object(denoiser, "cache_context", _named(denoiser.cache_context, seen)))
        yield seen


def _named(stock: Any, seen: Seen) -> Any:
    @contextmanager
    def cache_context(name: str, *args: Any, **kwargs: Any) -> Iterator[None]:
        seen.context = name
        with stock(name, *args, **kwargs):
            yield
        seen.context = None

    return cache_context

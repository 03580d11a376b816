"""What a pipeline does, seen with plain hooks that know nothing of families or of the engine."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Call:
    """One call of the denoiser: when, under which name, with what, and what its layers took and returned."""

    step: int
    context: str | None
    given: dict[str, Any]
    rows: tuple[str, ...]
    output: Any = None
    inputs: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One call of ``scheduler.step``."""

    velocity: torch.Tensor
    timestep: float
    latent: torch.Tensor
    sigma: float


class Observer:
    """Calls and steps of one run.

    Rows of a batch are told apart by the prompt embeddings that the denoiser is given.
    """

    def __init__(self, pipeline: Any, texts: Mapping[str, torch.Tensor], modules: tuple[str, ...]) -> None:
        self.pipeline, self.texts = pipeline, texts
        self.modules = {path: pipeline.transformer.get_submodule(path) for path in modules}
        self.calls: list[Call] = []
        self.steps: list[Step] = []
        self._context: str | None = None

    def enter(self, denoiser: Any, args: Any, kwargs: Any) -> None:
        given = inspect.signature(type(denoiser).forward).bind(denoiser, *args, **kwargs).arguments
        given = {name: value for name, value in given.items() if name != "self"}
        self.calls.append(Call(len(self.steps), self._context, given, self._rows(given["encoder_hidden_states"])))

    def _rows(self, text: torch.Tensor) -> tuple[str, ...]:
        return tuple(
            next(name for name, embeds in self.texts.items() if torch.equal(row, embeds[0].to(row.dtype)))
            for row in text
        )

    def leave(self, _denoiser: Any, _args: Any, output: Any) -> None:
        self.calls[-1].output = _copied(output)

    def into(self, path: str, _module: Any, args: Any, kwargs: Any) -> None:
        self.calls[-1].inputs[path] = (_copied(args), _copied(kwargs))

    def out_of(self, path: str, _module: Any, _args: Any, output: Any) -> None:
        self.calls[-1].outputs[path] = _copied(output)

    def step(self, stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(stock).bind(*args, **kwargs).arguments
        velocity, latent = given["model_output"].clone(), given["sample"].clone()
        result = stock(*args, **kwargs)
        scheduler = self.pipeline.scheduler
        sigma = float(scheduler.sigmas[scheduler.step_index - 1])
        self.steps.append(Step(velocity, float(given["timestep"]), latent, sigma))
        return result

    @contextmanager
    def context(self, stock: Callable[..., Any], name: str, **kwargs: Any) -> Iterator[None]:
        self._context = name
        with stock(name, **kwargs):
            yield
        self._context = None


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return tuple(_copied(item) for item in value) if isinstance(value, (tuple, list)) else value


@contextmanager
def observed(pipeline: Any, texts: Mapping[str, torch.Tensor], modules: tuple[str, ...]) -> Iterator[Observer]:
    """Watch whatever runs inside; nothing is left behind."""
    seen, denoiser, scheduler = Observer(pipeline, texts, modules), pipeline.transformer, pipeline.scheduler
    handles = [denoiser.register_forward_pre_hook(seen.enter, with_kwargs=True)]
    for path, module in seen.modules.items():
        handles.append(module.register_forward_pre_hook(functools.partial(seen.into, path), with_kwargs=True))
        handles.append(module.register_forward_hook(functools.partial(seen.out_of, path)))
    handles.append(denoiser.register_forward_hook(seen.leave))
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        stock = scheduler.step
        scheduler.step = functools.wraps(stock)(functools.partial(seen.step, stock))
        stack.callback(scheduler.__dict__.pop, "step")
        if hasattr(denoiser, "cache_context"):
            denoiser.cache_context = functools.partial(seen.context, denoiser.cache_context)
            stack.callback(denoiser.__dict__.pop, "cache_context")
        yield seen

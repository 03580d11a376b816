"""What a pipeline does, found out without the engine: plain patches, nothing of ``dit_lens.engine``.

``watched`` keeps what the denoiser and the scheduler were given and gave, ``decoded`` what the pipeline itself hands to
its autoencoder, and ``moved`` which tokens a single latent touches on its way into the first layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional

from dit_lens.adapters.family import Family, Stack
from dit_lens.generation import Generation, Size

Latent = tuple[int, int, int, int]


class Enough(Exception):
    """Nothing more is wanted from a run."""


@dataclass
class Call:
    """One call of the denoiser."""

    step: int
    context: str | None
    latents: torch.Tensor
    velocity: torch.Tensor


@dataclass
class Seen:
    """One run."""

    calls: list[Call] = field(default_factory=list)
    timesteps: list[float] = field(default_factory=list)
    latents: list[torch.Tensor] = field(default_factory=list)
    guided: list[torch.Tensor] = field(default_factory=list)
    last: torch.Tensor | None = None
    context: str | None = None


def run(pipeline: Any, family: Family, request: Generation, size: Size, output: str = "latent") -> Any:
    """One call of the pipeline with the family's arguments."""
    given = family.arguments(family, pipeline, request, size)
    generator = torch.Generator("cpu").manual_seed(request.seed)
    return pipeline(**given, generator=generator, output_type=output, return_dict=False)[0]


def rows_of(family: Family, branches: tuple[str, ...], call: int) -> tuple[str, ...]:
    """The branches of the rows of one call of the denoiser in a step, as the family declares them."""
    if family.guidance == "batched" and "uncond" in branches:
        return ("uncond", "cond") if call == 0 else (branches[call + 1],)
    return (branches[call],)


@contextmanager
def watched(pipeline: Any) -> Iterator[Seen]:
    """Watch one run of the video's scheduler; copies of it go unseen."""
    seen, scheduler, denoiser = Seen(), pipeline.scheduler, pipeline.transformer
    stock = type(scheduler).step

    @functools.wraps(stock)
    def step(self: Any, velocity: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if self is not scheduler:
            return stock(self, velocity, *args, **kwargs)
        latent = args[-1]  # DPM of CogVideoX also takes its last result and the timestep before
        timestep = args[0] if len(args) == 2 else args[1]
        seen.timesteps.append(float(timestep))
        seen.latents.append(latent.clone())
        seen.guided.append(velocity.clone())
        result = stock(self, velocity, *args, **kwargs)
        seen.last = result[0].clone()
        return result

    def call(_module: Any, _args: Any, kwargs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output.sample
        seen.calls.append(Call(len(seen.guided), seen.context, kwargs["hidden_states"].clone(), first.clone()))

    with ExitStack() as stack:
        stack.enter_context(patch.object(type(scheduler), "step", step))
        stack.callback(denoiser.register_forward_hook(call, with_kwargs=True).remove)
        if hasattr(denoiser, "cache_context"):
            stack.enter_context(patch.object(denoiser, "cache_context", _named(denoiser.cache_context, seen)))
        yield seen


def _named(stock: Callable[..., Any], seen: Seen) -> Callable[..., Any]:
    @contextmanager
    def cache_context(name: str, *args: Any, **kwargs: Any) -> Iterator[None]:
        seen.context = name
        with stock(name, *args, **kwargs):
            yield
        seen.context = None

    return cache_context


def decoded(pipeline: Any, family: Family, request: Generation, size: Size) -> tuple[torch.Tensor, torch.Tensor]:
    """The last latents as the scheduler gave them, and what the pipeline makes of them for its autoencoder."""
    handed: list[torch.Tensor] = []

    def decode(values: torch.Tensor, *_args: Any, **_kwargs: Any) -> Any:
        handed.append(values.clone())
        raise Enough

    with watched(pipeline) as seen, patch.object(pipeline.vae, "decode", decode), suppress(Enough):
        run(pipeline, family, request, size, "pt")
    assert seen.last is not None
    return seen.last, handed[0]


def same_up_to_scale(ours_BCFHW: torch.Tensor, theirs_BCFHW: torch.Tensor) -> bool:
    """Whether two latents differ by a factor and an offset for every channel at most."""
    ours, theirs = (values.double().transpose(0, 1).flatten(1) for values in (ours_BCFHW, theirs_BCFHW))
    ours, theirs = (values - values.mean(1, keepdim=True) for values in (ours, theirs))
    return bool((functional.cosine_similarity(ours, theirs, dim=1) > 1 - 1e-6).all())


def places(family: Family, shape: torch.Size, latent: Latent) -> torch.Tensor:
    """Where in the scheduler's flattened latents each (C, F, H, W) lies, by the family's own layout."""
    numbers = torch.arange(shape.numel(), dtype=torch.float64).view(shape)
    return family.latents_of(numbers, latent)[0].long()


def moved(
    pipeline: Any, family: Family, request: Generation, size: Size, where: list[int], stack: Stack, layer: Any
) -> torch.Tensor:
    """What a layer is given that differs once the latents at ``where`` are changed on their way into the denoiser."""
    with watched(pipeline) as seen:
        run(pipeline, family, request, size)
    shape = seen.latents[0].shape
    plain, changed = (_input(pipeline, family, request, size, (shape, at), stack, layer) for at in ([], where))
    return (plain != changed).any(-1, keepdim=True)


def _input(
    pipeline: Any, family: Family, request: Generation, size: Size, change: Any, stack: Stack, layer: Any
) -> torch.Tensor:
    shape, where = change
    found: list[torch.Tensor] = []

    def disturb(_module: Any, _args: Any, kwargs: Any) -> Any:
        values = kwargs["hidden_states"].clone()
        delta = torch.zeros(shape.numel(), dtype=values.dtype)
        delta[where] = 3.0
        values[tuple(slice(0, extent) for extent in shape)] += delta.view(shape)
        return _args, {**kwargs, "hidden_states": values}

    def keep(_module: Any, args: Any, kwargs: Any) -> None:
        found.append(stack.argument_of(args, kwargs).clone())
        raise Enough

    hooks = [
        pipeline.transformer.register_forward_pre_hook(disturb, with_kwargs=True),
        layer.register_forward_pre_hook(keep, with_kwargs=True),
    ]
    try:
        run(pipeline, family, request, size)
    except Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found[0]


@contextmanager
def attentions(module: Any) -> Iterator[list[tuple[torch.Size, torch.Size]]]:
    """Shapes of queries and keys of every scaled dot-product attention inside a module."""
    shapes: list[tuple[torch.Size, torch.Size]] = []
    stock, inside = functional.scaled_dot_product_attention, [False]

    def attend(query: torch.Tensor, key: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if inside[0]:
            shapes.append((query.shape, key.shape))
        return stock(query, key, *args, **kwargs)

    def turn(on: bool) -> Callable[..., None]:
        return lambda *_: inside.__setitem__(0, on)

    hooks = [module.register_forward_pre_hook(turn(True)), module.register_forward_hook(turn(False))]
    with patch.object(functional, "scaled_dot_product_attention", attend):
        yield shapes
    for hook in hooks:
        hook.remove()

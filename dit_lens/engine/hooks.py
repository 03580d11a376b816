"""Attach everything to a pipeline, and take all of it off again, whatever happens in between.

Recorder hooks are ordinary forward hooks that return nothing: they cannot change what flows. ``cache_context`` is
wrapped on every denoiser for the branch names, and the scheduler's class is swapped for the clock
(``dit_lens.engine.scheduler``). One exit stack undoes it all in reverse order, also after an exception, and does not
mind if somebody else took a hook off before.

Shapes: B rows of the batch, F latent frames, N tokens of a frame, C channels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from dit_lens.adapters.family import Family, Stack
from dit_lens.address import Address
from dit_lens.engine.clock import Clock
from dit_lens.engine.errors import UnexpectedVisit
from dit_lens.engine.layout import Layout
from dit_lens.engine.recorder import Recorder, check_shape
from dit_lens.engine.scheduler import StepCall, observed_scheduler
from dit_lens.engine.solver import clean_latent, step_index

__all__ = ["attached"]


@contextmanager
def attached(
    pipeline: Any, family: Family, layout: Layout, recorder: Recorder, on_step: Callable[[int, int], None] | None = None
) -> Iterator[None]:
    """While inside, a call of the pipeline is recorded.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    layout : Layout
    recorder : Recorder
    on_step : callable, optional
        Called after every step with (steps done, steps).
    """
    watch = _Watch(pipeline, layout, recorder, on_step)
    with ExitStack() as stack:
        for expert, denoiser in family.denoisers(pipeline).items():
            stack.enter_context(_named_contexts(denoiser, watch.clock))
            stack.enter_context(_hook(denoiser.register_forward_pre_hook(watch.on_call(expert))))
            for number, (kind, layer) in enumerate(family.layers(denoiser)):
                stack.enter_context(_hook(layer.register_forward_hook(watch.on_layer(number, kind))))
            stack.enter_context(_hook(denoiser.register_forward_hook(watch.on_velocity)))
        stack.enter_context(observed_scheduler(pipeline.scheduler, watch.clock.restart, watch.around_step))
        yield


class _Watch:
    """What the hooks do: ask the clock where they are, and hand the tensor to the recorder."""

    def __init__(
        self, pipeline: Any, layout: Layout, recorder: Recorder, on_step: Callable[[int, int], None] | None
    ) -> None:
        self.clock = Clock(layout)
        self._pipeline = pipeline
        self._layout = layout
        self._recorder = recorder
        self._on_step = on_step
        self._velocities: dict[str, torch.Tensor] = {}  # of the running step only, and only for x0 of a branch

    def on_call(self, expert: str) -> Callable[..., None]:
        def hook(_module: Any, _args: Any) -> None:
            self.clock.enter(expert, _number(getattr(self._pipeline, "_current_timestep", None)))

        return hook

    def on_layer(self, number: int, kind: Stack) -> Callable[..., None]:
        (frames, rows, columns), channels = self._layout.tokens, self._layout.channels

        def hook(_module: Any, _args: Any, output: Any) -> None:
            for branch, values_NC in self._rows(kind.video_of(output)):
                address = self.clock.address(branch, number, "block.out")
                if self._recorder.wants(address):
                    check_shape(address, values_NC, (frames * rows * columns, channels))
                    self._recorder.record(address, values_NC.reshape(frames, rows * columns, channels))

        return hook

    def on_velocity(self, _module: Any, _args: Any, output: Any) -> None:
        for branch, velocity in self._rows(output[0]):
            self._recorder.record(self.clock.address(branch, None, "velocity"), velocity)
            if self._recorder.wants(self.clock.address(branch, None, "x0")):
                self._velocities[branch] = velocity.detach().clone()

    def around_step(self, call: StepCall) -> Callable[[Any], None]:
        """Record what goes into a step; the function that it returns records what depends on the step's own outcome."""
        scheduler, clock, timestep = self._pipeline.scheduler, self.clock, _number(call.timestep)
        clock.follow(timestep)
        index = step_index(scheduler, call.timestep)
        sigma = float(scheduler.sigmas[index])
        self._record("latent", call.latent)
        self._record("velocity.guided", call.velocity)
        clean = self._clean_latents(call, index)

        def after(latents: torch.Tensor) -> None:
            for address, values in clean.items():
                self._recorder.record(address, values.to(latents.dtype))  # the scheduler rounds its own result likewise
            if clock.expert is not None:
                self._recorder.mark_step(clock.step, clock.expert, sigma, timestep)
            clock.advance()
            if self._on_step is not None:
                self._on_step(clock.step, self._layout.steps)

        return after

    def _clean_latents(self, call: StepCall, index: int) -> dict[Address, torch.Tensor]:
        """The clean latents that are wanted of this step: of every branch, and guided."""
        address = self.clock.address
        velocities = {address(branch, None, "x0"): velocity for branch, velocity in self._velocities.items()}
        velocities[address(None, None, "x0.guided")] = call.velocity[0]
        self._velocities = {}
        scheduler, latent = self._pipeline.scheduler, call.latent[0]
        return {
            at: clean_latent(scheduler, index, latent, velocity)
            for at, velocity in velocities.items()
            if self._recorder.wants(at)
        }

    def _record(self, site: str, tensor: torch.Tensor) -> None:
        self._recorder.record(self.clock.address(None, None, site), tensor[0])

    def _rows(self, tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
        """Every row of a batch with its branch."""
        if len(tensor) != len(self.clock.rows):
            raise UnexpectedVisit(
                f"the batch does not fit the branches at {self.clock.address(None, None, 'velocity')}; got "
                f"{len(tensor)} rows, "
                f"allowed {len(self.clock.rows)} ({', '.join(self.clock.rows)}); generate one video at a time"
            )
        return list(zip(self.clock.rows, tensor, strict=True))


def _number(timestep: Any) -> Any:
    return timestep if timestep is None else float(timestep)


@contextmanager
def _hook(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _named_contexts(denoiser: Any, clock: Clock) -> Iterator[None]:
    """Listen to ``cache_context``, where the denoiser has one."""
    stock = getattr(denoiser, "cache_context", None)
    if stock is None:
        yield
        return
    before = denoiser.__dict__.get("cache_context")

    @functools.wraps(stock)
    @contextmanager
    def cache_context(name: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with clock.context(name), stock(name, *args, **kwargs) as value:
            yield value

    denoiser.cache_context = cache_context
    try:
        yield
    finally:
        denoiser.__dict__.pop("cache_context", None)
        if before is not None:
            denoiser.cache_context = before

"""What happens between the steps of a run: state edits, resets of the solver, a start from a stored step, an early end.

A state edit of step k takes the place of what the step before it left; of the first step, of what the pipeline
prepared. Whether it held is looked at when step k hands its latents to the solver: a pipeline that put its own in
their place has undone the edit, and the run ends. Where the edit changed anything, the solver forgets its history
before the step. A run that starts late or stops early is one whose pipeline is told fewer timesteps; the solver keeps
all of them, because the order of its last steps depends on how many there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from dit_lens.engine.clock import Clock
from dit_lens.engine.editor import Editor
from dit_lens.engine.errors import MissedEdit
from dit_lens.engine.history import forget
from dit_lens.engine.layout import Layout
from dit_lens.engine.scheduler import StepCall
from dit_lens.engine.starting import Beginning

__all__ = ["Between"]


class Between:
    """What one run does between its steps.

    Parameters
    ----------
    scheduler : diffusers scheduler
    layout : Layout
    editor : Editor
    clock : Clock
    resets : tuple of int
        Steps before which the solver forgets, whatever is edited.
    beginning : Beginning, optional
        A stored step from which the run goes on.

    Attributes
    ----------
    resets : set of int
        The steps before which the solver forgot, as the run goes on.
    """

    def __init__(
        self,
        scheduler: Any,
        layout: Layout,
        editor: Editor,
        clock: Clock,
        resets: tuple[int, ...] = (),
        beginning: Beginning | None = None,
    ) -> None:
        self._scheduler, self._layout, self._editor, self._clock = scheduler, layout, editor, clock
        self._wanted, self._beginning = set(resets), beginning
        self._standing: tuple[int, torch.Tensor] | None = None  # latents that must be those of a step
        self._timesteps: Any = None  # all of them, while the pipeline is told fewer
        self.resets: set[int] = set()

    @contextmanager
    def around(self, pipeline: Any) -> Iterator[None]:
        """While inside, the first latents are those that are wanted; afterwards nothing is left of it."""
        first = self._layout.first
        try:
            if self._beginning is None and not self._editor.wants(None, "state"):
                yield
                return
            with _prepared(pipeline, lambda latents: self._prepare(latents, first)):
                yield
        finally:
            self._tell_all()

    def check(self) -> None:
        """Raise ``MissedEdit`` if an edit did not come to an address."""
        self._editor.check()

    def started(self) -> None:
        """``set_timesteps`` was called."""
        if len(self._layout.running) == self._layout.steps:
            return
        if self._beginning is not None:
            self._beginning.replay(self._scheduler)
        self._timesteps = self._scheduler.timesteps
        self._scheduler.timesteps = self._timesteps[self._layout.first : self._layout.running.stop]

    def enters(self, call: StepCall) -> StepCall:
        """Before a step: whether the state edit held, the reset, and the guided velocity."""
        self._tell_all()
        self._clock.follow(float(call.timestep))
        step = self._clock.step
        self._check_standing(step, call.latent)
        if step in self._wanted:
            forget(self._scheduler)
            self.resets.add(step)
        return replace(call, velocity=self._editor.edited_latents(call.velocity, step, "velocity.guided"))

    def leaves(self, latents: torch.Tensor) -> torch.Tensor:
        """After a step: the latents that the next one starts from."""
        step = self._clock.step + 1
        return self._edit(latents, step) if step in self._layout.running else latents

    def _prepare(self, latents: torch.Tensor, first: int) -> torch.Tensor:
        if self._beginning is not None:
            latents = self._beginning.latents.to(latents.device, latents.dtype)
            self._standing = (first, latents)
        return self._edit(latents, first)

    def _edit(self, latents: torch.Tensor, step: int) -> torch.Tensor:
        edited = self._editor.edited_latents(latents, step, "state")
        if edited is not latents:
            self._wanted.add(step)
            self._standing = (step, edited)
        return edited

    def _check_standing(self, step: int, latents: torch.Tensor) -> None:
        standing, self._standing = self._standing, None
        if standing is None or (standing[0] == step and torch.equal(latents, standing[1])):
            return
        raise MissedEdit(
            f"the pipeline did not keep the latents of step {standing[0]}; got others at step {step}, allowed those "
            f"that a state edit or a start put there; edit view, or another step"
        )

    def _tell_all(self) -> None:
        """Give the scheduler all of its timesteps again."""
        if self._timesteps is not None:
            self._scheduler.timesteps, self._timesteps = self._timesteps, None


@contextmanager
def _prepared(pipeline: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """While inside, what ``prepare_latents`` makes is changed."""
    stock = pipeline.prepare_latents
    before = pipeline.__dict__.get("prepare_latents")

    @functools.wraps(stock)
    def prepare_latents(*args: Any, **kwargs: Any) -> Any:
        made = stock(*args, **kwargs)
        return (change(made[0]), *made[1:]) if isinstance(made, tuple) else change(made)

    pipeline.prepare_latents = prepare_latents
    try:
        yield
    finally:
        pipeline.__dict__.pop("prepare_latents", None)
        if before is not None:
            pipeline.prepare_latents = before

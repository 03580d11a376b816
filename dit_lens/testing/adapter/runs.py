"""The runs that the other checks look at, each made once: plain, traced with and without guidance, and plain again.

What a run raises is kept as well: the first check that asks for it fails with it, the others have nothing to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dit_lens.engine.errors import BadRequest
from dit_lens.engine.scheduler import StepCall, observed_scheduler
from dit_lens.testing.adapter.attach import first_of
from dit_lens.testing.adapter.report import Broken, Moot
from dit_lens.testing.adapter.subject import Subject

if TYPE_CHECKING:
    from dit_lens_stores import Trace

__all__ = ["Runs", "Seen"]

_TELLING = ("latent", "velocity", "block.out:energy")
"""What a run without guidance is traced for: all its steps and layers; the inside of these is in the other trace."""
_STATE = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs")


@dataclass
class Seen:
    """What a plain run showed of itself: shapes at its first step, timesteps, and the scheduler's last latents."""

    stepped: list[float] = field(default_factory=list)
    told: list[tuple[int, float]] = field(default_factory=list)
    latent: torch.Tensor | None = None
    output: torch.Tensor | None = None
    last: torch.Tensor | None = None


class Runs:
    """Runs of one subject.

    Parameters
    ----------
    subject : Subject
    folder : pathlib.Path
        For the stores, which are temporary.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject = subject
        self._folder = folder
        self._made: dict[str, Any] = {}

    @property
    def plain(self) -> torch.Tensor:
        """Final latents of the first plain run."""
        latents: torch.Tensor = self._once("plain", self.subject.run)
        return latents

    @property
    def traced(self) -> tuple[torch.Tensor, Trace]:
        """Final latents and trace of the request itself."""
        made: tuple[torch.Tensor, Trace] = self._once("traced", self._traced)
        return made

    @property
    def unguided(self) -> Trace:
        """Trace of the same request without guidance; there is none where the request has none."""
        trace: Trace = self._once("unguided", self._unguided)
        return trace

    @property
    def seen(self) -> Seen:
        """What plain hooks saw of a plain run."""
        seen: Seen = self._once("seen", self._watched)
        return seen

    @property
    def left_behind(self) -> list[str]:
        """What is different about the pipeline since it was traced."""
        self.traced  # noqa: B018 - made here if it was not yet
        left: list[str] = self._made["left"]
        return left

    def identity(self) -> str:
        """Plain, with everything recorded, and plain again: the same bits."""
        plain, traced, again = self.plain, self.traced[0], self.subject.run()
        if not torch.equal(plain, again):
            raise Broken(
                f"two plain runs differ by {_apart(plain, again)}", "run the pipeline deterministically, then ask again"
            )
        if not torch.equal(plain, traced):
            raise Broken(
                f"the traced latents differ by {_apart(plain, traced)}", "a hook changes what flows: look at swap.self"
            )
        return f"{len(self.subject.captures)} captures change no bit of {tuple(plain.shape)} latents"

    def restored(self) -> str:
        """The pipeline is after a trace as it was before."""
        if self.left_behind:
            raise Broken(f"left on the pipeline: {', '.join(self.left_behind[:4])}", "report it: a trace must undo it")
        return "no hook, no patch and no other scheduler left"

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            try:
                self._made[name] = make()
            except Moot:
                raise
            except Exception as error:
                self._made[name] = Moot(f"the {name} run failed")
                raise error
        if isinstance(self._made[name], Moot):
            raise self._made[name]
        return self._made[name]

    def _traced(self) -> tuple[torch.Tensor, Trace]:
        before = _state(self.subject)
        try:
            return self.subject.trace(self._folder / "traced.zarr")
        finally:
            after = _state(self.subject)
            self._made["left"] = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))

    def _unguided(self) -> Trace:
        if len(self.subject.layout.branches) == 1:
            raise Moot("the request itself has no guidance")
        try:
            subject = self.subject.unguided()
        except BadRequest as error:
            raise Moot(f"refused: {' '.join(str(error).split())}") from None
        return subject.trace(self._folder / "unguided.zarr", _TELLING)[1]

    def _watched(self) -> Seen:
        seen, subject = Seen(), self.subject

        def around(call: StepCall) -> Callable[[Any], None]:
            seen.stepped.append(float(call.timestep))
            seen.latent = call.latent.detach().clone() if seen.latent is None else seen.latent
            return lambda latents: setattr(seen, "last", latents.detach().clone())

        with observed_scheduler(subject.pipeline.scheduler, lambda: None, around), _told(subject, seen):
            subject.run()
        return seen


@contextmanager
def _told(subject: Subject, seen: Seen) -> Iterator[None]:
    """Keep what the denoisers are told of the time, and what they first return."""

    def enter(module: Any, args: Any, kwargs: Any) -> None:
        given = signature(type(module).forward).bind(module, *args, **kwargs).arguments
        if isinstance(given.get("timestep"), (torch.Tensor, float, int)):
            seen.told.append((len(seen.stepped), float(torch.as_tensor(given["timestep"]).max())))

    def leave(_module: Any, _args: Any, output: Any) -> None:
        seen.output = first_of(output).detach().clone() if seen.output is None else seen.output

    with ExitStack() as hooks:
        for denoiser in subject.family.denoisers(subject.pipeline).values():
            hooks.callback(denoiser.register_forward_pre_hook(enter, with_kwargs=True).remove)
            hooks.callback(denoiser.register_forward_hook(leave).remove)
        yield


def _state(subject: Subject) -> dict[str, Any]:
    """Whatever a trace could leave behind, by the place where it would be."""
    pipeline = subject.pipeline
    state: dict[str, Any] = {"the scheduler's class": type(pipeline.scheduler), "the pipeline": sorted(vars(pipeline))}
    for expert, denoiser in subject.family.denoisers(pipeline).items():
        for path, module in denoiser.named_modules():
            name = f"{expert}.{path}".rstrip(".")
            state[f"attributes of {name}"] = sorted(vars(module))
            state[f"hooks of {name}"] = [list(getattr(module, kind)) for kind in _STATE]
            state[f"processor of {name}"] = id(vars(module).get("processor"))
    return state


def _apart(one: torch.Tensor, other: torch.Tensor) -> str:
    return f"up to {float((one.cpu().double() - other.cpu().double()).abs().max()):.3g}"

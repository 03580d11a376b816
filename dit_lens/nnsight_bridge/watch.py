"""Count the calls of the denoisers while a block runs, compare each with the plan, and serve the worker by call.

nnsight's worker says which visit of a location it waits for (``wanted``), and nnsight asks it which visit runs now
(``occurrence``). Both are answered here, with the number of the denoiser's call: from the address that the worker is
tied to, and from the calls that hooks have seen. So everything below a denoiser is served in the call that was asked
for, also what nnsight itself would count from later on, and a worker that waits for a call that is over can be told so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from dit_lens.address import Address
from dit_lens.engine.clock import Clock
from dit_lens.engine.errors import BadBlock, IncompleteTrace, OutOfOrder, UnexpectedVisit
from dit_lens.engine.hooks import named_contexts
from dit_lens.engine.scheduler import StepCall, observed_scheduler
from dit_lens.nnsight_bridge.visits import Visit, plan_visits

if TYPE_CHECKING:
    from dit_lens.adapters.family import Family
    from dit_lens.engine.layout import Layout

__all__ = ["ROOT", "Watch", "no_address"]

ROOT = "model"
"""With which every location of nnsight starts."""


class Watch:
    """The calls of one run.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    layout : Layout
    interleaver : nnsight.intervention.interleaver.Interleaver

    Attributes
    ----------
    visits : tuple of Visit
        The plan.
    """

    def __init__(self, pipeline: Any, family: Family, layout: Layout, interleaver: Any) -> None:
        batched = family.guidance == "batched"
        self.visits = plan_visits(layout, batched=batched)
        self.interleaver = interleaver
        self._pipeline, self._layout = pipeline, layout
        self._denoisers = family.denoisers(pipeline)
        self._clock = Clock(layout, batched=batched, contexts=family.contexts)
        self._timesteps = layout.timesteps or ()
        self._sigmas: Sequence[Any] = ()
        self._attribute = "_current_timestep" if family.tells_timestep else ""
        self._worker: Any = None
        self._tied: Visit | None = None
        self._now = -1
        self._numbers = dict.fromkeys(self._denoisers, -1)

    @contextmanager
    def attached(self, worker: Any) -> Iterator[None]:
        """While inside, calls are counted and the worker is served by call.

        Parameters
        ----------
        worker : nnsight.intervention.interleaver.Mediator
        """
        self._worker = worker
        worker.wanted = partial(self._wanted, worker.wanted)
        worker.occurrence = partial(self._occurrence, worker.occurrence)
        self.interleaver.mediators.append(worker)
        with ExitStack() as stack:
            stack.callback(self._let_go)
            for expert, denoiser in self._denoisers.items():
                stack.enter_context(named_contexts(denoiser, self._clock))
                hook = denoiser.register_forward_pre_hook(partial(self._on_call, expert), with_kwargs=True)
                stack.callback(hook.remove)
            stack.enter_context(observed_scheduler(self._pipeline.scheduler, self._restart, self._around_step))
            yield

    def _let_go(self) -> None:
        self.interleaver.cancel()
        for name in ("wanted", "occurrence"):
            vars(self._worker).pop(name)  # they hold the worker, and the worker all that the block names
        self._worker = None

    @contextmanager
    def tied(self, visit: Visit | None) -> Iterator[None]:
        """While inside, what the worker asks for is asked of one call of a denoiser.

        Raises
        ------
        BadBlock
            If no run is on.
        """
        if self._worker is None:
            raise no_address("a place after the block")
        before, self._tied = self._tied, visit
        try:
            yield
        finally:
            self._tied = before

    def finish(self) -> None:
        """After the run: every call was made, and the block waits for nothing.

        Raises
        ------
        IncompleteTrace
        """
        self._end_late_worker()
        if self._now < len(self.visits) - 1:
            raise IncompleteTrace(
                f"the run ended before its last call; got {self._now + 1} calls of denoisers, allowed "
                f"{len(self.visits)}, the next being {self.visits[self._now + 1]}; run an unmodified pipeline"
            )
        if self._worker.alive:
            never = IncompleteTrace(
                f"the block waits for a value that never came; got {self._worker.pending.provider}, allowed what the "
                "run computes; ask for a module that runs"
            )
            self._worker.worker.throw(never)

    def _wanted(self, stock: Callable[[str], int], location: str) -> int:
        """Which visit of a location the worker asks for."""
        expert = self._expert_of(location)
        if expert is None:
            return stock(location)
        if self._tied is None or self._tied.expert != expert:
            raise no_address(location)
        if self._tied.index < self._now:
            raise self._too_late(location, self._tied)
        return self._tied.number

    def _occurrence(self, stock: Callable[[str], int], location: str) -> int:
        """Which visit of a location runs: that of the denoiser, also of what nnsight counts from later on."""
        expert = self._expert_of(location)
        return stock(location) if expert is None else self._numbers[expert]

    def _expert_of(self, location: str) -> str | None:
        root, _, rest = location.partition(".")
        expert = rest.partition(".")[0]
        return expert if root == ROOT and expert in self._numbers else None

    def _on_call(self, expert: str, module: Any, args: Any, kwargs: Any) -> None:
        if not self.interleaver.interleaving:  # a call on the side, by the block
            return
        self._end_late_worker()
        self._clock.enter(expert, _number(getattr(self._pipeline, self._attribute, None)))
        self._now += 1
        self._numbers[expert] += 1
        self._check_plan(expert)
        self._check_timestep(_timestep(module, args, kwargs))

    def _check_plan(self, expert: str) -> None:
        branches = tuple(branch for branch, _ in self._clock.rows)
        planned = self.visits[self._now] if self._now < len(self.visits) else None
        if planned is None or (planned.expert, planned.step, planned.branches) != (expert, self._clock.step, branches):
            got = Visit(self._now, self._numbers[expert], expert, self._clock.step, branches)
            raise UnexpectedVisit(
                f"the run made another call than planned as number {self._now}; got {got}, allowed "
                f"{planned or 'none after the last'}; run an unmodified pipeline"
            )

    def _check_timestep(self, given: torch.Tensor | None) -> None:
        """Compare the denoiser's own timestep; tokens held at 0, as those of a given first frame, do not count."""
        if given is None or not self._timesteps:
            return
        got, planned = given.max(), self._timesteps[self._clock.step]
        if not any(torch.equal(got, form.to(got)) for form in self._forms(torch.tensor(planned).to(given.dtype))):
            raise UnexpectedVisit(
                f"the denoiser was called with another timestep than planned at {self.visits[self._now]}; got "
                f"{float(got):g}, allowed {planned:g}; let the pipeline set its timesteps from the number of steps "
                "alone"
            )

    def _forms(self, planned: torch.Tensor) -> Iterator[torch.Tensor]:
        """What a pipeline may make of a timestep for its denoiser: itself, its share of all, or noise by sigma."""
        most = self._pipeline.scheduler.config.get("num_train_timesteps", 1000)
        yield from (planned, planned / most)
        if not self._attribute:  # it counts the other way
            yield most - planned
        if self._clock.step < len(self._sigmas):
            sigma = torch.as_tensor(self._sigmas[self._clock.step])
            yield from (sigma, sigma / (sigma + 1))

    def _restart(self) -> None:
        scheduler = self._pipeline.scheduler
        timesteps = tuple(float(timestep) for timestep in scheduler.timesteps)
        self._clock.restart(timesteps)
        self._timesteps = self._layout.timesteps or timesteps[-self._layout.steps :]
        left_out = max(len(timesteps) - self._layout.steps, 0)
        self._sigmas = getattr(scheduler, "sigmas", ())[left_out:]

    def _around_step(self, call: StepCall) -> Callable[[Any], None]:
        self._clock.follow(_number(call.timestep))

        def after(_latents: Any) -> None:
            self._clock.advance()
            if self._clock.step == self._layout.steps:  # while a trace of this run can still be called failed
                self._end_late_worker()

        return after

    def _end_late_worker(self) -> None:
        """If the worker waits for something of a call that is over, raise in it, at the line that waits."""
        worker, tied = self._worker, self._tied
        if tied is None or not worker.alive or worker.pending is None or tied.index > self._now:
            return
        worker.pending = worker.worker.throw(self._too_late(worker.pending.provider, tied))
        self.interleaver._reindex_parked()  # the block caught the error, and may ask for something else

    def _too_late(self, location: str, visit: Visit) -> OutOfOrder:
        where = self._named(location, visit)
        return OutOfOrder(
            f"the block asked too late for {where}; got a run that is past it, at {self.visits[self._now]}, allowed "
            "values in the order in which the model computes them; ask for earlier steps, branches, layers and modules "
            "first",
            (where,),
        )

    def _named(self, location: str, visit: Visit) -> Address:
        """A location of nnsight as an address; what is below the layer stands for the site."""
        rest = location.removeprefix(f"{ROOT}.{visit.expert}.")
        for number, path in enumerate(self._layout.modules):
            if rest.startswith(f"{path}."):
                return Address(visit.expert, visit.branch, visit.step, number, rest.removeprefix(f"{path}."))
        return Address(visit.expert, visit.branch, visit.step, None, rest)


def no_address(where: str) -> BadBlock:
    """The error for a value of a denoiser that was asked for without saying in which call."""
    return BadBlock(
        f"the block asked for a value of a denoiser without an address, or outside of its run; got {where}, allowed "
        "places that at(step, branch, layer) gives, inside the block; write at(step, branch, layer).output"
    )


def _timestep(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """The timestep that a denoiser is called with."""
    names = list(inspect.signature(type(module).forward).parameters)[1:]
    given = {**dict(zip(names, args, strict=False)), **kwargs}.get("timestep")
    return given if isinstance(given, torch.Tensor) else None


def _number(timestep: Any) -> float | None:
    return None if timestep is None else float(timestep)

"""What the hooks do: ask the clock where they are, split the batch into its rows, and hand each to its recorder.

A row of a denoiser's batch is one branch of one sample; the clock says which. Tokens are brought into frames and
places by the family's stack, latents into channels, frames, rows and columns by its layouts, so that a recorder never
sees a family's own arrangement.

Shapes: B rows of the batch, F frames, N tokens of a frame, C channels; H heads, D channels of a head, L text tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from einops import EinopsError, rearrange

from dit_lens.adapters.family import Family, Stack
from dit_lens.address import Address
from dit_lens.engine.attention import SeenAttention
from dit_lens.engine.clock import Clock
from dit_lens.engine.collector import Collector
from dit_lens.engine.errors import UnexpectedVisit
from dit_lens.engine.expected import Expected, Place
from dit_lens.engine.layout import Layout
from dit_lens.engine.probabilities import AttentionCall
from dit_lens.engine.scheduler import StepCall
from dit_lens.engine.solver import clean_latent, sigma_at, step_index
from dit_lens.engine.streams import first_of, frames_of

__all__ = ["Watch"]

_OF_TENSOR = ("q", "k", "v")

_Row = tuple[int, Collector, str, Mapping[Place, Expected]]
"""A row of the batch with its collector and branch, and what must come of it in this call."""


class Watch:
    """The hooks of one run.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    layout : Layout
    recorders : sequence of Collector or None
        One for every sample of the batch that is recorded.
    on_step : callable or None
    """

    def __init__(
        self,
        pipeline: Any,
        family: Family,
        layout: Layout,
        recorders: Sequence[Collector | None],
        on_step: Callable[[int, int], None] | None,
    ) -> None:
        self.clock = Clock(layout, batched=family.guidance == "batched", contexts=family.contexts)
        self.sites = frozenset().union(*(recorder.sites for recorder in recorders if recorder))
        self._pipeline, self._family, self._layout = pipeline, family, layout
        self._recorders = recorders
        self._recorded = [(sample, recorder) for sample, recorder in enumerate(recorders) if recorder is not None]
        self._on_step = on_step
        self._running: list[_Row] = []  # what _rows gives in this call of a denoiser
        self._velocities: dict[tuple[str, int], torch.Tensor] = {}  # of the running step only, for x0 of a branch

    def wants(self, layer: int, site: str) -> bool:
        """Whether any capture asks for a site, and the layer has it."""
        return site in self.sites and layer in self._layout.layers_of(site)

    def restart(self) -> None:
        """``set_timesteps`` was called."""
        timesteps = self._pipeline.scheduler.timesteps
        self.clock.restart(tuple(float(timestep) for timestep in timesteps))

    def on_call(self, expert: str) -> Callable[..., None]:
        """Hook of a denoiser, before it runs."""
        attribute = "_current_timestep" if self._family.tells_timestep else ""

        def hook(_module: Any, _args: Any) -> None:
            self.clock.enter(expert, _number(getattr(self._pipeline, attribute, None)))
            self._running = self._recorded_rows()

        return hook

    def on_input(self, number: int, kind: Stack) -> Callable[..., None]:
        """Hook of a layer, before it runs."""
        record = self._recording(number, kind, "block.in")

        def hook(_module: Any, args: Any, kwargs: Any) -> None:
            record(kind.argument_of(args, kwargs))

        return hook

    def on_output(self, number: int, kind: Stack, site: str) -> Callable[..., None]:
        """Hook of a layer or of a part of it, after it ran."""
        stream = kind.video_of if site == "block.out" else first_of
        record = self._recording(number, kind, site)

        def hook(_module: Any, _args: Any, output: Any) -> None:
            record(output if type(output) is torch.Tensor else stream(output))

        return hook

    def on_attention(self, number: int, sites: Sequence[str]) -> Callable[[tuple[SeenAttention, ...]], None]:
        """What to do with the attention of one layer; of several in one module the last is that over the prompt."""

        def hook(seen: tuple[SeenAttention, ...]) -> None:
            for row, recorder, _, wanted in self._rows(len(seen[-1].q_BHND)):
                call: AttentionCall | None = None
                for site in sites:
                    expected = wanted.get((number, site))
                    if expected is not None:
                        call = call or seen[-1].row(row)
                        self._record_attention(recorder, expected, call)

        return hook

    def on_velocity(self, _module: Any, _args: Any, output: Any) -> None:
        """Hook of a denoiser, after it ran."""
        if not self.sites & {"velocity", "x0"}:
            self._rows(len(first_of(output)))  # also without a capture, rows that no branch explains end the run
            return
        velocity_BCFHW = self._family.velocity_of(first_of(output), self._layout.latent)
        for row, recorder, branch, wanted in self._rows(len(velocity_BCFHW)):
            velocity = velocity_BCFHW[row]
            if (expected := wanted.get((None, "velocity"))) is not None:
                recorder.take(expected, velocity)
            if (None, "x0") in wanted:
                self._velocities[branch, self._recorders.index(recorder)] = velocity.detach().clone()

    def around_step(self, call: StepCall) -> Callable[[Any], None]:
        """Record what goes into a step; the function that it returns records what depends on the step's own outcome."""
        scheduler, clock, timestep = self._pipeline.scheduler, self.clock, _number(call.timestep)
        clock.follow(timestep)
        index = step_index(scheduler, call.timestep)
        sigma = sigma_at(scheduler, index, timestep)
        clean = self._record_step(call, index)
        self._note_latents(clock.step, call.latent)

        def after(latents: torch.Tensor) -> None:
            for recorder, address, values in clean:
                recorder.record(address, values.to(latents.dtype))  # the scheduler rounds its own result likewise
            if clock.expert is not None:
                for _, recorder in self._recorded:
                    recorder.mark_step(clock.step, clock.expert, sigma, timestep)
            if clock.step == self._layout.running[-1]:
                self._note_latents(clock.step + 1, latents)
            clock.advance()
            if self._on_step is not None:
                self._on_step(clock.step - self._layout.first, len(self._layout.running))

        return after

    def _note_latents(self, step: int, latents: torch.Tensor) -> None:
        rows = self._family.latents_of(latents, self._layout.latent)
        for sample, recorder in self._recorded:
            recorder.note_latents(step, rows[sample])

    def _record_step(self, call: StepCall, index: int | None) -> list[tuple[Collector, Address, torch.Tensor]]:
        """Record latent and guided velocity of every sample; give the clean latents that are wanted."""
        address, scheduler = self.clock.address, self._pipeline.scheduler
        latent_BCFHW = self._family.latents_of(call.latent, self._layout.latent)
        guided_BCFHW = self._family.latents_of(call.velocity, self._layout.latent)
        clean: list[tuple[Collector, Address, torch.Tensor]] = []
        for sample, recorder in self._recorded:
            latent, guided = latent_BCFHW[sample], guided_BCFHW[sample]
            recorder.record(address(None, None, "latent"), latent)
            recorder.record(address(None, None, "velocity.guided"), guided)
            for at, velocity in self._pointing(sample, guided).items():
                if recorder.wants(at):
                    clean.append((recorder, at, clean_latent(scheduler, index, call.timestep, latent, velocity)))
        self._velocities = {}
        return clean

    def _pointing(self, sample: int, guided: torch.Tensor) -> Mapping[Address, torch.Tensor]:
        """The velocities of one sample, by the address of the clean latent that they point to."""
        address = self.clock.address
        own = {
            address(branch, None, "x0"): velocity for (branch, at), velocity in self._velocities.items() if at == sample
        }
        return {**own, address(None, None, "x0.guided"): guided}

    def _recording(self, number: int, kind: Stack, site: str) -> Callable[[torch.Tensor], None]:
        """What takes the tokens of one site of one layer: between two layers, so it calls as little as it can."""
        place, clock, layout, (frames, rows, columns) = (number, site), self.clock, self._layout, self._layout.tokens
        alone_1NC = (1, frames * rows * columns, layout.channels) if kind.fold == kind.text == "none" else ()

        def record(values: torch.Tensor) -> None:
            if values.shape == alone_1NC:  # in one view, not in two
                rows_FNC: Any = (values.view(frames, -1, layout.channels),)
            else:
                rows_FNC = frames_of(values, kind, number, site, layout, clock)
            if len(rows_FNC) != len(clock.rows):
                clock.check_rows(len(rows_FNC))
            for row, recorder, _, wanted in self._running:
                if (expected := wanted.get(place)) is not None:
                    recorder.take(expected, rows_FNC[row])

        return record

    def _record_attention(self, recorder: Collector, expected: Expected, call: AttentionCall) -> None:
        address = expected.address
        part, what = address.site.split(".")
        if what not in _OF_TENSOR:
            recorder.take_attention(expected, call)
            return
        values_HND = getattr(call, {"q": "q_HND", "k": "k_HMD", "v": "v_HMD"}[what])
        if part == "attn2" and what != "q":
            recorder.take(expected, rearrange(values_HND, "h l d -> l h d"))
            return
        recorder.take(expected, self._by_frames(address, values_HND))

    def _by_frames(self, address: Address, values_HND: torch.Tensor) -> torch.Tensor:
        frames, rows, columns = self._layout.tokens
        try:
            return rearrange(values_HND, "h (f n) d -> f n h d", f=frames, n=rows * columns)
        except EinopsError:
            raise UnexpectedVisit(
                f"the run came with another shape than planned to {address}; got {tuple(values_HND.shape)}, allowed "
                f"{frames * rows * columns} tokens; correct the adapter's grid, or its stack's probabilities",
                (address,),
            ) from None

    def _recorded_rows(self) -> list[_Row]:
        clock, found = self.clock, list[_Row]()
        for row, (branch, sample) in enumerate(clock.rows):
            recorder = self._recorders[sample]
            if recorder is not None and clock.expert is not None:
                found.append((row, recorder, branch, recorder.during(clock.expert, branch, clock.step)))
        return found

    def _rows(self, rows: int) -> list[_Row]:
        """Every row of a batch that is recorded."""
        self.clock.check_rows(rows)
        return self._running


def _number(timestep: Any) -> Any:
    return timestep if timestep is None else float(timestep)

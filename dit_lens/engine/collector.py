"""Take tensors at addresses, and keep what the captures ask for; where to is said by who inherits.

One collector serves one sample. It holds no tensor longer than one call: what a capture selects and reduces, on the
device, is put where it belongs. Every expected address is known beforehand; one that comes twice ends the run at once,
and whatever has not come by the end is named. Of an address that no capture asks for nothing is made.

Shapes: F latent frames, N tokens of a frame, C channels, H, W latent height and width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import reduce
from types import MappingProxyType

import torch

from dit_lens.address import Address
from dit_lens.captures import Resolved
from dit_lens.engine.arrays import encoding_of
from dit_lens.engine.errors import IncompleteTrace
from dit_lens.engine.expected import Call, Expected, Place, Sink, check_shape
from dit_lens.engine.layout import Layout
from dit_lens.engine.probabilities import AttentionCall, frames_attention, rows_attention, words_attention
from dit_lens.engine.reductions import Reducer
from dit_lens.selection import Term
from dit_lens_stores.errors import few

__all__ = ["CLOCK_SITE", "Collector"]

CLOCK_SITE = "scheduler.step"
"""Stands for a step itself: sigma, timestep and expert must be reported once for every step, captured or not."""
_NAMED_AT_MOST = 5
_NOTHING: Mapping[Place, Expected] = MappingProxyType({})
_PROBABILITIES = {"attn1.frames": frames_attention, "attn1.rows": rows_attention, "attn2.words": words_attention}


class Collector(ABC):
    """Collects what comes to the expected addresses of one sample.

    Parameters
    ----------
    captures : sequence of Resolved
    layout : Layout
    name : str
        Of what is collected, for errors.
    kept_steps : int
        The first steps that are kept already, so that they are only counted.
    """

    def __init__(self, captures: Sequence[Resolved], layout: Layout, name: str, kept_steps: int = 0) -> None:
        self._layout, self._name = layout, name
        self._sinks: list[Sink] = []
        self._expected: dict[Address, Expected] = {}
        self._calls: dict[Call, dict[Place, Expected]] = {}
        for resolved in captures:
            sink = Sink(resolved.capture.array, Reducer(resolved, layout), encoding_of(resolved.capture))
            self._sinks.append(sink)
            shape = layout.event_shape(resolved.capture.site)
            for address, event in resolved.events(layout):
                self._expect(address, shape, address.step < kept_steps).fills.append((sink, event))
        clock = (_clock_address(layout.experts[step], step) for step in layout.running)
        self._clock = {address: Expected(address) for address in clock}
        self._steps: dict[int, dict[str, float | str]] = {}

    def _expect(self, address: Address, shape: tuple[int, ...], kept: bool) -> Expected:
        expected = self._expected.setdefault(address, Expected(address, shape, kept))
        call = self._calls.setdefault((address.expert, address.branch, address.step), {})
        return call.setdefault((address.layer, address.site), expected)

    @abstractmethod
    def put(self, sink: Sink, event: dict[str, Term], reduced: torch.Tensor) -> None:
        """Keep what is left of an event."""

    @abstractmethod
    def note_latents(self, step: int, latents: torch.Tensor) -> None:
        """Take the latents that a step starts from; after the last step, those that it left."""

    @property
    def sites(self) -> frozenset[str]:
        """The sites that any capture asks for."""
        return frozenset(address.site for address in self._expected)

    def wants(self, address: Address) -> bool:
        """Whether any capture asks for an address."""
        return address in self._expected

    def during(self, expert: str, branch: str | None, step: int) -> Mapping[Place, Expected]:
        """What must come in one call of a denoiser, by layer and site."""
        return self._calls.get((expert, branch, step), _NOTHING)

    def record(self, address: Address, tensor: torch.Tensor) -> None:
        """Take what is at an address, if any capture asks for it.

        Raises
        ------
        UnexpectedVisit
            As ``take`` does.
        """
        expected = self._expected.get(address)
        if expected is not None:
            self.take(expected, tensor)

    def take(self, expected: Expected, tensor: torch.Tensor) -> None:
        """Take what came where it was expected: a layer's (F, N, C), or a latent's (C, F, H, W).

        Raises
        ------
        UnexpectedVisit
            If it came before, or has another shape than the plan.
        """
        if expected.seen or tensor.shape != expected.shape:
            expected.visit()
            check_shape(expected.address, tensor, expected.shape)
        expected.seen = True
        for sink, event in expected.fills:
            sink.dtypes.add(tensor.dtype)
            if not expected.kept:
                reducer = sink.reducer
                self.put(sink, event, reducer.reduce(reducer.select(tensor) if reducer.partial else tensor))

    def take_attention(self, expected: Expected, call: AttentionCall) -> None:
        """Take one attention of which probabilities are wanted; only the chosen rows of its map are ever computed.

        Raises
        ------
        UnexpectedVisit
            If it came before, or is over another number of tokens of the prompt than the plan.
        """
        expected.visit()
        site, tokens = expected.address.site, self._layout.tokens
        if site == "attn2.words":
            check_shape(expected.address, call.k_HMD[0, :, 0], (self._layout.text_tokens,), "text_tokens")
        for sink, event in expected.fills:
            sink.dtypes.add(call.q_HND.dtype)
            if not expected.kept:
                at = sink.reducer.positions
                values = _PROBABILITIES[site](call, tokens, at["frame"], at["token"], at["head"])
                self.put(sink, event, sink.reducer.reduce(values))

    def mark_step(self, step: int, expert: str, sigma: float, timestep: float) -> None:
        """Take what the scheduler reports of a step."""
        address = _clock_address(expert, step)
        self._clock.setdefault(address, Expected(address)).visit()
        self._steps[step] = {"sigma": sigma, "timestep": timestep, "expert": expert}

    @property
    def steps(self) -> dict[str, list[float | str]]:
        """Sigmas, timesteps and experts of the steps that ran, in order."""
        ran = [self._steps[step] for step in sorted(self._steps)]
        return {f"{name}s": [facts[name] for facts in ran] for name in ("sigma", "timestep", "expert")}

    @property
    def source_dtypes(self) -> dict[str, str]:
        """The dtype in which each array came; the widest, if it came in several (some schedulers change it)."""
        widest = {sink.array: reduce(torch.promote_types, sink.dtypes) for sink in self._sinks if sink.dtypes}
        return {array: str(dtype).removeprefix("torch.") for array, dtype in widest.items()}

    def missing(self) -> tuple[Address, ...]:
        """Every expected address that has not come, in the order of the run."""
        every = {**self._expected, **self._clock}
        return tuple(sorted(address for address, expected in every.items() if not expected.seen))

    def check(self) -> None:
        """Raise ``IncompleteTrace`` if anything is missing, and name it."""
        missing = self.missing()
        if not missing:
            return
        expected = len(self._expected) + len(self._layout.running)
        raise IncompleteTrace(
            f"trace '{self._name}' is not complete; got {expected - len(missing)} of {expected} addresses, "
            f"missing {few(missing, _NAMED_AT_MOST)}; a hook did not fire or a step did not run: trace an "
            f"unmodified pipeline",
            missing,
        )


def _clock_address(expert: str, step: int) -> Address:
    return Address(expert, None, step, None, CLOCK_SITE)

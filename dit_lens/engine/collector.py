"""Take tensors at addresses, and keep what the captures ask for; where to is said by who inherits.

One collector serves one sample. It holds no tensor longer than one call: what a capture selects and reduces, on the
device, is put where it belongs. Every expected address is known beforehand; one that comes twice ends the run at once,
and whatever has not come by the end is named. An address that no capture asks for costs one dictionary look-up.

Shapes: F latent frames, N tokens of a frame, C channels, H, W latent height and width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch

from dit_lens.address import Address
from dit_lens.captures import Resolved
from dit_lens.engine.arrays import encoding_of
from dit_lens.engine.errors import IncompleteTrace, UnexpectedVisit
from dit_lens.engine.layout import Layout
from dit_lens.engine.probabilities import AttentionCall, frames_attention, rows_attention, words_attention
from dit_lens.engine.reductions import Reducer
from dit_lens.selection import Term
from dit_lens_stores.errors import few

__all__ = ["CLOCK_SITE", "Collector", "Sink", "check_shape"]

CLOCK_SITE = "scheduler.step"
"""Stands for a step itself: sigma, timestep and expert must be reported once for every step, captured or not."""
_NAMED_AT_MOST = 5
_PROBABILITIES = {"attn1.frames": frames_attention, "attn1.rows": rows_attention, "attn2.words": words_attention}


@dataclass(frozen=True)
class Sink:
    """One array that is filled, and the dtypes in which it came."""

    array: str
    reducer: Reducer
    encoding: str
    dtypes: set[torch.dtype] = field(default_factory=set)


@dataclass
class _Expected:
    """What an address that must come fills, and whether it came; that of a step itself fills nothing."""

    fills: list[tuple[Sink, dict[str, Term]]] = field(default_factory=list)
    seen: bool = False


class Collector(ABC):
    """Collects what comes to the expected addresses of one sample.

    Parameters
    ----------
    captures : sequence of Resolved
    layout : Layout
    name : str
        Of what is collected, for errors.
    """

    def __init__(self, captures: Sequence[Resolved], layout: Layout, name: str) -> None:
        self._layout, self._name = layout, name
        self._sinks: list[Sink] = []
        self._expected: dict[Address, _Expected] = {}
        for resolved in captures:
            sink = Sink(resolved.capture.array, Reducer(resolved, layout), encoding_of(resolved.capture))
            self._sinks.append(sink)
            for address, event in resolved.events(layout):
                self._expected.setdefault(address, _Expected()).fills.append((sink, event))
        self._shapes = {site: layout.event_shape(site) for site in {address.site for address in self._expected}}
        self._clock = {_clock_address(layout.experts[step], step): _Expected() for step in layout.running}
        self._steps: dict[int, dict[str, float | str]] = {}

    @abstractmethod
    def put(self, sink: Sink, event: dict[str, Term], reduced: torch.Tensor) -> None:
        """Keep what is left of an event."""

    @abstractmethod
    def note_latents(self, step: int, latents: torch.Tensor) -> None:
        """Take the latents that a step starts from; after the last step, those that it left."""

    @property
    def sites(self) -> frozenset[str]:
        """The sites that any capture asks for."""
        return frozenset(self._shapes)

    def wants(self, address: Address) -> bool:
        """Whether any capture asks for an address."""
        return address in self._expected

    def record(self, address: Address, tensor: torch.Tensor) -> None:
        """Take what is at an address: a layer's (F, N, C), or a latent's (C, F, H, W).

        Raises
        ------
        UnexpectedVisit
            If it came before, or has another shape than the plan.
        """
        expected = self._expected.get(address)
        if expected is None:
            return
        fills = self._open(address, expected, tensor.dtype)
        check_shape(address, tensor, self._shapes[address.site])
        for sink, event in fills:
            self.put(sink, event, sink.reducer(tensor))

    def record_attention(self, address: Address, call: AttentionCall) -> None:
        """Take one attention of which probabilities are wanted; only the chosen rows of its map are ever computed.

        Raises
        ------
        UnexpectedVisit
            If it came before, or is over another number of tokens of the prompt than the plan.
        """
        fills = self._open(address, self._expected[address], call.q_HND.dtype)
        if address.site == "attn2.words":
            check_shape(address, call.k_HMD[0, :, 0], (self._layout.text_tokens,), "text_tokens")
        for sink, event in fills:
            at = sink.reducer.positions
            values = _PROBABILITIES[address.site](call, self._layout.tokens, at["frame"], at["token"], at["head"])
            self.put(sink, event, sink.reducer.reduce(values))

    def _open(
        self, address: Address, expected: _Expected, dtype: torch.dtype
    ) -> Sequence[tuple[Sink, dict[str, Term]]]:
        """Note a visit, and say what it fills now: nothing, if an earlier run did."""
        _visit(address, expected)
        for sink, _ in expected.fills:
            sink.dtypes.add(dtype)
        return () if address.step < self.kept_steps else expected.fills

    @property
    def kept_steps(self) -> int:
        """The first steps that are kept already, so that they are only counted."""
        return 0

    def mark_step(self, step: int, expert: str, sigma: float, timestep: float) -> None:
        """Take what the scheduler reports of a step."""
        address = _clock_address(expert, step)
        _visit(address, self._clock.setdefault(address, _Expected()))
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


def _visit(address: Address, expected: _Expected) -> None:
    if expected.seen:
        raise UnexpectedVisit(
            f"the run came to an address twice; got {address} again, allowed once; "
            "trace a pipeline that calls every layer once a branch and step",
            (address,),
        )
    expected.seen = True


def _clock_address(expert: str, step: int) -> Address:
    return Address(expert, None, step, None, CLOCK_SITE)


def check_shape(
    address: Address, tensor: torch.Tensor, planned: tuple[int, ...], wrong: str = "grid, width or latent shape"
) -> None:
    """Refuse a tensor of another shape: reshaped or selected from, it would be recorded under wrong labels.

    Raises
    ------
    UnexpectedVisit
        Naming both shapes.

    Examples
    --------
    >>> check_shape(Address("transformer", None, 0, None, "latent"), torch.zeros(2, 3), (2, 4))
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.UnexpectedVisit: ...transformer/step 0/latent; got (2, 3), allowed (2, 4); ...
    """
    if tensor.shape != planned:
        raise UnexpectedVisit(
            f"the run came with another shape than planned to {address}; got {tuple(tensor.shape)}, allowed {planned}; "
            f"correct the adapter's {wrong}",
            (address,),
        )

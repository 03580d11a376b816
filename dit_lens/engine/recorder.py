"""The recorder: takes tensors at addresses, keeps what the captures ask for, and writes it through as the run goes on.

It holds no tensor longer than one call. Every expected address is known beforehand; one that comes twice ends the run
at once, and whatever has not come by the end is named. An address that no capture asks for costs one dictionary
look-up.

Shapes: F latent frames, N tokens of a frame, C channels, H, W latent height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dit_lens.address import Address
from dit_lens.captures import SITES, Resolved
from dit_lens.engine.errors import IncompleteTrace, UnexpectedVisit
from dit_lens.engine.layout import Layout
from dit_lens.engine.reductions import REDUCERS, to_host
from dit_lens.selection import Term
from dit_lens_stores import TraceWriter

__all__ = ["CLOCK_SITE", "Recorder"]

CLOCK_SITE = "scheduler.step"
"""Stands for a step itself: sigma, timestep and expert must be reported once for every step, captured or not."""
_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class _Sink:
    """One array that one address fills."""

    resolved: Resolved
    event: dict[str, Term]

    def values(self, tensor: torch.Tensor) -> torch.Tensor:
        """The selected and reduced part of an event's tensor, still on its device."""
        capture = self.resolved.capture
        site = SITES[capture.site]
        for axis, dim in enumerate(site.value_dims):
            labels = self.resolved.labels.get(dim)  # a dimension that is reduced away has none, and is never selected
            if labels is not None and len(labels) != tensor.shape[axis]:
                tensor = tensor.index_select(axis, torch.tensor(labels, device=tensor.device))
        return REDUCERS[capture.reduction](tensor, site.value_dims.index(site.feature_dim))


class Recorder:
    """Writes what comes to the expected addresses.

    Parameters
    ----------
    writer : TraceWriter
    captures : sequence of Resolved
    layout : Layout
    """

    def __init__(self, writer: TraceWriter, captures: Sequence[Resolved], layout: Layout) -> None:
        self._writer = writer
        self._layout = layout
        self._sinks: dict[Address, list[_Sink]] = {}
        for resolved in captures:
            for address, event in resolved.events(layout):
                self._sinks.setdefault(address, []).append(_Sink(resolved, event))
        self._steps = {int(step) for resolved in captures for step in resolved.labels["step"]}
        self._seen: set[Address] = set()
        self.dtypes: dict[str, str] = {}

    @property
    def sites(self) -> frozenset[str]:
        """The sites that any capture asks for."""
        return frozenset(address.site for address in self._sinks)

    def wants(self, address: Address) -> bool:
        """Whether any capture asks for an address."""
        return address in self._sinks

    def record(self, address: Address, tensor: torch.Tensor) -> None:
        """Take what is at an address: a layer's (F, N, C), or a latent's (C, F, H, W).

        Raises
        ------
        UnexpectedVisit
            If it came before.
        """
        sinks = self._sinks.get(address)
        if sinks is None:
            return
        self._visit(address)
        self.dtypes[address.site] = str(tensor.dtype).removeprefix("torch.")
        for sink in sinks:
            self._writer.write(sink.resolved.capture.array, sink.event, to_host(sink.values(tensor)))

    def mark_step(self, step: int, expert: str, sigma: float, timestep: float) -> None:
        """Take what the scheduler reports of a step."""
        self._visit(Address(expert, None, step, None, CLOCK_SITE))
        if step in self._steps:
            for name, value in (("sigma", sigma), ("timestep", timestep), ("expert", expert)):
                self._writer.set_coordinate(name, step, value)

    def missing(self) -> tuple[Address, ...]:
        """Every expected address that has not come, in the order of the run."""
        clock = (Address(expert, None, step, None, CLOCK_SITE) for step, expert in enumerate(self._layout.experts))
        return tuple(sorted({*self._sinks, *clock} - self._seen))

    def check(self, trace_id: str) -> None:
        """Raise ``IncompleteTrace`` if anything is missing, and name it."""
        missing = self.missing()
        if not missing:
            return
        named = ", ".join(str(address) for address in missing[:_NAMED_AT_MOST])
        more = len(missing) - _NAMED_AT_MOST
        expected = len(self._sinks) + self._layout.steps
        raise IncompleteTrace(
            f"trace '{trace_id}' is not complete; got {expected - len(missing)} of {expected} addresses, missing "
            f"{named}"
            f"{f' and {more} more' if more > 0 else ''}; a hook did not fire or a step did not run: trace an "
            f"unmodified pipeline",
            missing,
        )

    def _visit(self, address: Address) -> None:
        if address in self._seen:
            raise UnexpectedVisit(
                f"the run came to an address twice; got {address} again, allowed once; "
                "trace a pipeline that calls every layer once a branch and step",
                (address,),
            )
        self._seen.add(address)

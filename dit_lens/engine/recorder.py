"""The recorder: takes tensors at addresses, keeps what the captures ask for, and writes it through as the run goes on.

It holds no tensor longer than one call. Every expected address is known beforehand; one that comes twice ends the run
at once, and whatever has not come by the end is named. An address that no capture asks for costs one dictionary
look-up.

Shapes: F latent frames, N tokens of a frame, C channels, H, W latent height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch

from dit_lens.address import Address
from dit_lens.captures import SITES, Resolved
from dit_lens.engine.errors import IncompleteTrace, UnexpectedVisit
from dit_lens.engine.layout import Layout
from dit_lens.engine.reductions import REDUCERS, to_host
from dit_lens.selection import Term
from dit_lens_stores import TraceWriter

__all__ = ["CLOCK_SITE", "Recorder", "check_shape"]

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
        self._shapes = {site: _shape(site, layout) for site in {address.site for address in self._sinks}}
        self._dtypes: dict[str, set[torch.dtype]] = {}

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
            If it came before, or has another shape than the plan.
        """
        sinks = self._sinks.get(address)
        if sinks is None:
            return
        self._visit(address)
        check_shape(address, tensor, self._shapes[address.site])
        for sink in sinks:
            array = sink.resolved.capture.array
            self._dtypes.setdefault(array, set()).add(tensor.dtype)
            self._writer.write(array, sink.event, to_host(sink.values(tensor)))

    def mark_step(self, step: int, expert: str, sigma: float, timestep: float) -> None:
        """Take what the scheduler reports of a step."""
        self._visit(Address(expert, None, step, None, CLOCK_SITE))
        if step in self._steps:
            for name, value in (("sigma", sigma), ("timestep", timestep), ("expert", expert)):
                self._writer.set_coordinate(name, step, value)

    @property
    def source_dtypes(self) -> dict[str, str]:
        """The dtype in which each array came; the widest, if it came in several (some schedulers change it)."""
        widest = {array: reduce(torch.promote_types, dtypes) for array, dtypes in self._dtypes.items()}
        return {array: str(dtype).removeprefix("torch.") for array, dtype in widest.items()}

    def note_dtypes(self) -> None:
        """Write into the store what is known of the dtypes."""
        for array, dtype in self.source_dtypes.items():
            self._writer.set_array_attribute(array, "source_dtype", dtype)

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


def check_shape(address: Address, tensor: torch.Tensor, planned: tuple[int, ...]) -> None:
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
    if tuple(tensor.shape) != planned:
        raise UnexpectedVisit(
            f"the run came with another shape than planned to {address}; got {tuple(tensor.shape)}, allowed {planned}; "
            f"correct the adapter's grid, width or latent shape",
            (address,),
        )


def _shape(site: str, layout: Layout) -> tuple[int, ...]:
    return tuple(len(layout.labels(dim, site)) for dim in SITES[site].value_dims)

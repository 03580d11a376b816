"""The keeper: leaves what a collector collects in memory, for runs whose outcome is read at once.

To begin a trace in a store, to write it and to read it back takes about as long as one step of a small model, so an
experiment of many short runs would spend half of its time on that. What is kept so has no manifest and is gone with the
process; what shall be shared or resumed belongs into a trace. The numbers are those of a trace, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from dit_lens.captures import Resolved
from dit_lens.engine.arrays import array_specs, coordinates
from dit_lens.engine.collector import Collector
from dit_lens.engine.disk import planned_bytes, refuse_over_budget
from dit_lens.engine.expected import Sink
from dit_lens.engine.layout import Layout
from dit_lens.selection import Term
from dit_lens_stores import ArraySpec

__all__ = ["LIMIT_BYTES", "Keeper", "check_memory"]

LIMIT_BYTES = 2**30
"""What the captures of one call may keep in memory."""


class Keeper(Collector):
    """Keeps in memory what comes to the expected addresses of one sample.

    Parameters
    ----------
    captures : sequence of Resolved
    layout : Layout
    """

    def __init__(self, captures: Sequence[Resolved], layout: Layout) -> None:
        super().__init__(captures, layout, "in memory")
        self._specs = {spec.name: spec for spec in array_specs(captures, layout, video=False)}
        self._values = {
            name: np.full([len(spec.labels[dim]) for dim in spec.dims], np.nan, np.float32)
            for name, spec in self._specs.items()
        }
        self._at = {
            name: {dim: {label: at for at, label in enumerate(spec.labels[dim])} for dim in spec.event_dims}
            for name, spec in self._specs.items()
        }

    def put(self, sink: Sink, event: dict[str, Term], reduced: torch.Tensor) -> None:
        """Copy it to where its labels say."""
        at, spec = self._at[sink.array], self._specs[sink.array]
        index = tuple(at[dim][event[dim]] if dim in at else slice(None) for dim in spec.dims)
        values = reduced.view(torch.bfloat16) if reduced.dtype == torch.uint16 else reduced
        self._values[sink.array][index] = values.to("cpu", torch.float32).numpy()

    def note_latents(self, step: int, latents: torch.Tensor) -> None:
        """Nothing resumes a run that is kept in memory."""

    @property
    def arrays(self) -> dict[str, xr.DataArray]:
        """What was kept, by the names and with the labels that a trace gives it."""
        return {name: self._labelled(spec) for name, spec in self._specs.items()}

    def _labelled(self, spec: ArraySpec) -> xr.DataArray:
        coords: dict[str, Any] = {dim: list(spec.labels[dim]) for dim in spec.dims}
        for one in coordinates(self._layout, [spec]):
            known = self._reported(one.name) if one.dim == "step" else one.values
            coords[one.name] = one.dim, [known[label] for label in spec.labels[one.dim]]  # type: ignore[index]
        return xr.DataArray(self._values[spec.name], dims=spec.dims, coords=coords, name=spec.name)

    def _reported(self, name: str) -> dict[int, float | str]:
        return {step: facts[name] for step, facts in self._steps.items()}


def check_memory(captures: Sequence[Resolved], layout: Layout, rows: int) -> None:
    """Refuse captures of which memory would hold more than it may.

    Raises
    ------
    OverBudget
    """
    refuse_over_budget(planned_bytes(array_specs(captures, layout, video=False)) * rows, LIMIT_BYTES)

"""The recorder: lets what a collector collects flow to the writer of a trace.

In a run that resumes a trace, what is in place already is only counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from dit_lens.captures import Resolved
from dit_lens.engine.arrays import planned_steps
from dit_lens.engine.collector import Collector
from dit_lens.engine.expected import Sink
from dit_lens.engine.flow import Flow
from dit_lens.engine.layout import Layout
from dit_lens.manifest import plain
from dit_lens.selection import Term
from dit_lens_stores import TraceWriter

__all__ = ["Recorder", "hash_latents"]


class Recorder(Collector):
    """Records what comes to the expected addresses of one sample.

    Parameters
    ----------
    writer : TraceWriter
    captures : sequence of Resolved
    layout : Layout
    flow : Flow
        Carries what is recorded to the writer.
    """

    def __init__(self, writer: TraceWriter, captures: Sequence[Resolved], layout: Layout, flow: Flow) -> None:
        super().__init__(captures, layout, writer.trace_id, writer.kept_steps)
        self._writer, self._flow = writer, flow
        self._captured_steps = {int(step) for resolved in captures for step in resolved.labels["step"]}
        self._planned = planned_steps(layout)

    def put(self, sink: Sink, event: dict[str, Term], reduced: torch.Tensor) -> None:
        """Let it flow to the writer."""
        self._flow.put(self._writer, sink.array, event, reduced, sink.encoding, owned=sink.reducer.makes_anew)

    def note_latents(self, step: int, latents: torch.Tensor) -> None:
        """Take the latents that a step starts from; after the last step, those that it left.

        They are hashed on the flow's thread. If the run resumes another one that had others there, the flow ends with
        ``OtherRun``.
        """
        self._flow.hand_over(latents, partial(self._note, step))

    def _note(self, step: int, latents: torch.Tensor) -> None:
        self._writer.note_latents(step, hash_latents(latents))

    def mark_step(self, step: int, expert: str, sigma: float, timestep: float) -> None:
        """Take what the scheduler reports of a step; what the plan said is in the store already."""
        super().mark_step(step, expert, sigma, timestep)
        if step in self._captured_steps:
            for name, value in self._steps[step].items():
                if self._planned[name].get(step) != value:
                    self._flow.call(partial(self._writer.set_coordinate, name, step, value))

    def finish(self, facts: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Write into the store what is known only now, and call the trace complete.

        Parameters
        ----------
        facts : mapping
            Further entries of the manifest.
        """
        for array, dtype in self.source_dtypes.items():
            self._writer.set_array_attribute(array, "source_dtype", dtype)
        whole = len(self._layout.running) == self._layout.steps  # the plan tells of the steps that did not run as well
        self._writer.update_manifest(
            {"source_dtypes": self.source_dtypes, **(plain(self.steps) if whole else {}), **facts}
        )
        self._writer.finish()


def hash_latents(latents: torch.Tensor) -> str:
    """The sha256 of a tensor: of its dtype, shape and bytes.

    Parameters
    ----------
    latents : torch.Tensor
        On the host.

    Returns
    -------
    str

    Examples
    --------
    >>> hash_latents(torch.zeros(2)) == hash_latents(torch.zeros(2, 1))
    False
    """
    facts = f"{str(latents.dtype).removeprefix('torch.')} {list(latents.shape)}\n".encode()
    digest = hashlib.sha256(facts)
    digest.update(latents.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

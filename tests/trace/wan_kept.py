"""A trace that is kept in memory: every write with its event, so that one that comes twice cannot hide in an array."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dit_lens.engine.batch import Batch
from dit_lens.engine.layout import Layout
from dit_lens.engine.run import run_traced
from dit_lens.generation import Generation
from dit_lens.lens import Lens
from dit_lens.sites import SITES
from dit_lens_stores.encodings import widened


@dataclass
class Kept:
    """Stands for a writer of the store."""

    trace_id: str = "kept"
    status: str = "running"
    arrays: tuple[str, ...] = ()
    writes: dict[tuple[str, Any, Any, Any], Any] = field(default_factory=dict)
    coordinates: dict[tuple[str, int], Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    latents: dict[int, str] = field(default_factory=dict)
    kept_steps: int = 0

    def note_latents(self, step: int, sha256: str) -> None:
        assert step == len(self.latents)
        self.latents[step] = sha256

    def holds(self, array: str, event: dict[str, Any]) -> bool:
        return False

    def write(self, array: str, event: dict[str, Any], values: Any, **_: Any) -> None:
        assert set(event) <= {"branch", "step", "layer"}
        at = (array, event.get("branch"), event.get("step"), event.get("layer"))
        assert at not in self.writes, f"{at} was written twice"
        self.writes[at] = widened(np.asarray(values), "float32").copy()

    def set_coordinate(self, name: str, step: int, value: Any) -> None:
        assert (name, step) not in self.coordinates
        self.coordinates[name, step] = value

    def set_array_attribute(self, *_: Any) -> None:
        """Of the store alone."""

    def drain(self, *_: Any) -> None:
        """Nothing is held back."""

    def update_manifest(self, entries: dict[str, Any]) -> None:
        self.manifest |= entries

    def finish(self) -> None:
        self.status = "complete"

    def fail(self, reason: str) -> None:
        self.status = f"failed: {reason}"

    def of(self, array: str) -> dict[tuple[Any, Any, Any], Any]:
        """What was written to one array, by branch, step and layer."""
        return {at[1:]: values for at, values in self.writes.items() if at[0] == array}


def trace(lens: Lens, request: Generation, captures: list[str] | None = None) -> tuple[Kept, Layout, torch.Tensor]:
    """Trace into memory: what was written, the layout, and the final latents. Without captures every site, raw."""
    kept, layout, latents = trace_rows(lens, [request], captures)
    return kept[0], layout, latents[0]


def trace_rows(
    lens: Lens, requests: list[Generation], captures: list[str] | None = None
) -> tuple[list[Kept], Layout, tuple[torch.Tensor, ...]]:
    """Trace a batch into memory."""
    if captures is None:
        layout = lens.plan(requests[0], ["latent"])[1]
        captures = [site for site in SITES if layout.has(site)]
    size, layout, resolved = lens.plan(requests[0], captures, batch=len(requests))
    kept = [Kept() for _ in requests]
    batch = Batch(tuple(requests), size)
    out = run_traced(lens.pipeline, lens.family, batch, layout, resolved, kept)  # type: ignore[arg-type]
    assert all(one.status == "complete" for one in kept)
    return kept, layout, out.latents

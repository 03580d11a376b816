"""What a trace would cost, before it runs: bytes, files, events, memory, arithmetic, and how much slower it is.

Bytes, files and events follow from the layout of the run and are exact (bytes before compression). Memory is an upper
bound on what the trace itself keeps on the host. How much slower the model runs is an estimate from a few measured
rates: the model computes at the rate of a plain transformer layer; a capture reads what it is given and writes what it
keeps at the rate of a copy, computes at the model's rate, and costs what a small event costs; writing goes on in
threads of its own, and only counts where it takes longer than the model or takes its cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Unpack

import numpy as np
import torch

from dit_lens.captures import SITES, Resolved
from dit_lens.engine.arrays import array_specs, coordinates
from dit_lens.engine.disk import format_size, planned_bytes
from dit_lens.engine.flops import capture_flops, generation_flops
from dit_lens.engine.flow import LIMIT_BYTES
from dit_lens_stores import ArraySpec
from dit_lens_stores.encoders import QUEUE_BYTES
from dit_lens_stores.latents import latent_coordinate
from dit_lens_stores.prepare import Plan, make_plan
from dit_lens_stores.summary import extents

if TYPE_CHECKING:
    from dit_lens.captures import Capture
    from dit_lens.engine.calibration import Rates
    from dit_lens.engine.course import Departures
    from dit_lens.engine.layout import Layout
    from dit_lens.generation import Generation
    from dit_lens.lens import Lens

__all__ = ["ASSUMPTIONS", "ArrayPlan", "Estimate", "Memory", "SlowDown", "estimate"]

ASSUMPTIONS = (
    "the model computes at the rate of a plain transformer layer of its width (at most 1024), measured now",
    "a capture reads what it is given and writes what it keeps once, at the rate of a copy on the device",
    "an event holds the model up for as long as a small one takes to be handed over and written",
    "writing the rest overlaps with the model; on the CPU it takes its share of the cores",
    "text encoders and the autoencoder are not counted",
)


@dataclass(frozen=True)
class ArrayPlan:
    """One array of a trace.

    Attributes
    ----------
    name : str
    dims : mapping of str to int
    dtype : str
        On disk.
    events, files, bytes : int
        Bytes before compression.
    """

    name: str
    dims: dict[str, int]
    dtype: str
    events: int
    files: int
    bytes: int


@dataclass(frozen=True)
class Memory:
    """The most that a trace keeps on the host; the model and what it computes with are not in it.

    Attributes
    ----------
    queue : int
        Events between the model and the writer.
    shards : int
        Events of shards that are not whole yet.
    encoders : int
        Shards that wait to be compressed, or are.
    event : int
        The event that is being widened.
    """

    queue: int
    shards: int
    encoders: int
    event: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.queue + self.shards + self.encoders + self.event


@dataclass(frozen=True)
class SlowDown:
    """Seconds of one run, estimated, and how many times as long it takes as a plain run.

    Attributes
    ----------
    model, capture, write : float
        Seconds of the model alone, of the captures on its device, and of the writer beside it.
    factor : float
    """

    model: float
    capture: float
    write: float
    factor: float


@dataclass(frozen=True)
class Estimate:
    """What one run would cost; of a batch, all of its rows.

    Attributes
    ----------
    arrays : tuple of ArrayPlan
    bytes, files, events : int
        Bytes of values before compression; files with those of labels, marks and metadata.
    flops : int
        Of the denoisers' matrices and attention.
    memory : Memory
    slow_down : SlowDown or None
        None without rates.
    """

    arrays: tuple[ArrayPlan, ...]
    bytes: int
    files: int
    events: int
    flops: int
    memory: Memory
    slow_down: SlowDown | None

    def __repr__(self) -> str:
        head = f"{format_size(self.bytes)}, {self.files:,} files, {self.events:,} events, {self.flops:.3g} flops"
        lines = [f"  {a.name:24} ({extents(a.dims)}) {a.dtype} {format_size(a.bytes)}" for a in self.arrays]
        return "\n".join([f"<dit-lens plan: {head}>", *lines])

    def _repr_html_(self) -> str:
        from dit_lens.notebook.runs import estimate_html

        return estimate_html(self)


def estimate(
    lens: Lens,
    request: Generation,
    captures: Iterable[Capture | str],
    *,
    batch: int = 1,
    rates: Rates | None = None,
    decode: bool | None = None,
    **course: Unpack[Departures],
) -> Estimate:
    """Estimate a trace without running it; the weights need not be loaded.

    Parameters
    ----------
    lens : Lens
        Such as ``dit_lens.load(model, weights=False)``.
    request : Generation
    captures : iterable of Capture or str
    batch : int
        Requests of this kind in one call of the pipeline.
    rates : Rates, optional
        Measured by ``dit_lens.engine.calibration.calibrate``.
    decode : bool, optional
        Whether the decoded video is stored; by default if the family can.
    **course
        ``edits``, ``start`` and the like, see ``Lens.generate``.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> lens = dit_lens.load("Wan-AI/Wan2.2-T2V-A14B-Diffusers", weights=False)  # doctest: +SKIP
    >>> estimate(lens, request, ["block.out"]).bytes  # doctest: +SKIP
    1073479680000
    """
    _, layout, resolved = lens.plan(request, captures, batch=batch, **course)
    specs = array_specs(resolved, layout, lens.family.decode is not None if decode is None else decode)
    plan = make_plan(specs, [*coordinates(layout, specs), latent_coordinate()])
    arrays = tuple(_array(spec, plan, batch) for spec in specs)
    flops = generation_flops(lens.pipeline, lens.family, layout)
    return Estimate(
        arrays=arrays,
        bytes=sum(array.bytes for array in arrays),
        files=sum(array.files for array in arrays) + batch * _further_files(plan),
        events=sum(array.events for array in arrays),
        flops=flops,
        memory=_memory(specs, plan, layout, lens.family.guidance == "batched"),
        slow_down=None if rates is None else _slow_down(resolved, layout, specs, flops, rates),
    )


def _array(spec: ArraySpec, plan: Plan, batch: int) -> ArrayPlan:
    return ArrayPlan(
        name=spec.name,
        dims={dim: len(spec.labels[dim]) for dim in spec.dims},
        dtype=spec.stored_dtype,
        events=batch * prod(len(spec.labels[dim]) for dim in spec.event_dims),
        files=batch * (_shards(spec, plan) + 3),  # and its own metadata, its marks and theirs
        bytes=batch * planned_bytes([spec]),
    )


def _shards(spec: ArraySpec, plan: Plan) -> int:
    """Shards in which an array has events; one holds every value of an event."""
    sizes = zip(spec.event_dims, plan.layouts[spec.name].shard, strict=False)
    return prod(len({plan.labels[dim].index(label) // size for label in spec.labels[dim]}) for dim, size in sizes)


def _further_files(plan: Plan) -> int:
    """Labels and coordinates with their metadata, and that of the trace."""
    return 2 * (len(plan.labels) + len(plan.coordinates)) + 1


def _memory(specs: Sequence[ArraySpec], plan: Plan, layout: Layout, batched: bool) -> Memory:
    """Every writer of a batch has shards and a queue of its own."""
    total = planned_bytes(specs)
    largest = max(_event_bytes(spec) for spec in specs)
    shards = {spec.name: _event_bytes(spec) * _events_in_a_shard(spec, plan) for spec in specs}
    branches = {spec.name: len(spec.labels["branch"]) if batched and "branch" in spec.labels else 1 for spec in specs}
    return Memory(
        queue=max(largest, min(LIMIT_BYTES, layout.batch * total)),
        shards=layout.batch * sum(shards[name] * branches[name] for name in shards),
        encoders=layout.batch * min(total, max(QUEUE_BYTES, max(shards.values())) + max(shards.values())),
        event=largest,
    )


def _events_in_a_shard(spec: ArraySpec, plan: Plan) -> int:
    held = plan.layouts[spec.name].shard[: len(spec.event_dims)]
    sizes = (min(size, len(spec.labels[dim])) for dim, size in zip(spec.event_dims, held, strict=True))
    return prod(sizes)


def _event_bytes(spec: ArraySpec) -> int:
    return int(np.dtype(spec.stored_dtype).itemsize * prod(spec.event_shape))


def _slow_down(
    resolved: Sequence[Resolved], layout: Layout, specs: Sequence[ArraySpec], flops: int, rates: Rates
) -> SlowDown:
    model = flops / rates.flops
    capture = layout.batch * sum(_capture_seconds(one, layout, rates) for one in resolved)
    values = layout.batch * planned_bytes([spec for spec in specs if spec.name != "video"])  # written after the run
    events = layout.batch * sum(_events(one) for one in resolved)
    write = values / rates.writing + events * rates.written_event
    return SlowDown(model, capture, write, max(1 + (capture + write * _shared(rates.device)) / model, write / model))


def _shared(device: str) -> float:
    """The part of the writer's time that is taken from the model, which has all cores or leaves one to the writer."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    alone = torch.device(device).type != "cpu" or torch.get_num_threads() < cores
    return 0.0 if alone else 1 / cores


def _capture_seconds(resolved: Resolved, layout: Layout, rates: Rates) -> float:
    touched = _read_bytes(resolved, layout) + 2 * resolved.event_bytes  # kept, and copied to the host
    each = touched / rates.bandwidth + capture_flops(resolved, layout) / rates.flops + rates.event
    return _events(resolved) * (each + rates.written_event)  # the writer holds Python's lock meanwhile


def _read_bytes(resolved: Resolved, layout: Layout) -> int:
    """Of attention, queries and keys, and scores that are written and read in float32; otherwise the chosen values."""
    site, chosen = SITES[resolved.capture.site], resolved.chosen
    item = torch.finfo(getattr(torch, layout.dtype)).bits // 8
    if not site.probabilities:
        return item * prod(len(labels) for labels in chosen.values())
    tokens = prod(len(chosen[dim]) for dim in ("frame", "token") if dim in chosen)
    keys = layout.text_tokens if "text_token" in site.value_dims else prod(layout.tokens)
    return item * (tokens + keys) * layout.heads * layout.head_channels + 2 * 4 * tokens * keys * layout.heads


def _events(resolved: Resolved) -> int:
    return prod(len(resolved.labels[dim]) for dim in resolved.event_dims)

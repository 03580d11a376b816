"""Measure, in a second or two, what this machine does at a time: compute, copy, take an event, and write.

Computing is measured on a plain transformer layer of the model's width and dtype, with as many tokens as there is time
for, because narrow layers reach only a part of what the machine's largest matrices do. The store is written by its
real writer, into a temporary folder that is gone afterwards.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange

from dit_lens.engine.disk import free_bytes
from dit_lens.engine.flow import Flow
from dit_lens_stores import ArraySpec, TraceWriter, create_store

__all__ = ["WRITTEN_BYTES", "Rates", "calibrate"]

_WIDEST, _MOST_TOKENS = 1024, 4096
_COPIED = 16 * 2**20
_SECONDS = 0.3
_LARGE, _LARGE_SHAPE = (4, 8), (512, 1024)
_SMALL, _SMALL_SHAPE = (16, 16), (16, 16)
WRITTEN_BYTES = 4 * prod(_LARGE) * prod(_LARGE_SHAPE)
"""Written to measure the writer."""


@dataclass(frozen=True)
class Rates:
    """What a machine does at a time.

    Attributes
    ----------
    flops : float
        Multiplications and additions of a second, in a transformer layer of the model's width and dtype.
    bandwidth : float
        Bytes of a second that a copy on the device reads and writes.
    event : float
        Seconds for which one small event holds the model up.
    writing : float
        Bytes of a second that the store's writer encodes and writes.
    written_event : float
        Seconds in which the writer writes one small event.
    device, dtype : str
        Where and in what the layer was computed.
    """

    flops: float
    bandwidth: float
    event: float
    writing: float
    written_event: float
    device: str
    dtype: str


def calibrate(
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    *,
    width: int = 1024,
    tokens: int = 1024,
    beside: Path | None = None,
) -> Rates:
    """Measure.

    Parameters
    ----------
    device : str or torch.device
    dtype : str
    width, tokens : int
        Of the model's residual stream.
    beside : pathlib.Path, optional
        Where a store will be: its disk is measured. By default that of temporary files.

    Returns
    -------
    Rates

    Examples
    --------
    >>> rates = calibrate(width=64)  # doctest: +SKIP
    >>> f"{rates.writing / 1e6:.0f} MB/s"  # doctest: +SKIP
    '412 MB/s'
    """
    where, kind = torch.device(device), getattr(torch, dtype)
    heads = max(1, min(width, _WIDEST) // 64)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        flops = _compute(where, kind, 64 * heads, tokens)
        bandwidth = _copy(where)
    with tempfile.TemporaryDirectory(dir=_folder(beside), prefix=".dit-lens-plan-") as folder:
        event, writing, written_event = _write(Path(folder), where, dtype)
    return Rates(flops, bandwidth, event, writing, written_event, str(where), dtype)


def _compute(device: torch.device, dtype: torch.dtype, width: int, tokens: int) -> float:
    layer = _Layer(width).to(device, dtype).eval()
    few = _best(lambda: layer(torch.ones(1, 64, width, device=device, dtype=dtype)), device, seconds=0)
    count = max(64, min(tokens, _MOST_TOKENS, int(64 * _SECONDS / few)))  # a slow machine computes fewer
    values = torch.ones(1, count, width, device=device, dtype=dtype)
    return layer.flops(count) / _best(lambda: layer(values), device)


class _Layer(torch.nn.Module):
    """A plain transformer layer: what all families have in common."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.heads = width, max(1, width // 64)
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def flops(self, tokens: int) -> int:
        return 2 * tokens * 12 * self.width**2 + 4 * tokens**2 * self.width

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        heads = rearrange(self.qkv(self.norms[0](stream) * 2 + 1), "b n (s h c) -> s b h n c", s=3, h=self.heads)
        attended = torch.nn.functional.scaled_dot_product_attention(*heads)
        stream = stream + self.out(rearrange(attended, "b h n c -> b n (h c)")) * 2
        inner = torch.nn.functional.gelu(self.up(self.norms[1](stream) * 2 + 1), approximate="tanh")
        stepped: torch.Tensor = stream + self.down(inner) * 2
        return stepped


def _copy(device: torch.device) -> float:
    values = torch.ones(_COPIED // 4, device=device)
    target = torch.empty_like(values)
    return 2 * _COPIED / _best(lambda: target.copy_(values), device)


def _best(do: Callable[[], object], device: torch.device, seconds: float = _SECONDS) -> float:
    """The shortest of several runs; the first warms up."""
    _timed(do, device)
    took = [_timed(do, device)]
    while sum(took) < seconds and len(took) < 100:
        took.append(_timed(do, device))
    return max(min(took), 1e-9)


def _timed(do: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    do()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - start


def _folder(beside: Path | None) -> Path | None:
    """The nearest folder that is there, if its disk has room for the measurement."""
    there = next((path for path in (Path(beside).absolute().parents if beside else ()) if path.is_dir()), None)
    return there if there is not None and free_bytes(there) > 4 * WRITTEN_BYTES else None


def _write(folder: Path, device: torch.device, dtype: str) -> tuple[float, float, float]:
    """Seconds of the model for a small event, bytes a second of the writer, and its seconds for a small event."""
    store, values = create_store(folder / "rates.zarr"), _values(_LARGE_SHAPE, dtype)
    steps, layers = _LARGE
    start = time.perf_counter()
    writer = store.begin("large", [_spec(_LARGE, _LARGE_SHAPE)], [], {})
    for event in range(steps * layers):
        writer.write("x", {"step": event // layers, "layer": event % layers}, values)
    writer.finish()
    writing = steps * layers * values.nbytes / (time.perf_counter() - start)
    held, written = _take_small(store.begin("small", [_spec(_SMALL, _SMALL_SHAPE)], [], {}), device)
    return held, writing, written


def _take_small(writer: TraceWriter, device: torch.device) -> tuple[float, float]:
    """Seconds that a small event holds up who gives it, and until it is written."""
    values = torch.ones(_SMALL_SHAPE, device=device)
    steps, layers = _SMALL
    start = time.perf_counter()
    with Flow() as flow:
        for event in range(steps * layers):
            taken = torch.linalg.vector_norm(values) * values
            flow.put(writer, "x", {"step": event // layers, "layer": event % layers}, taken)
        held = time.perf_counter() - start
        flow.drain()
    writer.finish()
    return held / (steps * layers), (time.perf_counter() - start) / (steps * layers)


def _spec(events: tuple[int, int], shape: tuple[int, int]) -> ArraySpec:
    dims = ("step", "layer", "token", "channel")
    labels = {dim: tuple(range(size)) for dim, size in zip(dims, (*events, *shape), strict=True)}
    return ArraySpec("x", dims, labels, dims[:2])


def _values(shape: tuple[int, int], dtype: str) -> npt.NDArray[Any]:
    """Noise as the model's dtype holds it: what compresses least."""
    drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    rounded: npt.NDArray[Any] = torch.from_numpy(drawn).to(getattr(torch, dtype)).float().numpy()
    return rounded

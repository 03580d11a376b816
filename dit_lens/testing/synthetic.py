"""A small store of made-up traces, written through the real writer, so that a probe can be tried without a model.

Values are drawn anew for every address from a generator seeded with that address, so they do not depend on what else is
captured: the energies of one store are exactly the norms of the raw values of another. Residual streams grow with depth
and hold a few loud tokens, as real ones do.

Shapes: F latent frames, H, W pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.captures import SITES, Capture, read_captures
from dit_lens.engine.arrays import array_specs, coordinates, encoding_of
from dit_lens.engine.flow import stored_values
from dit_lens.engine.layout import Layout
from dit_lens.engine.reductions import Reducer
from dit_lens_stores import create_store

if TYPE_CHECKING:
    from dit_lens.captures import Resolved
    from dit_lens_stores import Store, TraceWriter

__all__ = ["SMALL", "synthetic_store"]

SMALL = Layout(
    branches=("cond", "uncond"),
    experts=("transformer", "transformer", "transformer_2", "transformer_2"),
    timesteps=(999.0, 930.0, 790.0, 430.0),
    sigmas=(1.0, 0.93, 0.79, 0.43),
    layers=3,
    tokens=(3, 4, 5),
    channels=6,
    latent=(4, 3, 8, 10),
    video=(9, 32, 40),
    dtype="bfloat16",
)
"""Two branches, four steps, two experts, three layers, three latent frames of 4 x 5 tokens."""


def synthetic_store(
    path: str | Path,
    captures: Sequence[Capture | str] = ("block.out:energy",),
    traces: Sequence[str] = ("a", "b"),
    layout: Layout = SMALL,
    video: bool = True,
) -> Store:
    """Write a store of complete traces.

    Parameters
    ----------
    path : str or Path
        A new path, or a store to add to.
    captures : sequence of Capture or str
    traces : sequence of str
        Trace ids; each seeds its own values.
    layout : Layout
        The axes of the run.
    video : bool
        Whether the traces hold a decoded video.

    Returns
    -------
    Store

    Examples
    --------
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr", ["block.out:energy", "latent:raw"])
    >>> dict(store["a"]["block.out.energy"].sizes)
    {'branch': 2, 'step': 4, 'layer': 3, 'frame': 3, 'token': 20}
    """
    store = create_store(path)
    resolved = [capture.resolve(layout) for capture in read_captures(captures)]
    for trace_id in traces:
        _write_trace(store, trace_id, resolved, layout, video)
    return store


def _write_trace(store: Store, trace_id: str, resolved: Sequence[Resolved], layout: Layout, video: bool) -> None:
    specs = array_specs(resolved, layout, video)
    known = coordinates(layout, specs)
    writer = store.begin(trace_id, specs, known, _manifest(trace_id, layout))
    _set_steps(writer, resolved, layout)
    for one in resolved:
        reducer = Reducer(one, layout)
        writer.set_array_attribute(one.capture.array, "source_dtype", layout.dtype)
        for address, event in one.events(layout):
            values = torch.from_numpy(_values(trace_id, str(address), one, layout))
            writer.write(one.capture.array, event, stored_values(reducer.reduce(values), encoding_of(one.capture)))
    if video:
        rng = np.random.default_rng(zlib.crc32(f"{trace_id}/video".encode()))
        writer.write("video", {}, rng.integers(0, 256, size=(*layout.video, 3), dtype=np.uint8))
    writer.finish()


def _set_steps(writer: TraceWriter, resolved: Sequence[Resolved], layout: Layout) -> None:
    for step in sorted({int(step) for one in resolved for step in one.labels["step"]}):
        facts = {"sigma": (layout.sigmas or ())[step], "timestep": (layout.timesteps or ())[step]}
        for name, value in {**facts, "expert": layout.experts[step]}.items():
            writer.set_coordinate(name, step, value)


def _manifest(trace_id: str, layout: Layout) -> dict[str, Any]:
    seed = zlib.crc32(trace_id.encode())
    run = {"steps": layout.steps, "sigmas": list(layout.sigmas or ()), "tokens": list(layout.tokens)}
    return {"model": "synthetic", "prompt": trace_id, "seed": seed, **run}


def _values(trace_id: str, address: str, resolved: Resolved, layout: Layout) -> npt.NDArray[np.float32]:
    """One event: drawn whole, then selected, so that no capture changes what another one sees."""
    capture = resolved.capture
    site = SITES[capture.site]
    rng = np.random.default_rng(zlib.crc32(f"{trace_id}/{address}".encode()))
    whole = {dim: layout.labels(dim, capture.site) for dim in site.value_dims}
    sizes = [len(labels) for labels in whole.values()]
    values = _as_bfloat16(rng.standard_normal(sizes) * np.exp(rng.standard_normal([*sizes[:-1], 1])))
    for axis, (dim, labels) in enumerate(whole.items()):
        values = values.take([labels.index(label) for label in resolved.chosen[dim]], axis=axis)
    return values


def _as_bfloat16(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Float32 values that bfloat16 can hold: the lower half of their bits is zero."""
    return (values.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

"""How an array is cut into chunks and shards, and how its bytes are coded.

An inner chunk is what one read fetches: one event, and inside it one frame, a run of whole token rows and all
channels. Where events are small (an energy, a mean) a chunk holds several layers, so that it is not tiny. A shard is
one file: the events of the last event dimension (the layers of one step) together, up to 64 MB, written once and
whole. Steps are never grouped, so a shard does not wait for a later step, and the memory that a writer needs does not
grow with the number of steps.

bfloat16 values are stored as float32 with 16 zero bits: bit planes of zeros vanish under blosc's bit shuffle, so the
files are as small as packed bfloat16 and open everywhere. A crc32c after the compressor turns a flipped bit into an
error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec

from dit_lens_stores.schema import ArraySpec

__all__ = ["CHUNK_BYTES", "SHARD_BYTES", "STREAM_BYTES", "Layout", "array_options", "blosc_options", "plan_layout"]

SHARD_BYTES = 64 * 2**20
CHUNK_BYTES = 4 * 2**20
STREAM_BYTES = 2**15
"""What blosc, which calls it the block size, takes of a chunk for each byte of a value, and codes at a time."""
_FRAME_DIMS = ("frame", "video_frame")


@dataclass(frozen=True)
class Layout:
    """Shapes of an array, its inner chunk and its shard.

    Attributes
    ----------
    shape, chunk, shard : tuple of int

    Examples
    --------
    >>> Layout((4, 10, 8), (1, 1, 8), (1, 10, 8)).counts
    (1, 10, 1)
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many inner chunks a shard has along each dimension."""
        return tuple(shard // chunk for shard, chunk in zip(self.shard, self.chunk, strict=True))


def plan_layout(
    spec: ArraySpec,
    sizes: dict[str, int],
    row: int = 1,
    shard_bytes: int | None = None,
    chunk_bytes: int | None = None,
) -> Layout:
    """Choose inner chunk and shard of one array.

    Parameters
    ----------
    spec : ArraySpec
    sizes : dict of str to int
        How many labels each dimension of the group has (the union).
    row : int
        Tokens in a row, so that a run of tokens ends with a row.
    shard_bytes : int, optional
        Largest shard, unless a single event is larger.
    chunk_bytes : int, optional
        Largest chunk, unless a single row is larger.

    Returns
    -------
    Layout

    Examples
    --------
    >>> dims = ("step", "layer", "frame", "token", "channel")
    >>> labels = {dim: (0,) for dim in dims}
    >>> sizes = {"step": 20, "layer": 10, "frame": 5, "token": 64, "channel": 128}
    >>> layout = plan_layout(ArraySpec("block.out.raw", dims, labels, ("step", "layer")), sizes, row=8)
    >>> layout.chunk, layout.shard
    ((1, 1, 1, 64, 128), (1, 10, 5, 64, 128))
    >>> layout = plan_layout(ArraySpec("block.out.energy", dims[:4], dict.fromkeys(dims[:4], (0,)), dims[:2]), sizes)
    >>> layout.chunk, layout.shard
    ((1, 10, 5, 64), (1, 10, 5, 64))
    """
    events, shape = len(spec.event_dims), tuple(sizes[dim] for dim in spec.dims)
    item = np.dtype(spec.stored_dtype).itemsize
    largest, shard_bytes = chunk_bytes or CHUNK_BYTES, shard_bytes or SHARD_BYTES
    value_chunk = _value_chunk(spec, sizes, row, item, largest)
    chunk, shard = [1] * events + list(value_chunk), [1] * events + list(shape[events:])
    if events and spec.event_dims[-1] != "step":  # grouping steps would hold a step back until others have run
        event_bytes = math.prod(shape[events:]) * item
        grouped = min(shape[events - 1], max(1, shard_bytes // event_bytes))
        if value_chunk == shape[events:]:
            chunk[events - 1] = _events_in_a_chunk(grouped, event_bytes, largest)
        shard[events - 1] = grouped - grouped % -chunk[events - 1]  # whole chunks, if need be past the end
    return Layout(shape, tuple(chunk), tuple(shard))


def blosc_options(spec: ArraySpec) -> dict[str, Any] | None:
    """How blosc is set for an array: name, level, shuffle and sizes; None if its bytes stay as they are.

    Examples
    --------
    >>> blosc_options(ArraySpec("x", (), {}))
    {'cname': 'lz4', 'clevel': 1, 'shuffle': 'bitshuffle', 'typesize': 4, 'blocksize': 32768}
    """
    video, name, size = spec.dtype == "uint8", spec.compressor, np.dtype(spec.stored_dtype).itemsize
    if name == "none":
        return None
    if name == "zstd" or (video and name == "auto"):
        shuffle = "noshuffle" if video else "shuffle"
        return {"cname": "zstd", "clevel": 3, "shuffle": shuffle, "typesize": size}
    # As many values in a block of float32 as in one of bit patterns, so that they have streams in common.
    return {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle", "typesize": size, "blocksize": STREAM_BYTES}


def array_options(spec: ArraySpec, layout: Layout) -> dict[str, Any]:
    """Collect everything that ``zarr.Group.create_array`` needs to know about one array.

    Examples
    --------
    >>> spec = ArraySpec("latent.raw", ("step", "h"), {"step": (0,), "h": (0, 1)}, ("step",))
    >>> array_options(spec, plan_layout(spec, {"step": 1, "h": 2}))["chunks"]
    (1, 2)
    """
    blosc = blosc_options(spec)
    return {
        "shape": layout.shape,
        "chunks": layout.chunk,
        "shards": layout.shard if layout.shard != layout.chunk else None,
        "dtype": spec.stored_dtype,
        "fill_value": spec.fill,
        "serializer": BytesCodec(),
        "compressors": (*([BloscCodec(**blosc)] if blosc else []), *([Crc32cCodec()] if spec.checksum else [])),
        "dimension_names": spec.dims,
        "config": {"write_empty_chunks": True},  # by default zarr drops chunks of zeros, and takes twice as long
    }


def _events_in_a_chunk(events: int, event_bytes: int, largest: int) -> int:
    """Share events out evenly over as few chunks as hold them."""
    chunks = math.ceil(events / max(1, largest // event_bytes))
    return math.ceil(events / chunks)


def _value_chunk(spec: ArraySpec, sizes: dict[str, int], row: int, item: int, largest: int) -> tuple[int, ...]:
    chunk = {dim: sizes[dim] for dim in spec.value_dims}
    frame = next((dim for dim in _FRAME_DIMS if dim in chunk), None)
    if frame and ({"token", "channel"} <= set(chunk) or math.prod(chunk.values()) * item > largest):
        chunk[frame] = 1
    for dim in sorted(chunk, key=lambda dim: dim != "token"):  # tokens first, then from the left
        others = math.prod(chunk.values()) // chunk[dim] * item
        chunk[dim] = _run(chunk[dim], row if dim == "token" else 1, others, largest)
    return tuple(chunk[dim] for dim in spec.value_dims)


def _run(length: int, row: int, each: int, largest: int) -> int:
    """Find the longest run that divides the length and stays within a chunk, of whole rows if there is one."""
    if length * each <= largest:
        return length
    runs = [run for run in range(1, length + 1) if length % run == 0 and run * each <= largest]
    return max([run for run in runs if run % row == 0] or runs, default=1)

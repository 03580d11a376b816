"""How an array is cut into chunks and shards, and how its bytes are coded.

An inner chunk is what one read fetches: one event, and inside it one frame, a run of whole token rows and all
channels. A shard is one file: the events of the last event dimension (the layers of one step) together, up to 64 MB,
written once and whole. Steps are never grouped, so a step that has run is on disk, and the memory that a writer needs
does not grow with the number of steps.

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

__all__ = ["SHARD_BYTES", "Layout", "array_options", "plan_layout"]

SHARD_BYTES = 64 * 2**20
CHUNK_BYTES = 4 * 2**20
_FRAME_DIMS = ("frame", "video_frame")


@dataclass(frozen=True)
class Layout:
    """Shapes of an array, its inner chunk and its shard.

    Attributes
    ----------
    shape, chunk, shard : tuple of int

    Examples
    --------
    >>> Layout((4, 10, 8), (1, 1, 8), (1, 10, 8)).shard
    (1, 10, 8)
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]


def plan_layout(spec: ArraySpec, sizes: dict[str, int], row: int = 1, shard_bytes: int = SHARD_BYTES) -> Layout:
    """Choose inner chunk and shard of one array.

    Parameters
    ----------
    spec : ArraySpec
    sizes : dict of str to int
        How many labels each dimension of the group has (the union).
    row : int
        Tokens in a row, so that a run of tokens ends with a row.
    shard_bytes : int
        Largest shard, unless a single event is larger.

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
    """
    events, shape = len(spec.event_dims), tuple(sizes[dim] for dim in spec.dims)
    item = np.dtype(spec.dtype).itemsize
    value_chunk = _value_chunk(spec, sizes, row, item)
    shard = [1] * events + list(shape[events:])
    if events and spec.event_dims[-1] != "step":  # grouping steps would hold a step back until others have run
        shard[events - 1] = min(shape[events - 1], max(1, shard_bytes // (math.prod(shape[events:]) * item)))
    return Layout(shape, (1,) * events + value_chunk, tuple(shard))


def array_options(spec: ArraySpec, layout: Layout) -> dict[str, Any]:
    """Collect everything that ``zarr.Group.create_array`` needs to know about one array.

    Examples
    --------
    >>> spec = ArraySpec("latent.raw", ("step", "h"), {"step": (0,), "h": (0, 1)}, ("step",))
    >>> array_options(spec, plan_layout(spec, {"step": 1, "h": 2}))["chunks"]
    (1, 2)
    """
    video = spec.dtype == "uint8"
    blosc = (
        BloscCodec(cname="zstd", clevel=3, shuffle="noshuffle", typesize=1)
        if video
        else BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle", typesize=4)
    )
    return {
        "shape": layout.shape,
        "chunks": layout.chunk,
        "shards": layout.shard if layout.shard != layout.chunk else None,
        "dtype": spec.dtype,
        "fill_value": 0 if video else np.nan,
        "serializer": BytesCodec(),
        "compressors": (blosc, Crc32cCodec()),
        "dimension_names": spec.dims,
        "config": {"write_empty_chunks": True},  # by default zarr drops chunks of zeros, and takes twice as long
    }


def _value_chunk(spec: ArraySpec, sizes: dict[str, int], row: int, item: int) -> tuple[int, ...]:
    chunk = {dim: sizes[dim] for dim in spec.value_dims}
    frame = next((dim for dim in _FRAME_DIMS if dim in chunk), None)
    tokens_of_channels = {"token", "channel"} <= set(chunk)
    if frame and (tokens_of_channels or math.prod(chunk.values()) * item > CHUNK_BYTES):
        chunk[frame] = 1
    if tokens_of_channels:
        chunk["token"] = _token_run(chunk["token"], row, math.prod(chunk.values()) // chunk["token"] * item)
    return tuple(chunk[dim] for dim in spec.value_dims)


def _token_run(tokens: int, row: int, token_bytes: int) -> int:
    """Find the longest run of whole rows that divides the tokens and stays within a chunk; all tokens if none does."""
    runs = [run for run in range(row, tokens + 1, row) if tokens % run == 0 and run * token_bytes <= CHUNK_BYTES]
    return max(runs, default=tokens)

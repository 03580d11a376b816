"""Chunks and shards of the sizes that the real models have."""

from __future__ import annotations

from typing import Any

import pytest
from zarr.codecs import BloscCodec, Crc32cCodec

from dit_lens_stores import ArraySpec
from dit_lens_stores.layout import array_options, plan_layout
from dit_lens_stores.schema import union_labels

BLOCK = ("branch", "step", "layer", "frame", "token", "channel")
LATENT = ("step", "latent_channel", "frame", "h", "w")
WAN = {"branch": 2, "step": 40, "layer": 40, "frame": 21, "token": 1560, "channel": 5120}
TINY = {"branch": 2, "step": 20, "layer": 10, "frame": 5, "token": 64, "channel": 128}

ROWS = (*BLOCK[:5], "head", "key_frame", "key_token")
ROW_SIZES = WAN | {"head": 8, "key_frame": 21, "key_token": 1560}
TEXT = (*BLOCK[:3], "text_token", "head", "head_channel")
TEXT_SIZES = WAN | {"text_token": 512, "head": 40, "head_channel": 128}


def spec_of(dims: tuple[str, ...], events: int, dtype: Any = "float32") -> ArraySpec:
    return ArraySpec("x", dims, dict.fromkeys(dims, (0,)), dims[:events], dtype)


@pytest.mark.parametrize(
    ("dims", "events", "sizes", "row", "chunk", "shard"),
    [
        # One event is larger than a shard's 64 MB: a shard is one event, a chunk three whole rows of one frame.
        (BLOCK, 3, WAN, 52, (1, 1, 1, 1, 156, 5120), (1, 1, 1, 21, 1560, 5120)),
        # All layers of a step in one file.
        (BLOCK, 3, TINY, 8, (1, 1, 1, 1, 64, 128), (1, 1, 10, 5, 64, 128)),
        # Energies of 131 kB: all layers of a step in one file, and in as few chunks as hold them.
        (BLOCK[:5], 3, WAN, 52, (1, 1, 20, 21, 1560), (1, 1, 40, 21, 1560)),
        (BLOCK[:5], 3, TINY, 8, (1, 1, 10, 5, 64), None),
        # The last chunk of a shard goes past the last layer: 3 chunks of 13.
        (BLOCK[:5], 3, WAN | {"layer": 37, "frame": 42}, 52, (1, 1, 13, 42, 1560), (1, 1, 39, 42, 1560)),
        # Attention rows: one row of tokens is more than a chunk, so runs are shorter.
        (ROWS, 3, ROW_SIZES, 52, (1, 1, 1, 1, 4, 8, 21, 1560), (1, 1, 1, 21, 1560, 8, 21, 1560)),
        (TEXT, 3, TEXT_SIZES, 1, (1, 1, 1, 128, 40, 128), (1, 1, 6, 512, 40, 128)),
        # Layers in groups, and the last group is not full.
        (BLOCK, 3, TINY | {"layer": 40, "channel": 2048}, 8, (1, 1, 1, 1, 64, 2048), (1, 1, 25, 5, 64, 2048)),
        # Steps are never grouped; an event above 4 MB is cut by frames.
        (LATENT, 1, {"step": 40, "latent_channel": 16, "frame": 21, "h": 60, "w": 104}, 1, (1, 16, 1, 60, 104), None),
        (LATENT, 1, {"step": 20, "latent_channel": 16, "frame": 5, "h": 8, "w": 8}, 1, (1, 16, 5, 8, 8), None),
    ],
)
def test_chunks_and_shards(
    dims: tuple[str, ...], events: int, sizes: dict[str, int], row: int, chunk: Any, shard: Any
) -> None:
    layout = plan_layout(spec_of(dims, events), sizes, row)
    assert layout.shape == tuple(sizes[dim] for dim in dims)
    assert layout.chunk == chunk
    assert layout.shard == (shard or (*[1] * (events - (events > 1)), *layout.shape[events - (events > 1) :]))


def test_a_video_is_one_file_of_frames() -> None:
    dims = ("video_frame", "video_y", "video_x", "rgb")
    layout = plan_layout(spec_of(dims, 0, "uint8"), dict(zip(dims, (81, 480, 832, 3), strict=True)))
    assert (layout.chunk, layout.shard) == ((1, 480, 832, 3), (81, 480, 832, 3))


def test_floats_are_bit_shuffled_and_checked() -> None:
    spec = spec_of(BLOCK, 3)
    options = array_options(spec, plan_layout(spec, TINY, 8))
    blosc, crc = options["compressors"]
    assert isinstance(blosc, BloscCodec)
    assert isinstance(crc, Crc32cCodec)
    assert (blosc.cname.value, blosc.clevel, blosc.shuffle.value, blosc.typesize) == ("lz4", 1, "bitshuffle", 4)
    assert options["config"] == {"write_empty_chunks": True}


def test_union_of_labels_is_in_order() -> None:
    first = ArraySpec("a", ("branch", "step"), {"branch": ("cond",), "step": (4, 9)})
    second = ArraySpec("b", ("branch", "step"), {"branch": ("uncond", "cond"), "step": (0, 9)})
    assert union_labels([first, second]) == {"branch": ("cond", "uncond"), "step": (0, 4, 9)}

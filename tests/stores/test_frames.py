"""Frames that are put together from runs are, byte for byte, those that blosc makes of the chunk at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numcodecs import Blosc, blosc

from dit_lens_stores import ArraySpec, frames
from dit_lens_stores.frames import FrameCoder
from dit_lens_stores.layout import STREAM_BYTES, blosc_options

Values = npt.NDArray[Any]
STREAM = STREAM_BYTES
EVERY_PATTERN = np.arange(2**16, dtype=np.uint16)  # NaN with payloads, infinities, denormals, both zeros


def options_of(encoding: str = "exact", compressor: str = "auto") -> dict[str, Any]:
    options = blosc_options(ArraySpec("x", (), {}, encoding=encoding, compressor=compressor))
    assert options
    return options


def widened(patterns: Values) -> Values:
    return (patterns.astype(np.uint32) << 16).view(np.float32)


def coded(values: Values, **options: Any) -> bytes:
    return b"".join(FrameCoder(options).encode(values))


def at_once(values: Values, cname: str, clevel: int, shuffle: str, typesize: int, blocksize: int = 0) -> bytes:
    """What blosc makes of a chunk, on one thread of its own."""
    shuffles = {"shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
    saved, blosc.use_threads = blosc.use_threads, False
    try:
        codec = Blosc(cname, clevel, shuffles[shuffle], blocksize, typesize=typesize)
        return bytes(codec.encode(values.view(np.uint8)))
    finally:
        blosc.use_threads = saved


@st.composite
def patterns(draw: st.DrawFn) -> Values:
    """Stretches that compress, hardly compress or do not, some blocks long, ending anywhere."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.one_of(st.integers(1, 200), st.integers(1, 3 * STREAM), st.sampled_from([STREAM, 2 * STREAM])))
        noise = np.random.default_rng(draw(st.integers(0, 9)))
        bits = draw(st.sampled_from([0, 3, 12, 16]))
        if draw(st.booleans()):
            parts.append(noise.integers(0, 2**bits, size, dtype=np.uint16))
        else:  # what a model returns looks like this
            parts.append((noise.standard_normal(size).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16))
    return np.concatenate(parts)


@settings(max_examples=60, deadline=None)
@given(patterns())
@example(EVERY_PATTERN)
@example(np.tile(EVERY_PATTERN, 3)[:-7])
@example(np.zeros((2 * frames.RUN + 2) * STREAM, np.uint16))
@example(np.zeros(2 * STREAM - 1, np.uint16))
def test_frames_are_those_that_blosc_makes(values: Values) -> None:
    exact, bits = options_of(), options_of("bits")
    assert coded(values, **bits) == at_once(values, **bits) == at_once(values, **{**bits, "blocksize": 0})
    whole = widened(values)
    assert coded(whole, **exact) == coded(values, **exact) == at_once(whole, **exact)
    assert Blosc().decode(coded(values, **exact)) == whole.tobytes()


@pytest.mark.parametrize("size", [1, 31, STREAM, 2 * STREAM, 5 * STREAM + 3])
@pytest.mark.parametrize("what", ["exact", "float16", "bitround:5", "zstd"])
def test_of_what_is_no_bfloat16_too(what: str, size: int) -> None:
    options = options_of(compressor="zstd") if what == "zstd" else options_of(what)
    values = np.random.default_rng(size).standard_normal(size).astype(f"f{options['typesize']}")
    assert coded(values, **options) == at_once(values, **options)


def test_patterns_are_compressed_without_being_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).standard_normal(40 * STREAM).astype(np.float32)
    values, seen = (noise.view(np.uint32) >> 16).astype(np.uint16), []
    decode = frames.decode
    monkeypatch.setattr(frames, "decode", lambda part, encoding: (seen.append(len(part)), decode(part, encoding))[1])
    assert coded(values, **options_of()) == at_once(widened(values), **options_of())
    assert seen == [STREAM]  # the last block


def test_patterns_that_do_not_compress_are_stored_as_blosc_stores_them() -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, 4 * STREAM, dtype=np.uint16)
    assert coded(noise, **options_of("bits")) == at_once(noise, **options_of("bits"))
    assert len(coded(noise, **options_of("bits"))) == noise.nbytes + 16
    assert coded(noise, **options_of()) == at_once(widened(noise), **options_of())


def test_blocks_are_in_order_whatever_threads_blosc_has(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).standard_normal(40 * STREAM).astype(np.float32)
    monkeypatch.setattr(blosc, "use_threads", True)
    for compressor in ("lz4", "zstd"):
        options = options_of(compressor=compressor)
        assert {coded(noise, **options) for _ in range(5)} == {at_once(noise, **options)}


def test_blocks_that_were_put_down_in_another_order_are_put_in_order() -> None:
    values = widened(EVERY_PATTERN.repeat(2))
    frame = at_once(values, **options_of())
    starts = np.frombuffer(frame, "<u4", 4, 16)
    blocks = [frame[start:end] for start, end in zip(starts, [*starts[1:], len(frame)], strict=True)]
    mixed = [2, 0, 3, 1]
    places = np.cumsum([32, *(len(blocks[i]) for i in mixed)])[np.argsort(mixed)].astype("<u4")
    other = frame[:16] + places.tobytes() + b"".join(blocks[i] for i in mixed)
    assert Blosc().decode(other) == values.tobytes()
    sizes, pieces = frames._blocks(other)
    assert (sizes, pieces) == (list(map(len, blocks)), blocks)

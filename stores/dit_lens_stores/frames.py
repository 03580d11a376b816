"""Make Blosc frames of chunks; those of bfloat16 from their bit patterns, byte for byte as blosc makes them of float32.

A frame is a header of 16 bytes, the place of each block, and the blocks; under the bit shuffle a block holds one stream
(its length, then lz4) for each byte that a value has, because the bit planes of each byte are compressed alone. A
float32 that is a bfloat16 has two bytes of zeros. The streams of the other two are what blosc makes of the 16-bit
patterns, and those of the zeros are always the same: so a chunk of patterns becomes the frame of the float32 that they
stand for in two thirds of the time, and the patterns need not be widened. Chunks are coded in runs of a few blocks,
because memory that is asked for in megabytes comes fresh from the system every time, and that takes half as long again;
a frame is handed on in pieces, without a copy.

What comes after the last whole block is coded by blosc in another way; it is left to blosc, with that block. So is
everything that does not compress, which blosc stores as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc

from dit_lens_stores.appending import Buffer
from dit_lens_stores.encodings import decode
from dit_lens_stores.layout import STREAM_BYTES

__all__ = ["FrameCoder"]

Values = npt.NDArray[Any]
_Blocks = tuple[list[int], list[Buffer]]

RUN = 16
"""How many blocks are coded at a time."""
_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
_HEADER = struct.Struct("<4s3I")  # versions, flags and type size; the bytes of the values, of a block, of the frame
_STORED = 2  # the flag, in the third byte, of what did not compress


class FrameCoder:
    """Codes chunks as Blosc frames.

    Parameters
    ----------
    blosc : mapping
        As `dit_lens_stores.layout.blosc_options` gives it.

    Examples
    --------
    >>> options = {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle", "typesize": 4, "blocksize": STREAM_BYTES}
    >>> coder = FrameCoder(options)
    >>> patterns = np.full(10**5, 0x3F80, np.uint16)
    >>> whole = Blosc("lz4", 1, Blosc.BITSHUFFLE, STREAM_BYTES).encode(np.ones(10**5, np.float32))
    >>> b"".join(coder.encode(patterns)) == whole
    True
    """

    def __init__(self, blosc: Mapping[str, Any]) -> None:
        self._size, self._level = int(blosc["typesize"]), int(blosc["clevel"])
        shuffle, stream = _SHUFFLES[blosc["shuffle"]], int(blosc.get("blocksize", 0))
        kind = (blosc["cname"], shuffle, stream)
        self._in_runs = kind == ("lz4", Blosc.BITSHUFFLE, STREAM_BYTES) and self._size in (2, 4)
        self._blosc = Blosc(blosc["cname"], self._level, shuffle, stream, typesize=self._size)

    def encode(self, values: Values) -> list[Buffer]:
        """Code a chunk; its frame is returned in pieces.

        Parameters
        ----------
        values : array
            One-dimensional and little-endian. uint16 where stored values have four bytes: bit patterns of bfloat16,
            which stand for float32.
        """
        patterns = self._size == 4 and values.dtype == np.uint16
        if self._in_runs and len(values) >= 2 * STREAM_BYTES and (pieces := self._joined(values, patterns)):
            return pieces
        frame = bytes(self._blosc.encode(_bytes_of(values, patterns)))
        return [frame] if frame[2] & _STORED else _frame(frame, values.size * self._size, [_blocks(frame)])

    def _joined(self, values: Values, patterns: bool) -> list[Buffer]:
        """Put a frame together from runs; nothing if some of them do not compress."""
        coder, zeros = (_of_patterns(self._level), _zeros(self._level)) if patterns else (self._blosc, b"")
        head, tail = np.split(values, [len(values) // STREAM_BYTES * STREAM_BYTES - STREAM_BYTES])
        runs = [coder.encode(head[at : at + RUN * STREAM_BYTES]) for at in range(0, len(head), RUN * STREAM_BYTES)]
        last = self._blosc.encode(_bytes_of(tail, patterns))
        if any(frame[2] & _STORED for frame in (*runs, last)):
            return []
        return _frame(last, len(values) * self._size, [*(_blocks(run, zeros) for run in runs), _blocks(last)])


@cache
def _of_patterns(level: int) -> Blosc:
    return Blosc("lz4", level, Blosc.BITSHUFFLE, STREAM_BYTES, typesize=2)


@cache
def _zeros(level: int) -> bytes:
    """The streams of the lower two bytes of a block: half of a block of zeros."""
    frame = Blosc("lz4", level, Blosc.BITSHUFFLE, STREAM_BYTES, typesize=4).encode(np.zeros(STREAM_BYTES, np.float32))
    _, (block,) = _blocks(frame)
    return bytes(block[: len(block) // 2])


def _bytes_of(values: Values, patterns: bool) -> Values:
    return (decode(values, "bits") if patterns else values).view(np.uint8)


def _blocks(frame: bytes, before: bytes = b"") -> _Blocks:
    """Take a frame apart: the sizes of its blocks, and the blocks, in the order of the values.

    Blosc's own threads, which it has where Python's main thread calls it, put blocks down as they come.
    """
    _, nbytes, block, _ = _HEADER.unpack_from(frame)
    starts = list(struct.unpack_from(f"<{-(-nbytes // block)}I", frame, _HEADER.size))
    rising, view = sorted(starts), memoryview(frame)
    after = dict(zip(rising, [*rising[1:], len(frame)], strict=True))
    sizes = [len(before) + after[start] - start for start in starts]
    if not before and starts == rising:
        return sizes, [view[starts[0] :]]
    return sizes, [piece for start in starts for piece in (before, view[start : after[start]]) if piece]


def _frame(like: bytes, nbytes: int, parts: Sequence[_Blocks]) -> list[Buffer]:
    """Put blocks together under the header of another frame; nothing if blosc would store such values as they are."""
    kind, _, block, _ = _HEADER.unpack_from(like)
    sizes = [size for sizes, _ in parts for size in sizes]
    *starts, end = accumulate(sizes, initial=_HEADER.size + 4 * len(sizes))
    if end > nbytes + _HEADER.size:
        return []
    head = _HEADER.pack(kind, nbytes, block, end) + struct.pack(f"<{len(starts)}I", *starts)
    return [head, *(piece for _, pieces in parts for piece in pieces)]

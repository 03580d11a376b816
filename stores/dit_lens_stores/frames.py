"""Make Blosc frames of chunks; those of bfloat16 from their bit patterns, byte for byte as blosc makes them of float32.

A frame is a header of 16 bytes, the place of each block, and the blocks; under the bit shuffle a block holds one stream
(its length, then lz4) for each byte that a value has, because the bit planes of each byte are compressed alone. A
float32 that is a bfloat16 has two bytes of zeros. The streams of the other two are what blosc makes of the 16-bit
patterns, and those of the zeros are always the same: so a chunk of patterns becomes the frame of the float32 that they
stand for in two thirds of the time, and the patterns need not be widened. The frame is handed on in pieces, without a
copy.

What comes after the last whole block is coded by blosc in another way; it is left to blosc, with that block. So is
everything that does not compress, which blosc stores as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc

from dit_lens_stores.appending import Buffer
from dit_lens_stores.encodings import decode

__all__ = ["BLOCK", "FrameCoder"]

Values = npt.NDArray[Any]

BLOCK = 2**15
"""Values in a block. Blosc takes it for the bytes of a stream; for values of two bytes it is what it chooses itself."""
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
    >>> coder = FrameCoder({"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle", "typesize": 4})
    >>> patterns = np.full(10**5, 0x3F80, np.uint16)
    >>> whole = Blosc("lz4", 1, Blosc.BITSHUFFLE, BLOCK).encode(np.ones(10**5, np.float32))
    >>> b"".join(coder.encode(patterns)) == whole
    True
    """

    def __init__(self, blosc: Mapping[str, Any]) -> None:
        self._size, self._level = int(blosc["typesize"]), int(blosc["clevel"])
        self._spliced = (blosc["cname"], blosc["shuffle"], self._size) == ("lz4", "bitshuffle", 4)
        shuffle, block = _SHUFFLES[blosc["shuffle"]], BLOCK if self._spliced else 0
        self._blosc = Blosc(blosc["cname"], self._level, shuffle, block, typesize=self._size)

    def encode(self, values: Values) -> list[Buffer]:
        """Code a chunk; its frame is returned in pieces.

        Parameters
        ----------
        values : array
            One-dimensional and little-endian. uint16 where stored values have four bytes: bit patterns of bfloat16,
            which stand for float32.
        """
        if self._size != 4 or values.dtype != np.uint16:
            return _ordered(self._blosc.encode(values.view(np.uint8)))
        if self._spliced and len(values) >= 2 * BLOCK and (pieces := self._splice(values)):
            return pieces
        return _ordered(self._widened(values))

    def _splice(self, values: Values) -> list[Buffer]:
        """Put a frame together from patterns; nothing if some of them do not compress."""
        coder, zeros = _of_patterns(self._level), _zeros(self._level)
        head, tail = np.split(values, [len(values) // BLOCK * BLOCK - BLOCK])
        runs = [coder.encode(head[at : at + RUN * BLOCK]) for at in range(0, len(head), RUN * BLOCK)]
        last = self._widened(tail)
        if any(frame[2] & _STORED for frame in (*runs, last)):
            return []
        blocks: list[list[Buffer]] = [[zeros, block] for run in runs for block in _blocks(run)]
        blocks += [[block] for block in _blocks(last)]
        return _frame(last, len(values) * 4, blocks)

    def _widened(self, patterns: Values) -> bytes:
        return bytes(self._blosc.encode(decode(patterns, "bits").view(np.uint8)))


@cache
def _of_patterns(level: int) -> Blosc:
    return Blosc("lz4", level, Blosc.BITSHUFFLE, BLOCK, typesize=2)


@cache
def _zeros(level: int) -> bytes:
    """The streams of the lower two bytes of a block: half of a block of zeros."""
    (block,) = _blocks(Blosc("lz4", level, Blosc.BITSHUFFLE, BLOCK, typesize=4).encode(np.zeros(BLOCK, np.float32)))
    return bytes(block[: len(block) // 2])


def _starts(frame: bytes) -> list[int]:
    _, nbytes, block, _ = _HEADER.unpack_from(frame)
    starts: list[int] = np.frombuffer(frame, "<u4", -(-nbytes // block), _HEADER.size).tolist()
    return starts


def _blocks(frame: bytes) -> list[memoryview]:
    """Take a frame apart, in the order of the values."""
    starts = _starts(frame)
    rising, view = sorted(starts), memoryview(frame)
    ends = dict(zip(rising, [*rising[1:], len(frame)], strict=True))
    return [view[start : ends[start]] for start in starts]


def _ordered(frame: bytes) -> list[Buffer]:
    """Put blocks in order: blosc's own threads, which it has on Python's main thread, put them down as they come."""
    if frame[2] & _STORED or (starts := _starts(frame)) == sorted(starts):
        return [frame]
    return _frame(frame, _HEADER.unpack_from(frame)[1], [[block] for block in _blocks(frame)])


def _frame(like: bytes, nbytes: int, blocks: Iterable[list[Buffer]]) -> list[Buffer]:
    """Put blocks together under the header of another frame; nothing if blosc would store such values as they are."""
    kind, _, block, _ = _HEADER.unpack_from(like)
    sizes = [sum(map(len, each)) for each in blocks]
    ends = np.cumsum([_HEADER.size + 4 * len(sizes), *sizes])
    if ends[-1] > nbytes + _HEADER.size:
        return []
    head = _HEADER.pack(kind, nbytes, block, int(ends[-1])) + ends[:-1].astype("<u4").tobytes()
    return [head, *(piece for each in blocks for piece in each)]

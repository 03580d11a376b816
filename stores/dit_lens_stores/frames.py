"""Make Blosc frames block by block, byte for byte those that blosc makes of a chunk at once, and faster.

A frame is a header of 16 bytes, the place of each block, and the blocks; a block holds as many streams (their length,
then lz4) as a value has bytes, because under the bit shuffle each byte's bit planes are compressed alone. Two things
follow. A chunk may be coded in runs of whole blocks, whose results stay in the processor's cache, and its frame put
together from them, without a copy. And a float32 that is a bfloat16 has two bytes of zeros: the streams of the other
two are what blosc makes of the 16-bit patterns, those of the zeros are always the same, so a chunk of patterns becomes
the frame of the float32 that they stand for in about the time of its own half of the bytes.

What comes after the last whole block is coded by blosc differently; it is left to blosc, with that block. So is
everything that does not compress, which blosc stores as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc

from dit_lens_stores.encodings import decode

__all__ = ["FrameCoder"]

Values = npt.NDArray[Any]
Buffer = bytes | memoryview

BLOCK = 2**16
"""The block that blosc chooses for lz4 with a bit shuffle."""
RUN = 8
"""How many blocks are coded at a time."""
_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
_HEADER = struct.Struct("<4BIII")  # version, version of the codec, flags, type size; bytes, bytes of a block, of all
_STORED = 2  # the flag of what did not compress


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
    >>> ones = Blosc("lz4", 1, Blosc.BITSHUFFLE).encode(np.ones(10**5, np.float32))
    >>> b"".join(coder.encode(patterns)) == ones
    True
    """

    def __init__(self, blosc: Mapping[str, Any]) -> None:
        self._size = int(blosc["typesize"])
        self._in_runs = (blosc["cname"], blosc["shuffle"]) == ("lz4", "bitshuffle") and self._size in (2, 4)
        self._blosc, self._level = _blosc(**blosc), int(blosc["clevel"])

    def encode(self, values: Values) -> list[Buffer]:
        """Code a chunk; what is returned is its frame, in pieces.

        Parameters
        ----------
        values : array
            One-dimensional and little-endian. uint16 where values have four bytes: bit patterns of bfloat16, which
            stand for float32.
        """
        patterns = self._size == 4 and values.dtype == np.uint16
        block = BLOCK // self._size  # values
        cut = (len(values) // block - 1) * block
        if self._in_runs and cut > 0 and (pieces := self._joined(values[:cut], values[cut:], block, patterns)):
            return pieces
        frame = self._blosc.encode(_widened(values, patterns))
        return _frame([frame], _blocks(frame)) or [frame]

    def _joined(self, head: Values, tail: Values, block: int, patterns: bool) -> list[Buffer] | None:
        """Put a frame together, or give up because something does not compress."""
        coder, zeros = (_narrow(self._level), _zeros(self._level)) if patterns else (self._blosc, b"")
        runs = [coder.encode(head[at : at + RUN * block]) for at in range(0, len(head), RUN * block)]
        last = self._blosc.encode(_widened(tail, patterns))
        if any(frame[2] & _STORED for frame in (*runs, last)):
            return None
        blocks = [[zeros, one] if patterns else [one] for frame in runs for (one,) in _blocks(frame)]
        return _frame([last, *runs], blocks + _blocks(last), (len(head) + len(tail)) * self._size)


def _blosc(cname: str, clevel: int, shuffle: str, typesize: int, blocksize: int = 0) -> Blosc:
    return Blosc(cname, clevel, _SHUFFLES[shuffle], blocksize, typesize=typesize)


@cache
def _narrow(level: int) -> Blosc:
    """Code patterns in blocks of as many values as a block of float32 has."""
    return _blosc("lz4", level, "bitshuffle", 2, BLOCK // 2)


@cache
def _zeros(level: int) -> bytes:
    """The streams of the lower two bytes of a block."""
    frame = _blosc("lz4", level, "bitshuffle", 4).encode(np.zeros(BLOCK, np.uint8))
    start = _HEADER.size + 4
    return bytes(frame[start : start + (len(frame) - start) // 2])


def _widened(values: Values, patterns: bool) -> Values:
    return (decode(values, "bits") if patterns else values).view(np.uint8)


def _blocks(frame: bytes) -> list[list[Buffer]]:
    """Take a frame apart, in the order of its values: blosc's own threads put blocks down as they come."""
    *_, flags, _, nbytes, block, size = _HEADER.unpack_from(frame)
    if flags & _STORED:
        return []
    starts = np.frombuffer(frame, "<u4", -(-nbytes // block), _HEADER.size).tolist()
    rising, view = sorted(starts), memoryview(frame)
    ends = dict(zip(rising, [*rising[1:], size], strict=True))
    return [[view[start : ends[start]]] for start in starts]


def _frame(like: Sequence[bytes], blocks: Sequence[Sequence[Buffer]], nbytes: int = 0) -> list[Buffer]:
    """Put blocks together under the header of a frame; nothing if blosc would store such values as they are."""
    *kind, own, block, _ = _HEADER.unpack_from(like[0])
    nbytes = nbytes or own
    sizes = [sum(map(len, block)) for block in blocks]
    ends = np.cumsum([_HEADER.size + 4 * len(sizes), *sizes])
    if not sizes or ends[-1] > nbytes:
        return []
    head = _HEADER.pack(*kind, nbytes, block, int(ends[-1])) + ends[:-1].astype("<u4").tobytes()
    return [head, *(piece for each in blocks for piece in each)]

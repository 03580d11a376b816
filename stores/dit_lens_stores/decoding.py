"""Turn the bytes of a chunk back into values, through the few codecs of format 1.

Every codec says beforehand how much comes out of it, and what a chunk may be at most is known from its shape: a chunk
that claims more is refused before memory is taken for it.
"""

from __future__ import annotations

import struct
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc, zstd

from dit_lens_stores.nodes import ArrayNode

__all__ = ["BadBytes", "decode_chunk", "decode_index", "largest_stored"]

MAX_WORDS = 2**20
"""Words in a chunk of labels, at most."""
_MAX_TEXT = 64 * 2**20
_SLACK = 1024  # more than headers and checksums take


Values = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]


class BadBytes(ValueError):
    """Bytes are not what their codec writes; who reads them says which chunk it was."""


def largest_stored(node: ArrayNode) -> int:
    """Say how many bytes a stored chunk may take at most.

    Examples
    --------
    >>> largest_stored(ArrayNode("x", (4,), (4,), (4,), "float32", 0, (), False, False, ("step",), {}))
    1040
    """
    return (_MAX_TEXT if node.dtype == "string" else node.chunk_bytes) + _SLACK


def decode_index(data: bytes, node: ArrayNode) -> npt.NDArray[np.uint64]:
    """Read the index of a shard: offset and length of every chunk, both 2**64 - 1 where there is none.

    Parameters
    ----------
    data : bytes
        The end of the file.
    node : ArrayNode

    Returns
    -------
    numpy.ndarray of uint64, over the chunks in the file and (offset, length)

    Raises
    ------
    BadBytes
    """
    view = np.frombuffer(data, np.uint8)
    if node.checked_index:
        view = _check(view)
    if len(view) != 16 * int(np.prod(node.chunks_in_file, dtype=np.int64)):
        raise BadBytes("an index of another length")
    return view.view("<u8").reshape(*node.chunks_in_file, 2)


def decode_chunk(data: bytes, node: ArrayNode) -> Values:
    """Decode one chunk.

    Parameters
    ----------
    data : bytes
        As they are stored.
    node : ArrayNode

    Returns
    -------
    numpy.ndarray
        In the shape of a chunk; words as objects.

    Raises
    ------
    BadBytes

    Examples
    --------
    >>> from dit_lens_stores.nodes import Codec
    >>> node = ArrayNode("x", (2,), (2,), (2,), "int64", 0, (Codec("bytes"),), False, False, ("step",), {})
    >>> decode_chunk(struct.pack("<2q", 3, 5), node)
    array([3, 5])
    """
    view: Bytes = np.frombuffer(data, np.uint8)
    for place in range(len(node.codecs) - 1, 0, -1):
        name = node.codecs[place].name
        sums = 4 * sum(codec.name == "crc32c" for codec in node.codecs[1:place])
        view = _check(view) if name == "crc32c" else _unpack(name, view, node, sums)
    if node.dtype == "string":
        return _words(view.tobytes(), int(np.prod(node.chunk, dtype=np.int64))).reshape(node.chunk)
    if len(view) != node.chunk_bytes:
        raise BadBytes(f"{len(view)} bytes in place of {node.chunk_bytes}")
    return view.view(np.dtype(node.dtype).newbyteorder("<")).reshape(node.chunk)


def _check(data: Bytes) -> Bytes:
    if len(data) < 4 or google_crc32c.value(data[:-4]) != struct.unpack("<I", data[-4:].tobytes())[0]:
        raise BadBytes("a crc32c that does not fit")
    return data[:-4]


def _unpack(name: str, data: Bytes, node: ArrayNode, sums: int) -> Bytes:
    size = _blosc_size(data) if name == "blosc" else _zstd_size(data)
    words = node.dtype == "string"
    if size > _MAX_TEXT if words else size != node.chunk_bytes + sums:
        raise BadBytes(f"a chunk that unpacks to {size} bytes")
    try:
        return np.frombuffer((blosc if name == "blosc" else zstd).decompress(data), np.uint8)
    except (RuntimeError, ValueError):
        raise BadBytes(f"no {name}") from None


def _blosc_size(data: Bytes) -> int:
    if len(data) < 16:
        raise BadBytes("no blosc")
    size, _, stored = struct.unpack("<3I", data[4:16].tobytes())
    if stored != len(data):
        raise BadBytes("blosc of another length")
    return int(size)


def _zstd_size(data: Bytes) -> int:
    """The size that the header of a zstd frame tells (RFC 8878, 3.1.1.1)."""
    if len(data) < 6 or data[:4].tobytes() != b"\x28\xb5\x2f\xfd":
        raise BadBytes("no zstd")
    descriptor = int(data[4])
    kind, single, dictionary = descriptor >> 6, descriptor >> 5 & 1, (0, 1, 2, 4)[descriptor & 3]
    width = (1 if single else 0, 2, 4, 8)[kind]
    field = data[5 + (not single) + dictionary :][:width].tobytes()
    if width == 0 or len(field) < width:
        raise BadBytes("zstd that does not tell its size")
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)


def _words(data: bytes, count: int) -> Values:
    """vlen-utf8: the count of words, then for each its length and its bytes."""
    if count > MAX_WORDS or len(data) < 4 or struct.unpack_from("<I", data)[0] != count or len(data) < 4 + 4 * count:
        raise BadBytes("words of another count")
    words, at = np.empty(count, dtype=object), 4
    for number in range(count):
        if at + 4 > len(data):
            raise BadBytes("words that end early")
        end = at + 4 + struct.unpack_from("<I", data, at)[0]
        if end > len(data):
            raise BadBytes("words that end early")
        try:
            words[number] = data[at + 4 : end].decode()
        except UnicodeDecodeError:
            raise BadBytes("words that are no UTF-8") from None
        at = end
    return words

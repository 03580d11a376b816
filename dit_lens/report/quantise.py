"""Numbers as whole numbers of one or two bytes, with the error that this makes.

Values lie on a line of equal steps from the smallest to the largest: ``value = offset + scale * q``. The last whole
number is kept for what is missing. Data come in blocks, twice: once to learn their extent, once to be written, so that
memory holds one block and the compressed bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Blobs", "FileBlobs", "Packed", "Width", "extent_of", "histogram_range", "pack", "pack_array"]

Width = Literal["uint16", "uint8"]
Block = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Blocks = Callable[[], Iterable[Block]]
"""Gives the blocks in C order, each time it is called."""

_MISSING: dict[Width, int] = {"uint16": 65535, "uint8": 255}
_GZIP = 31  # window bits that make zlib write a gzip header, without a date
_LEVEL = 6


@dataclass
class Blobs:
    """The blobs of a page, in order.

    Examples
    --------
    >>> blobs = Blobs()
    >>> blobs.add(b"one"), blobs.add(b"two"), blobs.size
    (0, 1, 6)
    """

    items: list[bytes] = field(default_factory=list)

    def add(self, data: bytes) -> int:
        """Keep a blob; returns its number."""
        self.items.append(data)
        return len(self.items) - 1

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(map(len, self.items))


@dataclass
class FileBlobs(Blobs):
    """Blobs that are written to files of a folder at once, and not kept.

    Examples
    --------
    >>> blobs = FileBlobs(folder=getfixture("tmp_path"))
    >>> blobs.add(b"one"), blobs.items, (blobs.folder / "0.bin").read_bytes()
    (0, [b''], b'one')
    """

    folder: Path = Path()

    def add(self, data: bytes) -> int:
        """Write a blob; returns its number."""
        (self.folder / f"{len(self.items)}.bin").write_bytes(data)
        return super().add(b"")


@dataclass(frozen=True)
class Packed:
    """An array as the page reads it, and how often each whole number stands in it.

    Attributes
    ----------
    array : dict
        ``blob``, ``dtype``, ``shape``, ``scale``, ``offset``, ``missing`` and ``error``.
    counts : numpy.ndarray
        By whole number, without those that are missing.
    """

    array: dict[str, Any]
    counts: npt.NDArray[np.int64]


def extent_of(blocks: Iterable[Block]) -> tuple[float, float]:
    """The smallest and the largest finite value of all blocks; ``(0, 0)`` if there is none.

    Examples
    --------
    >>> extent_of([np.array([1.0, np.nan]), np.array([3.0, np.inf])])
    (1.0, 3.0)
    """
    low, high = np.inf, -np.inf
    for block in blocks:
        known = block[np.isfinite(block)]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def pack(blocks: Blocks, shape: Sequence[int], blobs: Blobs, width: Width = "uint16") -> Packed:
    """Quantise and compress what comes in blocks.

    Parameters
    ----------
    blocks : callable
        Gives the blocks of the array in C order; called twice.
    shape : sequence of int
    blobs : Blobs
        Gets the compressed bytes.
    width : {"uint16", "uint8"}

    Returns
    -------
    Packed
        The error in it was measured: the largest distance of a value from what was written for it.

    Examples
    --------
    >>> blobs = Blobs()
    >>> values = np.array([0.0, 1.0, np.nan, 65534.0])
    >>> packed = pack(lambda: [values[:2], values[2:]], (4,), blobs)
    >>> packed.array["scale"], packed.array["error"], np.frombuffer(zlib.decompress(blobs.items[0], 31), "<u2").tolist()
    (1.0, 0.0, [0, 1, 65535, 65534])
    """
    (low, high), missing = extent_of(blocks()), _MISSING[width]
    scale = (high - low) / (missing - 1)
    counts = np.zeros(missing + 1, dtype=np.int64)
    squeeze, parts, error = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP), [], 0.0
    for block in blocks():
        whole, worst = _quantise(block, low, scale, width)
        error = max(error, worst)
        counts += np.bincount(whole.ravel(), minlength=missing + 1)
        parts.append(squeeze.compress(np.ascontiguousarray(whole).tobytes()))
    parts.append(squeeze.flush())
    array: dict[str, Any] = {"blob": blobs.add(b"".join(parts)), "dtype": width, "shape": [int(size) for size in shape]}
    array |= {"scale": scale, "offset": low, "missing": missing, "error": error}
    return Packed(array, counts[:missing])


def pack_array(values: npt.NDArray[Any], blobs: Blobs, width: Width = "uint16") -> Packed:
    """Quantise and compress an array that is in memory.

    Examples
    --------
    >>> pack_array(np.zeros((2, 3)), Blobs()).array["shape"]
    [2, 3]
    """
    numbers = np.asarray(values, dtype=np.float64)
    return pack(lambda: [numbers], numbers.shape, blobs, width)


def histogram_range(packed: Sequence[Packed], share: float) -> tuple[float, float]:
    """Values below which ``share`` of all values lie, and above which the same share lies.

    Parameters
    ----------
    packed : sequence of Packed
        All that is shown on one colour scale.
    share : float

    Returns
    -------
    tuple of float
        ``(0, 0)`` if there is no value.

    Examples
    --------
    >>> low, high = histogram_range([pack_array(np.arange(101.0), Blobs())], 0.1)
    >>> round(low, 2), round(high, 2)
    (10.0, 90.0)
    """
    values = np.concatenate(
        [one.array["offset"] + one.array["scale"] * np.arange(len(one.counts), dtype=np.float64) for one in packed]
    )
    counts = np.concatenate([one.counts for one in packed])
    values, counts = values[counts > 0], counts[counts > 0]
    if not len(values):
        return 0.0, 0.0
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(counts[order])
    total = int(ranks[-1]) - 1
    low, high = (values[order][np.searchsorted(ranks, round(part * total), "right")] for part in (share, 1 - share))
    return float(low), float(high)


def _quantise(block: Block, offset: float, scale: float, width: Width) -> tuple[npt.NDArray[Any], float]:
    """Whole numbers for a block, and how far the worst of them lies from its value."""
    exact = block.astype(np.float64)
    known = np.isfinite(exact)
    steps = np.rint((exact[known] - offset) / scale) if scale > 0 else np.zeros(int(known.sum()))
    whole = np.full(block.shape, _MISSING[width], dtype="<u2" if width == "uint16" else "u1")
    whole[known] = steps
    worst = np.abs(offset + scale * steps - exact[known]).max(initial=0.0)
    return whole, float(worst)

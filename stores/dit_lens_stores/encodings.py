"""How the values of an array are turned into the numbers that are stored, and back.

A model computes in bfloat16; NumPy and plain Zarr know no such type. ``exact`` therefore stores float32 whose low 16
bits are zero: it opens everywhere and compresses to the size of packed bfloat16. The others are asked for: ``bits``
stores the upper 16 bits as uint16, the fastest; ``float16`` rounds, and refuses what it cannot hold; ``bitround:N``
keeps N bits of the mantissa, for publishing. NaN stays NaN in all of them, and nothing finite ever becomes infinite.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import BitRound

from dit_lens_stores.errors import StoreError, close_match

__all__ = ["check_encoding", "decode", "encode", "fill_value", "stored_dtype", "widened"]

Values = npt.NDArray[Any]

ENCODINGS = ("exact", "bits", "float16", "bitround:N")
NAN_BITS = 0x7FC0
"""NaN of bfloat16, the fill value of ``bits``: what was never written decodes to NaN."""
_MANTISSA = 22  # 23 bits would round nothing
_BITROUND = re.compile(r"bitround:([1-9]|1[0-9]|2[0-2])")
_STORED = {"bits": "uint16", "float16": "float16"}


def check_encoding(encoding: str, dtype: str, where: str) -> None:
    """Refuse an encoding that is none, or that does not fit the dtype.

    Parameters
    ----------
    encoding, dtype : str
        As an `ArraySpec` has them.
    where : str
        What has it, for the message.

    Raises
    ------
    StoreError

    Examples
    --------
    >>> check_encoding("bit", "float32", "array 'x'")
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.StoreError: array 'x' has an encoding; got 'bit', allowed exact, ...; did you mean 'bits'?
    """
    if encoding not in ENCODINGS[:3] and not _BITROUND.fullmatch(encoding):
        hint = close_match(encoding, ENCODINGS) or "; use exact"
        allowed = ", ".join(ENCODINGS)
        raise StoreError(f"{where} has an encoding; got '{encoding}', allowed {allowed} (N 1 to {_MANTISSA}){hint}")
    if encoding != "exact" and dtype != "float32":
        raise StoreError(
            f"{where} has an encoding of floats; got '{encoding}' for {dtype}, allowed exact; leave the encoding out"
        )


def stored_dtype(dtype: str, encoding: str) -> str:
    """Return the dtype on disk.

    Examples
    --------
    >>> stored_dtype("float32", "bits"), stored_dtype("float32", "bitround:5"), stored_dtype("uint8", "exact")
    ('uint16', 'float32', 'uint8')
    """
    return _STORED.get(encoding, dtype)


def fill_value(dtype: str, encoding: str) -> Any:
    """Return what stands for values that were never written: NaN, the bits of NaN, or 0 in video.

    Examples
    --------
    >>> fill_value("float32", "exact"), fill_value("float32", "bits"), fill_value("uint8", "exact")
    (nan, 32704, 0)
    """
    return {"uint16": NAN_BITS, "uint8": 0}.get(stored_dtype(dtype, encoding), np.nan)


def encode(values: Values, encoding: str, where: str = "the values") -> Values:
    """Turn values into what is stored; the result may share their memory.

    Parameters
    ----------
    values : array
        float32. Also taken as they are: uint16 bit patterns by ``bits``, float16 by ``float16``.
    encoding : str
    where : str
        What they are, for the message.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    StoreError
        If the encoding cannot hold a value.

    Examples
    --------
    >>> encode(np.array([1, -2], np.float32), "bits").tolist()
    [16256, 49152]
    >>> encode(np.array([7e4], np.float32), "float16", "write of x")
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.StoreError: write of x is too large for float16; got 70000.0, allowed -65504 to 65504; ...
    """
    if encoding == "exact" or values.dtype == stored_dtype("float32", encoding) != "float32":
        return values
    values = np.ascontiguousarray(values, dtype="<f4").reshape(values.shape)
    if encoding == "bits":
        return _to_bits(values, where)
    if encoding == "float16":
        return _to_float16(values, where)
    return _round(values, encoding, where)


def decode(values: npt.ArrayLike, encoding: str) -> Values:
    """Turn what is stored back into values: ``bits`` into float32; the others are values already.

    Parameters
    ----------
    values : array
        As Zarr reads them.
    encoding : str
        The array's attribute ``encoding``; ``exact`` where there is none.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> decode(np.array([16256, 49152], np.uint16), "bits")
    array([ 1., -2.], dtype=float32)
    """
    stored = np.asarray(values)
    if encoding != "bits":
        return stored
    return np.asarray(np.left_shift(stored, 16, dtype=np.uint32)).view(np.float32)


def widened(values: Values, dtype: Any) -> Values:
    """Turn bit patterns of bfloat16 into the float32 that they stand for; anything else stays as it is.

    A writer keeps events of ``exact`` arrays as patterns if it got them so: they take half the memory.

    Parameters
    ----------
    values : array
    dtype : str or numpy.dtype
        Of the array.

    Examples
    --------
    >>> widened(np.array([16256], np.uint16), "float32"), widened(np.array([16256], np.uint16), "uint16")
    (array([1.], dtype=float32), array([16256], dtype=uint16))
    """
    return decode(values, "bits") if values.dtype == np.uint16 and dtype == "float32" else values


def _to_bits(values: Values, where: str) -> Values:
    halves = values.reshape(-1).view("<u2").reshape(-1, 2)
    if halves[:, 0].any():
        bad = values.reshape(-1)[int(np.argmax(halves[:, 0] != 0))]
        raise StoreError(
            f"{where} is no bfloat16; got {bad}, allowed values that bfloat16 holds exactly; use the encoding exact"
        )
    return halves[:, 1].reshape(values.shape)


def _to_float16(values: Values, where: str) -> Values:
    with np.errstate(over="ignore"):  # looked for below
        small = values.astype(np.float16)
    _check_finite(values, small, where, "float16", "-65504 to 65504")
    return small


def _round(values: Values, encoding: str, where: str) -> Values:
    rounded: Values = BitRound(int(encoding.partition(":")[2])).encode(values).view("<f4")
    nan = np.isnan(values)
    rounded[nan] = values[nan]  # rounding would turn some NaN into infinity
    _check_finite(values, rounded, where, encoding, "what rounds to a finite number")
    return rounded


def _check_finite(values: Values, coded: Values, where: str, encoding: str, allowed: str) -> None:
    over = np.isinf(coded) & np.isfinite(values)
    if over.any():
        raise StoreError(
            f"{where} is too large for {encoding}; got {values[over][0]}, allowed {allowed}; use the encoding exact"
        )

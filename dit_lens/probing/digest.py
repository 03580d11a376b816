"""The SHA-256 of a result: of its values, labels and attributes, not of the files that hold them.

The same result has the same hash in memory and on the disk, however it is chunked and compressed and whichever version
of Zarr wrote it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["result_sha256"]


def result_sha256(result: xr.Dataset) -> str:
    """Hash a result.

    Parameters
    ----------
    result : xarray.Dataset

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import xarray as xr
    >>> a, b = (xr.Dataset({"score": ("step", [0.5, value])}) for value in (1.0, 2.0))
    >>> result_sha256(a) == result_sha256(a.copy(deep=True)), result_sha256(a) == result_sha256(b)
    (True, False)
    """
    digest = hashlib.sha256(_text(result.attrs))
    for name in sorted(map(str, result.variables)):
        variable = result.variables[name]
        values = np.asarray(variable.values)
        is_text = values.dtype.kind in "OUT"
        digest.update(_text([name, list(variable.dims), values.shape, variable.attrs]))
        digest.update(b"text" if is_text else values.dtype.newbyteorder("<").str.encode())
        digest.update(_text(values.tolist()) if is_text else _bytes(values))
    return digest.hexdigest()


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=_plain).encode()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _bytes(values: np.ndarray[Any, Any]) -> bytes:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()

"""Look whether the files that a trace's marks promise are there.

Zarr reads a chunk whose file is missing as the fill value: NaN, black video, a label of -1. The marks say which events
were put in place, so a copy that lost files can be told from a capture that left something out. Only names are looked
up, no values are read but the marks. A shard or chunk holds its events whole, and labels, coordinates and marks are
one chunk each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from dit_lens_stores.schema import DONE_SUFFIX, WRITTEN

__all__ = ["lost_events", "lost_files"]


def lost_events(folder: Path, name: str) -> dict[tuple[int, ...], str]:
    """Find the events of an array that are marked done while their file is gone.

    Parameters
    ----------
    folder : pathlib.Path
        The trace.
    name : str
        The array.

    Returns
    -------
    dict of tuple of int to str
        By position along the event dimensions, the file, as a path inside the trace.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> writer = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))], [], {})
    >>> writer.write("x", {"step": 1}, np.float32(1))
    >>> (store.path / "t0" / "x" / "c" / "1").unlink()
    >>> lost_events(store.path / "t0", "x")
    {(1,): 'x/c/1'}
    """
    array, done = _open(folder, name), _open(folder, name + DONE_SUFFIX)
    if array is None or done is None:
        return {}
    marked = [tuple(at.tolist()) for at in np.argwhere(np.asarray(done[...]) == WRITTEN)]
    files = {at: _file(array, name, at) for at in marked}
    gone = {file for file in set(files.values()) if not (folder / file).exists()}
    return {at: file for at, file in files.items() if file in gone}


def lost_files(folder: Path, arrays: Sequence[str], coordinates: Sequence[str]) -> tuple[str, ...]:
    """List the files of a complete trace that are gone, as paths inside the trace.

    Parameters
    ----------
    folder : pathlib.Path
        The trace.
    arrays, coordinates : sequence of str
        What it holds, by its attributes.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> lost_files(getfixture("tmp_path"), ["x"], [])
    ('x/zarr.json', 'x_done/zarr.json')
    """
    there = [array for name in arrays if (array := _open(folder, name)) is not None]
    dims = [str(dim) for array in there for dim in getattr(array.metadata, "dimension_names", None) or ()]
    vectors = dict.fromkeys([*dims, *coordinates, *(name + DONE_SUFFIX for name in arrays)])
    lost = [f"{name}/zarr.json" for name in arrays if _open(folder, name) is None]
    lost += [file for name in vectors if (file := _lost_vector(folder, name))]
    lost += [file for name in arrays for file in lost_events(folder, name).values()]
    return tuple(dict.fromkeys(lost))


def _lost_vector(folder: Path, name: str) -> str | None:
    array = _open(folder, name)
    file = f"{name}/zarr.json" if array is None else _file(array, name, ())
    return None if (folder / file).exists() else file


def _open(folder: Path, name: str) -> zarr.Array[Any] | None:
    if not (folder / name / "zarr.json").exists():
        return None
    return zarr.open_array(folder / name, mode="r", zarr_format=3)


def _file(array: zarr.Array[Any], name: str, at: tuple[int, ...]) -> str:
    """The file that holds an event, or the only file of an array that is one chunk."""
    sizes = array.shards or array.chunks
    index = [position // size for position, size in zip(at, sizes, strict=False)]
    key = array.metadata.encode_chunk_key((*index, *[0] * (array.ndim - len(index))))
    return f"{name}/{key}"

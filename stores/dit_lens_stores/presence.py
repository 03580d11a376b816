"""Look whether the files that a trace's marks promise are there.

Zarr reads a chunk whose file is missing as the fill value: NaN, black video, a label of -1. The marks say which events
were put in place, so a copy that lost files can be told from a capture that left something out. Only names are looked
up, no values are read but labels, coordinates and marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dit_lens_stores.places import side_by_side
from dit_lens_stores.schema import DONE_SUFFIX, WRITTEN

if TYPE_CHECKING:
    from dit_lens_stores.vectors import Contents

__all__ = ["lost_events", "lost_files"]


def lost_events(contents: Contents, name: str) -> dict[tuple[int, ...], str]:
    """Find the events of an array that are marked done while a file of theirs is gone.

    Parameters
    ----------
    contents : Contents
        Of the trace.
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
    >>> writer.fail("stopped")
    >>> (store.path / "t0" / "x" / "c" / "1").unlink()
    >>> store["t0"].lost()
    ('t0/x/c/1',)
    """
    if name + DONE_SUFFIX not in contents.whole([name + DONE_SUFFIX]) or not contents.has(name):
        return {}
    node, marks = contents.raw(name), contents.marks(name)
    files: dict[str, list[tuple[int, ...]]] = {}
    for place in np.argwhere(marks == WRITTEN):
        at = tuple(place.tolist())
        events = tuple(i // size for i, size in zip(at, node.file, strict=False))
        files.setdefault(node.file_key((*events, *[0] * (len(node.shape) - len(events)))), []).append(at)
    there = side_by_side(contents.place, contents.place.exists, files)
    gone = [key for key, found in zip(files, there, strict=True) if not found]
    return {at: key.removeprefix(f"{contents.trace}/") for key in gone for at in files[key]}


def lost_files(contents: Contents) -> tuple[str, ...]:
    """List the files of a complete trace that are gone, as paths inside the trace.

    Parameters
    ----------
    contents : Contents

    Returns
    -------
    tuple of str
    """
    contents.load(contents.arrays)
    there = [name for name in contents.arrays if contents.has(name)]
    dims = [dim for name in there for dim in contents.raw(name).dims]
    vectors = dict.fromkeys([*dims, *contents.coordinates, *(name + DONE_SUFFIX for name in contents.arrays)])
    lost = [f"{name}/zarr.json" for name in contents.arrays if name not in there]
    lost += [contents.file_of(name) for name in vectors if name not in contents.whole(vectors)]
    lost += [file for name in there for file in lost_events(contents, name).values()]
    return tuple(dict.fromkeys(lost))

"""Compare what the attributes of a trace say with what its arrays and marks say.

Marks and ``own_labels`` tell twice which events an array holds, and the files in a folder tell twice what is in it.
Where nothing is told twice (facts of the manifest, own labels inside an event) only a list of hashes can find a change.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dit_lens_stores.errors import StoreError
from dit_lens_stores.members import Members
from dit_lens_stores.nodes import read_array
from dit_lens_stores.places import Place
from dit_lens_stores.schema import NOT_PART
from dit_lens_stores.vectors import Contents

__all__ = ["coordinate_problem", "is_unnamed_array", "own_labels_problems"]


def own_labels_problems(contents: Contents, name: str) -> Iterator[str]:
    """Yield what is wrong with the own labels of an array: along event dimensions the marks tell them as well.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> from dit_lens_stores.places import place_of
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> _ = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 2)}, ("step",))], [], {})
    >>> list(own_labels_problems(Contents(place_of(store.path), "t0", {"arrays": ["x"]}), "x"))
    []
    """
    part, own = contents.marks(name) != NOT_PART, contents.own_labels(name)
    for axis, dim in enumerate(contents.mark_dims(name)):
        labels = contents.labels(dim)
        others = tuple(other for other in range(part.ndim) if other != axis)
        marked = [labels[at] for at in np.flatnonzero(part.any(axis=others)).tolist()]
        if sorted(map(repr, own.get(dim, labels))) != sorted(map(repr, marked)):
            yield f"other own labels of '{dim}' than its marks tell"


def coordinate_problem(contents: Contents, members: Members, name: str) -> str | None:
    """Tell what is wrong with a coordinate: its dimension must be one of an array."""
    dim = contents.dim_of(name)
    return f"a coordinate along '{dim}', which no array has" if dim is not None and dim not in members.dims else None


def is_unnamed_array(place: Place, trace: str, file: str) -> bool:
    """Whether a file, by its path inside a trace, is the metadata of an array that the trace does not name."""
    name, _, rest = file.partition("/")
    try:
        return rest == "zarr.json" and read_array(place, f"{trace}/{name}") is not None
    except StoreError:
        return False

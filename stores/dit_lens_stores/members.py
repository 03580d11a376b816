"""Which files belong to a trace: those of the names that its attributes tell, inside the grids of their arrays.

A folder may hold more: what a killed process left, what somebody put there. Nobody reads such files, so nobody checks
them either, and they are not copied.
"""

from __future__ import annotations

from dit_lens_stores.schema import DONE_SUFFIX
from dit_lens_stores.vectors import Contents

__all__ = ["Members"]


class Members:
    """The files that a trace may have.

    Parameters
    ----------
    contents : Contents

    Attributes
    ----------
    dims : frozenset of str
        The dimensions of its arrays.
    names : frozenset of str
        Of everything in it: arrays, marks, labels and coordinates.

    Raises
    ------
    Corrupt
        If metadata are not what the format allows.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> from dit_lens_stores.places import place_of
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> _ = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 2)}, ("step",))], [], {})
    >>> members = Members(Contents(place_of(store.path), "t0", {"arrays": ["x"]}))
    >>> [members.hold(file) for file in ("zarr.json", "step/c/0", "step/c/1", "x/c/1", "x_done/zarr.json", "y/c/0")]
    [True, True, False, True, True, False]
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        there = [name for name in contents.arrays if contents.has(name)]
        self.dims = frozenset(dim for name in there for dim in contents.raw(name).dims)
        marks = [name + DONE_SUFFIX for name in contents.arrays]
        self.names = frozenset([*contents.arrays, *marks, *contents.coordinates, *self.dims])

    def hold(self, file: str) -> bool:
        """Whether a file, by its path inside the trace, can be one of them."""
        name, _, rest = file.partition("/")
        if file == "zarr.json" or name not in self.names:
            return file == "zarr.json"
        if rest == "zarr.json":
            return True
        at = rest.split("/")
        return at[0] == "c" and self._contents.has(name) and self._in_grid(name, at[1:])

    def _in_grid(self, name: str, at: list[str]) -> bool:
        node = self._contents.raw(name)
        if len(at) != len(node.shape) or not all(place.isdecimal() and place == str(int(place)) for place in at):
            return False
        counts = [max(1, -(-size // file)) for size, file in zip(node.shape, node.file, strict=True)]
        return all(int(place) < count for place, count in zip(at, counts, strict=True))

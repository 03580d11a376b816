"""What is read of a trace before any values: attributes, array metadata, labels, coordinates and done marks.

Each is a small file, asked for at most once, those of one array side by side: on a remote store opening an array takes
two rounds of requests, the metadata and then the labels and marks. Everything is checked against everything else:
lengths against labels, marks against events, so that what follows can rely on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dit_lens_stores.decoding import MAX_WORDS
from dit_lens_stores.encodings import check_encoding
from dit_lens_stores.errors import NotDone, StoreError
from dit_lens_stores.nodes import ArrayNode, corrupt, read_array
from dit_lens_stores.places import Place, side_by_side
from dit_lens_stores.schema import DONE_SUFFIX, NOT_PART
from dit_lens_stores.selecting import Selection, read_selection

__all__ = ["OWN_LABELS", "Contents"]

OWN_LABELS = "own_labels"
_MAX_MARKS = 2**27
Vector = npt.NDArray[Any]


class Contents:
    """The small files of one trace, kept once they were read.

    Parameters
    ----------
    place : Place
    trace : str
    attributes : mapping
        Of the trace's group.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> from dit_lens_stores.places import place_of
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> _ = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 2)}, ("step",))], [], {})
    >>> contents = Contents(place_of(store.path), "t0", {"arrays": ["x"]})
    >>> contents.labels("step"), contents.marks("x").tolist()
    ([0, 2], [0, 0])
    """

    def __init__(self, place: Place, trace: str, attributes: Mapping[str, Any]) -> None:
        self.place, self.trace = place, trace
        self.arrays = self._names("arrays", attributes.get("arrays", []))
        self.coordinates = self._names("coordinates", str(attributes.get("coordinates", "")).split())
        self._status = attributes.get("status")
        self._nodes: dict[str, ArrayNode | None] = {}
        self._vectors: dict[str, Vector | None] = {}

    def load(self, arrays: Iterable[str]) -> None:
        """Fetch all that belongs to some arrays, side by side."""
        arrays = list(arrays)
        self._fetch_nodes([*arrays, *(name + DONE_SUFFIX for name in arrays), *self.coordinates])
        dims = [dim for name in arrays if (node := self._nodes[name]) for dim in node.dims]
        self._fetch_nodes(dims)
        self._fetch_vectors([*dims, *self.coordinates, *(name + DONE_SUFFIX for name in arrays)])

    def laid_out(self) -> bool:
        """Whether the writer got to the end of laying the trace out; it writes the marks of the last array last."""
        last = tuple(name + DONE_SUFFIX for name in self.arrays[-1:])
        return self._status == "complete" or self.whole(last) == last

    def has(self, name: str) -> bool:
        """Whether there is metadata of an array."""
        self._fetch_nodes([name])
        return self._nodes[name] is not None

    def node(self, name: str) -> ArrayNode:
        """The metadata of one of the trace's arrays; its length is that of its labels."""
        self.load([name])
        node = self.raw(name)
        self._check(node)
        return node

    def raw(self, name: str) -> ArrayNode:
        """The metadata of one of the trace's arrays, not compared with its labels."""
        self._fetch_nodes([name])
        node: ArrayNode = self._require(name, self._nodes[name])
        return node

    def whole(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of some labels, coordinates and marks of which no file is lost."""
        names = tuple(names)
        self._fetch_nodes(names)
        self._fetch_vectors(names)
        return tuple(name for name in names if self._vectors[name] is not None)

    def file_of(self, name: str) -> str:
        """The file that labels, a coordinate or marks lack, as a path inside the trace."""
        node = self._nodes[name]
        return f"{name}/zarr.json" if node is None else node.file_key([0] * len(node.shape)).partition("/")[2]

    def labels(self, dim: str) -> list[Any]:
        """The labels of a dimension, the model's own."""
        labels: list[Any] = self.vector(dim).tolist()
        if len(set(labels)) != len(labels):
            raise self._corrupt(dim, f"labels of '{dim}' that are not different", "each label once")
        return labels

    def vector(self, name: str) -> Vector:
        """Labels or a coordinate, along one dimension."""
        self._fetch_nodes([name])
        self._fetch_vectors([name])
        vector: Vector = self._require(name, self._vectors[name])
        return vector

    def dim_of(self, coordinate: str) -> str | None:
        """The dimension that a coordinate is on; None if it is lost."""
        node = self._nodes.get(coordinate)
        return node.dims[0] if node and self._vectors.get(coordinate) is not None else None

    def marks(self, name: str) -> npt.NDArray[np.uint8]:
        """The done marks of an array, over its event dimensions."""
        self.load([name])
        marks: npt.NDArray[np.uint8] = self._require(name + DONE_SUFFIX, self._vectors[name + DONE_SUFFIX])
        dims, node = self.mark_dims(name), self.raw(name)
        if dims != node.dims[: len(dims)] or marks.shape != node.shape[: len(dims)] or marks.dtype != np.uint8:
            raise self._corrupt(name + DONE_SUFFIX, f"marks of {dims}", f"uint8 marks of the first of {node.dims}")
        if (marks > NOT_PART).any():
            raise self._corrupt(name + DONE_SUFFIX, f"a mark {int(marks.max())}", "0, 1 and 2")
        return marks

    def mark_dims(self, name: str) -> tuple[str, ...]:
        """The event dimensions of an array."""
        self._fetch_nodes([name + DONE_SUFFIX])
        return self.raw(name + DONE_SUFFIX).dims

    def own_labels(self, name: str) -> dict[str, list[Any]]:
        """For each dimension of which an array holds fewer labels than the trace, those that it holds."""
        node = self.node(name)
        own = node.attributes.get(OWN_LABELS, {})
        whole = isinstance(own, dict) and all(dim in node.dims and isinstance(own[dim], list) for dim in own)
        if not whole or any(
            not held or set(map(repr, held)) - set(map(repr, self.labels(dim))) for dim, held in own.items()
        ):
            raise self._corrupt(
                name, f"attribute '{OWN_LABELS}' of another form", "some of the labels of each dimension"
            )
        return dict(own)

    def _names(self, what: str, names: Any) -> tuple[str, ...]:
        whole = isinstance(names, list) and all(isinstance(name, str) and _is_name(name) for name in names)
        if not whole or len(set(names)) != len(names):
            raise self._corrupt("", f"attribute '{what}' of another form", "different names without '/'")
        return tuple(names)

    def _fetch_nodes(self, names: Iterable[str]) -> None:
        wanted = [name for name in dict.fromkeys(names) if name not in self._nodes]
        if bad := [name for name in wanted if not _is_name(name)]:
            raise self._corrupt("", f"the name {bad[0]!r}", "a name without '/' that does not begin with '.'")
        found = side_by_side(self.place, lambda name: read_array(self.place, f"{self.trace}/{name}"), wanted)
        self._nodes.update(zip(wanted, found, strict=True))

    def _fetch_vectors(self, names: Iterable[str]) -> None:
        wanted = [name for name in dict.fromkeys(names) if name not in self._vectors]
        self._vectors.update(zip(wanted, side_by_side(self.place, self._read_vector, wanted), strict=True))

    def _read_vector(self, name: str) -> Vector | None:
        """Read labels, a coordinate or marks: one chunk, and no more than a few million of them."""
        node = self._nodes[name]
        if node is None:
            return None
        limit = _MAX_MARKS if name.endswith(DONE_SUFFIX) else MAX_WORDS
        if math.prod(node.shape) > limit or node.file != tuple(max(1, size) for size in node.shape) or node.sharded:
            raise self._corrupt(
                name, f"shape {node.shape} in chunks of {node.file}", f"one chunk, at most {limit} values"
            )
        if len(node.shape) != 1 and not name.endswith(DONE_SUFFIX):
            raise self._corrupt(name, f"{len(node.shape)} dimensions", "one")
        lost: list[str] = []
        positions = [np.arange(size, dtype=np.int64) for size in node.shape]
        selection = Selection(
            self.place,
            node,
            positions,
            lambda _: True,
            lambda _, key: lost.append(key),
            lambda _: f"{self.trace}/{name}",
        )
        values = read_selection(selection)
        return None if lost else values

    def _check(self, node: ArrayNode) -> None:
        lengths = tuple(len(self.vector(dim)) for dim in node.dims)
        if node.shape != lengths:
            raise self._corrupt(node.name, f"shape {node.shape}", f"the {lengths} labels that there are")
        encoding = node.attributes.get("encoding", "exact")
        try:
            check_encoding(str(encoding), "float32" if node.dtype != "uint8" else "uint8", f"array '{node.name}'")
        except StoreError:
            raise self._corrupt(node.name, f"encoding {encoding!r}", "one of format 1") from None
        if node.dtype not in _DTYPES.get(str(encoding), ("float32", "uint8")):
            raise self._corrupt(node.name, f"{node.dtype} of encoding '{encoding}'", "the dtype of the encoding")

    def _require(self, name: str, found: Any) -> Any:
        if found is not None:
            return found
        raise NotDone(
            f"trace '{self.trace}' lacks a file in '{self.place.name}'; got status '{self._status}' and no "
            f"'{self.trace}/{self.file_of(name)}', allowed every file of a trace; copy the store again, or trace "
            f"it again"
        )

    def _corrupt(self, name: str, got: str, allowed: str) -> StoreError:
        return corrupt(self.place.name, f"{self.trace}/{name}".rstrip("/"), got, allowed)


_DTYPES = {"bits": ("uint16",), "float16": ("float16",)}


def _is_name(name: str) -> bool:
    plain = not any(sign in "/\\\x7f" or sign < " " for sign in name)  # a control character would act on a terminal
    return bool(name) and not name.startswith((".", "__")) and plain

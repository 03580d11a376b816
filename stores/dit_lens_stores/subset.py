"""Write a smaller store: some traces, arrays, steps, layers or tokens of another, in another encoding or other chunks.

What is copied keeps its true labels, and its manifest says where it came from. Values are read and written shard by
shard, so the memory does not grow with the store. The new store takes its name at the end, whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dit_lens_stores.encodings import check_encoding
from dit_lens_stores.errors import StoreError
from dit_lens_stores.merging import built_whole
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.places import Place, place_of
from dit_lens_stores.root import Store, create_store
from dit_lens_stores.schema import ArraySpec, Coordinate
from dit_lens_stores.share.choosing import parse_selection
from dit_lens_stores.share.slicing import Slice, copy_slice
from dit_lens_stores.writer import TraceWriter

__all__ = ["select_into"]

_LEAST_BYTES = 4096


def select_into(
    source: str | Path | Place,
    out: str | Path,
    *,
    traces: Sequence[str] | None = None,
    arrays: Sequence[str] | None = None,
    selection: str | Mapping[str, Sequence[str]] | None = None,
    encoding: str | None = None,
    chunk_bytes: int | None = None,
    shard_bytes: int | None = None,
) -> tuple[str, ...]:
    """Copy a part of a store into a new one.

    Parameters
    ----------
    source : str, pathlib.Path or Place
        A folder, a zip, or an address; of an address only what is needed is fetched.
    out : str or pathlib.Path
        A new path.
    traces, arrays : sequence of str, optional
        All if not given.
    selection : str or mapping, optional
        Such as ``"step=0:3,layer=2"``, in the model's own labels; or terms by axis.
    encoding : str, optional
        Of all arrays but video: ``exact``, ``bits``, ``float16``, ``bitround:N``. As they are if not given.
    chunk_bytes, shard_bytes : int, optional
        Size of chunks and of shards before compression; 4 MB and 64 MB if not given.

    Returns
    -------
    tuple of str
        The ids of the traces.

    Raises
    ------
    StoreExists
        If something is at ``out``.
    NotDone
        If it touches what is not done.
    StoreError
        If there is no such trace, array or label, or the encoding cannot hold a value.

    Examples
    --------
    >>> import numpy as np
    >>> from dit_lens_stores import ArraySpec, create_store, open_store
    >>> folder = getfixture("tmp_path")
    >>> spec = ArraySpec("x", ("step",), {"step": (0, 1, 2)}, ("step",))
    >>> writer = create_store(folder / "a.zarr").begin("t0", [spec], [], {})
    >>> for step in range(3):
    ...     writer.write("x", {"step": step}, np.float32(step))
    >>> writer.finish()
    >>> select_into(folder / "a.zarr", folder / "b.zarr", selection="step=1:3")
    ('t0',)
    >>> part = open_store(folder / "b.zarr")["t0"]
    >>> part["x"].step.values.tolist(), part.manifest["lineage"]
    ([1, 2], [{'source': 'a.zarr', 'trace': 't0', 'select': 'step=1:3'}])
    """
    if encoding is not None:
        check_encoding(encoding, "float32", "select")
    sizes = {"chunk_bytes": chunk_bytes, "shard_bytes": shard_bytes}
    changes = {name: size for name, size in sizes.items() if size is not None}
    for name, size in changes.items():
        if size < _LEAST_BYTES:
            raise StoreError(f"select got {name}; got {size}, allowed {_LEAST_BYTES} or more; name a larger size")
    terms = parse_selection(selection) if isinstance(selection, str) else dict(selection or {})
    part = Slice(terms, tuple(traces or ()), tuple(arrays or ()))
    opened = StoreReader(place_of(source))
    _ = opened.attributes
    told = {"source": opened.url if opened.place.remote else Path(opened.url).name}
    told_changes = ({"encoding": encoding} if encoding else {}) | changes
    with built_whole(Path(out), "select") as partial:
        copy_slice(opened, _Changed(create_store(partial), encoding, changes), part, told | told_changes)
    return tuple(part.traces) or opened.traces


class _Changed(Store):
    """A store whose traces are written in another encoding, and in other chunks, than they were read."""

    def __init__(self, store: Store, encoding: str | None, sizes: Mapping[str, int]) -> None:
        super().__init__(store.place, store.writable)
        self._encoding, self._sizes = encoding, dict(sizes)

    def begin(
        self,
        trace_id: str,
        arrays: Sequence[ArraySpec],
        coordinates: Sequence[Coordinate],
        manifest: Mapping[str, Any],
        **options: Any,
    ) -> TraceWriter:
        """Lay out a new trace."""
        changed = [self._coded(spec) for spec in arrays]
        return super().begin(trace_id, changed, coordinates, manifest, **{**self._sizes, **options})

    def _coded(self, spec: ArraySpec) -> ArraySpec:
        return replace(spec, encoding=self._encoding) if self._encoding and spec.dtype == "float32" else spec

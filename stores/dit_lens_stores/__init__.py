"""The store: a Zarr directory of traces that plain xarray opens. Needs numpy, zarr and xarray, never torch."""

from dit_lens_stores.errors import (
    DitLensError,
    DuplicateEvent,
    NotAStore,
    NotDone,
    StoreError,
    StoreExists,
    UnknownArray,
    UnknownFormat,
    UnknownTrace,
    close_match,
)
from dit_lens_stores.reader import Trace
from dit_lens_stores.root import Store, create_store, open_store
from dit_lens_stores.schema import FORMAT, ArraySpec, Coordinate, check_trace_id, union_labels
from dit_lens_stores.writer import TraceWriter

__all__ = [
    "FORMAT",
    "ArraySpec",
    "Coordinate",
    "DitLensError",
    "DuplicateEvent",
    "NotAStore",
    "NotDone",
    "Store",
    "StoreError",
    "StoreExists",
    "Trace",
    "TraceWriter",
    "UnknownArray",
    "UnknownFormat",
    "UnknownTrace",
    "check_trace_id",
    "close_match",
    "create_store",
    "open_store",
    "union_labels",
]

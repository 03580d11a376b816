"""The store: a Zarr directory of traces that plain xarray opens. Needs numpy, zarr and xarray, never torch.

Names are loaded when they are first used (PEP 562): whoever needs only the errors, as the command line does before it
knows what is asked, does not wait for zarr and xarray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dit_lens_stores.errors import (
    Busy,
    Corrupt,
    Damaged,
    DitLensError,
    DuplicateEvent,
    NotAStore,
    NotDone,
    OtherRun,
    OtherSettings,
    StoreError,
    StoreExists,
    UnknownArray,
    UnknownFormat,
    UnknownTrace,
    Unreachable,
    close_match,
)

if TYPE_CHECKING:
    from dit_lens_stores.checking import verify
    from dit_lens_stores.merging import merge
    from dit_lens_stores.reader import Trace
    from dit_lens_stores.report import Problem, Report
    from dit_lens_stores.root import Store, create_store, open_store
    from dit_lens_stores.schema import FORMAT, ArraySpec, Coordinate, check_trace_id, union_labels
    from dit_lens_stores.subset import select_into
    from dit_lens_stores.writer import TraceWriter

__all__ = [
    "FORMAT",
    "ArraySpec",
    "Busy",
    "Coordinate",
    "Corrupt",
    "Damaged",
    "DitLensError",
    "DuplicateEvent",
    "NotAStore",
    "NotDone",
    "OtherRun",
    "OtherSettings",
    "Problem",
    "Report",
    "Store",
    "StoreError",
    "StoreExists",
    "Trace",
    "TraceWriter",
    "UnknownArray",
    "UnknownFormat",
    "UnknownTrace",
    "Unreachable",
    "check_trace_id",
    "close_match",
    "create_store",
    "merge",
    "open_store",
    "select_into",
    "union_labels",
    "verify",
]

_HOMES = {
    "reader": ("Trace",),
    "merging": ("merge",),
    "report": ("Problem", "Report"),
    "root": ("Store", "create_store", "open_store"),
    "schema": ("FORMAT", "ArraySpec", "Coordinate", "check_trace_id", "union_labels"),
    "checking": ("verify",),
    "subset": ("select_into",),
    "writer": ("TraceWriter",),
}


def __getattr__(name: str) -> object:
    """Import the module that holds ``name``, and keep the result so that this runs once a name."""
    for module, names in _HOMES.items():
        if name in names:
            value: object = getattr(import_module(f"dit_lens_stores.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'dit_lens_stores' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""The one tree of errors: everything that dit-lens raises on purpose is a ``DitLensError``.

The root lives in ``dit_lens_stores``, because the store is the lowest of the three packages and must stand without the
others; its classes are re-exported here. Every class also inherits the builtin that fits, and carries ``exit_code``: 2
when nothing was started, 3 when something is there and not whole. A message is one line: what failed, where, the value,
what is allowed, and one remedy.

Examples
--------
>>> from dit_lens.errors import DitLensError
>>> DitLensError.exit_code
2
"""

from __future__ import annotations

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

__all__ = [
    "DitLensError",
    "DuplicateEvent",
    "NotAStore",
    "NotDone",
    "StoreError",
    "StoreExists",
    "UnknownArray",
    "UnknownFormat",
    "UnknownTrace",
    "close_match",
]

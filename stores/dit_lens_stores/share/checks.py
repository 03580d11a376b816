"""What is looked at before a store goes out of the house."""

from __future__ import annotations

from dit_lens_stores.errors import NotDone
from dit_lens_stores.opening import StoreReader

__all__ = ["check_structure"]

_SHOWN = 3


def check_structure(store: StoreReader) -> None:
    """Refuse a store of which files are lost, or in which a complete trace lacks events; reads metadata and marks only.

    Parameters
    ----------
    store : Store

    Raises
    ------
    NotDone
        Names the trace and what it lacks.
    Corrupt
        If metadata are not what the format allows.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> check_structure(create_store(getfixture("tmp_path") / "a.zarr"))
    """
    for trace_id in store.traces:
        trace = store.get(trace_id, partial=True)
        lost = list(trace.lost())
        missing = [f"{name}{event}" for name, event in trace.missing()] if trace.status == "complete" else []
        if lack := lost or missing:
            more = f" and {len(lack) - _SHOWN} more" if len(lack) > _SHOWN else ""
            raise NotDone(
                f"checking '{store.url}' found trace '{trace_id}' not whole; got no {', '.join(lack[:_SHOWN])}{more}, "
                f"allowed every file of a trace; copy the store again, or trace it again"
            )

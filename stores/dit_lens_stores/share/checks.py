"""What is looked at before a store goes out of the house, and when one has come."""

from __future__ import annotations

from dit_lens_stores.errors import NotDone, few
from dit_lens_stores.nodes import read_group
from dit_lens_stores.opening import StoreReader

__all__ = ["check_structure", "check_whole"]

_SHOWN = 3


def check_whole(store: StoreReader) -> None:
    """Refuse a store with anything wrong in it; reads every byte of its traces once.

    A list of hashes that lies in the store is not asked: it may be older than the newest trace, and a push writes it
    anew.

    Parameters
    ----------
    store : Store

    Raises
    ------
    Damaged
        Names trace, array and event.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> check_whole(create_store(getfixture("tmp_path") / "a.zarr"))
    """
    from dit_lens_stores.checking import verify

    verify(store.place, traces=store.traces).require()


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
        lost = list(trace.lost()) or _lost_group(store, trace_id)
        missing = [f"{name}{event}" for name, event in trace.missing()] if trace.status == "complete" else []
        if lack := lost or missing:
            raise NotDone(
                f"checking '{store.url}' found trace '{trace_id}' not whole; got no {few(lack, _SHOWN)}, "
                f"allowed every file of a trace; copy the store again, or trace it again"
            )


def _lost_group(store: StoreReader, trace_id: str) -> list[str]:
    """The metadata of a trace that the index calls complete, if they are gone."""
    complete = store.index[trace_id].get("status") == "complete"
    return [f"{trace_id}/zarr.json"] if complete and read_group(store.place, trace_id) is None else []

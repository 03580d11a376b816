"""What a trace is called and what its manifest may be told: names that mean something else already are refused.

The id that a trace gets by default is made of the request alone, so that the same request has the same name wherever
it runs; what is captured and what ran beside it are no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dit_lens.engine.errors import BadRequest
from dit_lens_stores import OtherSettings, StoreExists, check_trace_id

__all__ = ["check_ids", "check_notes", "naming_default_ids"]

_OF_THE_STORE = ("latents", "lineage", "source_dtypes")


def check_ids(ids: Sequence[str], count: int) -> list[str]:
    """The ids of the traces of one run.

    Parameters
    ----------
    ids : sequence of str
    count : int
        How many requests run.

    Returns
    -------
    list of str

    Raises
    ------
    BadRequest
        If they are no texts, or not as many different ones as requests.
    StoreError
        If a store could not hold one.

    Examples
    --------
    >>> check_ids(["maze-0", "maze-1"], 2)
    ['maze-0', 'maze-1']
    """
    names = list(ids)
    for name in names:
        if not isinstance(name, str):
            raise BadRequest(
                f"the trace has no such name; got {name!r}, allowed a text; leave it out, or write 'maze-0'"
            )
    if len(names) != count or len(set(names)) != count:
        raise BadRequest(
            f"the names of the traces do not fit the batch; got {', '.join(names)}, allowed {count} different names; "
            f"give every request a seed or a name of its own"
        )
    return [check_trace_id(name) for name in names]


def check_notes(notes: object, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a manifest that the caller adds.

    Parameters
    ----------
    notes : object
        A mapping, or None.
    manifest : mapping
        The entries that are there already.

    Returns
    -------
    dict

    Raises
    ------
    BadRequest
        If one of them is there already, or they are no named entries.

    Examples
    --------
    >>> check_notes({"mood": "fine"}, {"seed": 3})
    {'mood': 'fine'}
    >>> check_notes({"seed": 4}, {"seed": 3})
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadRequest: notes name an entry that ... got 'seed', allowed other names; rename it
    """
    if notes is None:
        return {}
    if not isinstance(notes, Mapping) or not all(isinstance(name, str) for name in notes):
        raise BadRequest(
            f"notes are no named entries; got {notes!r}, allowed a mapping with texts as keys; write {{'why': '...'}}"
        )
    owned = [name for name in notes if name in manifest or name in _OF_THE_STORE]
    if owned:
        raise BadRequest(
            f"notes name an entry that the manifest has itself; got {owned[0]!r}, allowed other names; rename it"
        )
    return dict(notes)


@contextmanager
def naming_default_ids(by_default: bool) -> Iterator[None]:
    """Say of an id that nobody chose why it is taken."""
    try:
        yield
    except (StoreExists, OtherSettings) as error:
        if not by_default:
            raise
        raise type(error)(
            f"{error}; the id was made of the request alone, not of its captures, its batch or the model: give "
            f"trace_id=... to record the request once more"
        ) from error

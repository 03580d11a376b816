"""Stored traces that a run takes values from: opened, and held against the model that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from dit_lens.engine.errors import BadEdit
from dit_lens_stores import Trace, open_store

__all__ = ["check_model", "is_exact", "open_donor", "raw_array"]


def open_donor(store: str, trace: str) -> Trace:
    """A trace, complete or not.

    Raises
    ------
    StoreError
    """
    return open_store(store)[trace]


def check_model(trace: Trace, identity: Mapping[str, Any], where: str, remedy: str) -> None:
    """Refuse a trace of other weights than those that run, or of unknown ones.

    Raises
    ------
    BadEdit
    """
    theirs, ours = trace.manifest.get("weights_sha256"), identity["weights_sha256"]
    known = isinstance(theirs, dict) and bool(theirs) and None not in theirs.values()
    if not known or theirs != ours:
        got = f"trace '{trace.id}' of {trace.manifest.get('model', 'an unknown model')} with "
        raise BadEdit(
            f"{where} takes values of another model; got {got}{'other' if known else 'unknown'} weights, allowed the "
            f"weights that run; take a trace of this model, or {remedy}"
        )


def raw_array(trace: Trace, site: str, where: str) -> xr.DataArray:
    """The array of a site as it was computed, lazily.

    Raises
    ------
    BadEdit
    """
    name = f"{site}.raw"
    if name not in trace:
        raise BadEdit(
            f"{where} needs {site} of trace '{trace.id}' as it was computed; got {', '.join(trace) or 'nothing'}, "
            f"allowed {name} among them; trace it with --capture {site}"
        )
    return trace[name]


def is_exact(array: xr.DataArray) -> bool:
    """Whether the store holds, bit for bit, what the model computed.

    Examples
    --------
    >>> def kept(source, dtype):
    ...     return xr.DataArray(0.0, attrs={"source_dtype": source, "dtype": dtype})
    >>> is_exact(kept("float32", "float32")), is_exact(kept("float32", "bits")), is_exact(kept("bfloat16", "bits"))
    (True, False, True)
    """
    source, dtype = array.attrs.get("source_dtype"), array.attrs.get("dtype")
    if str(array.attrs.get("encoding", "exact")).startswith("bitround"):
        return False
    if dtype == "float32":
        return source != "float64"
    return source == ("float16" if dtype == "float16" else "bfloat16")

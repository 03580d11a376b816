"""What a store and a trace show of themselves: only what is small is read, never a value that the model computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from dit_lens_stores.errors import DitLensError
from dit_lens_stores.html.builder import Html, element
from dit_lens_stores.html.parts import card, facts, section, table
from dit_lens_stores.schema import EXPECTED, WRITTEN
from dit_lens_stores.summary import extents

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens_stores.opening import StoreReader
    from dit_lens_stores.reader import Trace

__all__ = ["store_html", "trace_html"]

_COLUMNS = ("model", "seed", "steps", "prompt")
_FACTS = ("model", "prompt", "negative_prompt", "seed", "guidance", "guidance_2", "dtype", "device", "licence")


def store_html(store: StoreReader) -> Html:
    """A store: its traces and what its index says of them."""
    entries = store.index
    rows = [(name, entry.get("status"), *(entry.get(column) for column in _COLUMNS)) for name, entry in entries.items()]
    shown = table(("trace", "status", *_COLUMNS), rows)
    return card("store", store.url, shown, plain=repr(store), note=f"{len(entries)} traces")


def trace_html(trace: Trace) -> Html:
    """A trace: how it was made, its steps, its arrays and how much of each is there; a lost file is named."""
    parts, manifest = [], trace.manifest
    try:
        parts = [_run(manifest), _steps(trace, manifest), _arrays(trace)]
    except DitLensError as error:
        parts = [facts({"cannot be read": error})]
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    whole = section("Manifest", element("pre", text, class_="dit-lens-json"), note=f"{len(manifest)} entries")
    reason = None if trace.reason is None else facts({"reason": trace.reason})
    return card("trace", trace.id, reason, *parts, whole, plain=repr(trace), note=trace.status)


def _run(manifest: Mapping[str, Any]) -> Html:
    size = [manifest.get(name) for name in ("width", "height", "frames")]
    edits = manifest.get("edits")
    told = {name.replace("_", " "): manifest.get(name) for name in _FACTS}
    told |= {
        "size": None if None in size else "{} x {}, {} frames".format(*size),
        "pipeline": _class_of(manifest.get("pipeline")),
        "scheduler": _class_of(manifest.get("scheduler")),
        "edits": element("div", *(element("div", _edit(edit)) for edit in edits))
        if edits and isinstance(edits, list)
        else None,
    }
    return section("Run", facts(told), opened=True)


def _class_of(entry: Any) -> Any:
    return entry.get("class") if isinstance(entry, Mapping) else None


def _edit(edit: Any) -> str:
    """An edit of a manifest, which may be of any form."""
    if not isinstance(edit, Mapping):
        return str(edit)
    where = f"[{edit['where']}]" if edit.get("where") else ""
    return f"{edit.get('site')}:{edit.get('op')}{where}"


def _steps(trace: Trace, manifest: Mapping[str, Any]) -> Html | None:
    """A step is never shown alone: with its sigma, timestep and expert."""
    names = [name for name in trace.held if "step" in trace[name].dims]
    if not names:
        return None
    steps = trace[max(names, key=lambda name: trace[name].sizes["step"])]
    known = [name for name in ("sigma", "timestep", "expert") if name in steps.coords]
    columns = [steps[name].values.tolist() for name in ("step", *known)]
    experts = [str(expert) for expert in columns[-1]] if "expert" in known else []
    runs = ", ".join(f"{expert} x {len(list(run))}" for expert, run in groupby(experts))
    rows = [[_short(value) for value in row] for row in zip(*columns, strict=True)]
    return section("Steps", table(("step", *known), rows), note=", ".join(filter(None, [str(len(rows)), runs])))


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _arrays(trace: Trace) -> Html:
    rows = [_row(name, trace[name], trace) for name in trace.held]
    size = sum(trace[name].nbytes for name in trace.held)
    shown = table(("array", "dimensions", "stored as", "events", "MB"), rows)
    return section("Arrays", shown, note=f"{len(rows)}, {size / 1e6:,.3g} MB before compression", opened=True)


def _row(name: str, array: xr.DataArray, trace: Trace) -> tuple[str, ...]:
    marks = trace.done(name).values
    done, left = int(np.sum(marks == WRITTEN)), int(np.sum(marks == EXPECTED))
    stored = ", ".join(str(array.attrs[key]) for key in ("dtype", "encoding") if array.attrs.get(key))
    events = str(done) if not left else f"{done} of {done + left}"
    return name, extents(array.sizes), stored or str(array.dtype), events, f"{array.nbytes / 1e6:,.3g}"

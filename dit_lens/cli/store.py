"""``dit-lens store``: look at a store without loading a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App
from pydantic import BaseModel, ConfigDict

from dit_lens.cli import copies, share
from dit_lens.cli.output import Json, show_json, show_line, show_table

if TYPE_CHECKING:
    from dit_lens_stores import Store

__all__ = ["ArrayRecord", "StoreRecord", "TraceRecord", "app", "info"]

app = App(name="store", help="Look at a store of traces, check it, cut it, join it and share it.")
share.add_to(app)
copies.add_to(app)


class ArrayRecord(BaseModel):
    """One array of a trace: its name, its dimensions in order with their lengths, and its type."""

    model_config = ConfigDict(frozen=True)

    name: str
    dims: dict[str, int]
    dtype: str


class TraceRecord(BaseModel):
    """One trace: its id, its status, its arrays, and each LoRA of the model, as the manifest has it.

    The arrays of a trace that is not complete may hold gaps.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    status: str
    arrays: tuple[ArrayRecord, ...]
    loras: tuple[dict[str, Any], ...] = ()


class StoreRecord(BaseModel):
    """A store: where it is, how large it is on disk (not known of an address), and its traces."""

    model_config = ConfigDict(frozen=True)

    store: str
    format: str
    bytes: int | None
    traces: tuple[TraceRecord, ...]


@app.command
def info(
    store: str,
    /,
    *,
    json: Json = False,
) -> None:
    """Show what a store holds: traces, their status, and the arrays with their dimensions.

    Parameters
    ----------
    store
        A folder, a zip, or an address: https://, s3://, hf://datasets/OWNER/NAME.
    """
    from dit_lens.engine.disk import format_size
    from dit_lens_stores import open_store

    record = _describe(open_store(store))
    if json:
        show_json(record.model_dump(mode="json"))
        return
    size = "" if record.bytes is None else f", {format_size(record.bytes)}"
    show_line(f"store   {record.store}")
    show_line(f"format  {record.format}, {len(record.traces)} traces{size}")
    for trace in record.traces:
        show_line(f"\n{trace.id}  {trace.status}")
        for lora in trace.loras:
            show_line(_lora(lora))
        rows = [(array.name, _shape(array), array.dtype) for array in trace.arrays]
        if rows:
            show_table(("array", "dims", "dtype"), rows)


def _describe(store: Store) -> StoreRecord:
    from dit_lens_stores.schema import FORMAT_KEY

    traces = tuple(_describe_trace(store, trace_id) for trace_id in store.traces)
    return StoreRecord(store=store.url, format=store.attributes[FORMAT_KEY], bytes=_size(store), traces=traces)


def _size(store: Store) -> int | None:
    if store.place.remote or getattr(store.place, "path", None) is None:
        return None
    files = [store.path] if store.path.is_file() else [file for file in store.path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _describe_trace(store: Store, trace_id: str) -> TraceRecord:
    trace = store.get(trace_id, partial=True)
    arrays = tuple(
        ArrayRecord(
            name=name, dims={str(dim): size for dim, size in trace[name].sizes.items()}, dtype=str(trace[name].dtype)
        )
        for name in trace.arrays
    )
    known = trace.manifest.get("loras", ())
    loras = tuple(lora for lora in known if isinstance(lora, dict)) if isinstance(known, (list, tuple)) else ()
    return TraceRecord(id=trace_id, status=store.status(trace_id), arrays=arrays, loras=loras)


def _lora(lora: dict[str, Any]) -> str:
    """One LoRA in a line; what nobody knows of it is left out."""
    state = "fused" if lora.get("fused") else "on" if lora.get("on") else "off"
    where = f" in {lora['component']}" if lora.get("component") else ""
    numbers = (f"{name} {lora[name]}" for name in ("strength", "rank", "modules") if lora.get(name) is not None)
    return f"lora {lora.get('name')}{where}: {', '.join((state, *numbers))}"


def _shape(array: ArrayRecord) -> str:
    return " x ".join(f"{dim} {size}" for dim, size in array.dims.items())

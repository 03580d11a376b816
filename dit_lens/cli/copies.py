"""``dit-lens store verify | merge | select | rechunk``: check a store, join stores, write a smaller or recut one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from dit_lens.cli.output import Json, show_json, show_line

if TYPE_CHECKING:
    from dit_lens_stores import Report

__all__ = ["add_to", "merge", "rechunk", "select", "verify"]

Out = Annotated[Path, Parameter(name=["--out", "-o"])]
Names = Annotated[tuple[str, ...], Parameter(show_default=False)]


def add_to(app: App) -> None:
    """Give these commands to ``dit-lens store``."""
    for command in (verify, merge, select, rechunk):
        app.command(command)


def verify(store: str, /, *, trace: Names = (), json: Json = False) -> None:
    """Check every chunk of a store against its checksum, and every mark against what it promises; 1 if anything is bad.

    Parameters
    ----------
    store
        A folder, a zip, or an address; all of it is read.
    trace
        Check this trace only; may be repeated.
    """
    from dit_lens_stores import verify as check

    report = check(store, traces=trace or None)
    if json:
        show_json(_as_json(report))
    else:
        _show(report)
    report.require()


def merge(stores: Annotated[tuple[Path, ...], Parameter(negative=())], /, *, out: Out, json: Json = False) -> None:
    """Join stores into a new one, without writing their arrays again.

    Parameters
    ----------
    stores
        Folders; in the order of `--shard 0/n` to `n-1/n` they give the store of one run over all.
    out
        A new path.
    """
    from dit_lens_stores import merge as join

    _tell({"store": str(out), "traces": list(join(stores, out))}, json)


def select(
    store: str,
    /,
    *,
    out: Out,
    trace: Names = (),
    array: Names = (),
    select: str = "",
    encoding: str | None = None,
    json: Json = False,
) -> None:
    """Write a smaller store: some traces, arrays, steps, layers or tokens, or fewer bits.

    Parameters
    ----------
    store
        A folder, a zip, or an address, of which only what is selected is fetched.
    out
        A new path.
    trace
        Copy this trace; may be repeated. All by default.
    array
        Copy this array, such as block.out.energy; may be repeated. All by default.
    select
        What of them, such as step=0:3,layer=2+5,y=0:2, in the model's own numbers.
    encoding
        Store them as exact, bits, float16 or bitround:N; as they are by default.
    """
    from dit_lens_stores import select_into

    copied = select_into(store, out, traces=trace, arrays=array, selection=select, encoding=encoding)
    _tell({"store": str(out), "traces": list(copied)}, json)


def rechunk(
    store: str,
    /,
    *,
    out: Out,
    chunk: str | None = None,
    shard: str | None = None,
    trace: Names = (),
    json: Json = False,
) -> None:
    """Write a store again with chunks and shards of another size.

    Parameters
    ----------
    store
        A folder, a zip, or an address.
    out
        A new path.
    chunk
        Largest chunk before compression, such as 1MB: what one read fetches.
    shard
        Largest file before compression, such as 256MB.
    trace
        Copy this trace; may be repeated. All by default.
    """
    from dit_lens.engine.disk import parse_size
    from dit_lens_stores import select_into

    sizes = {name: None if text is None else parse_size(text) for name, text in (("chunk", chunk), ("shard", shard))}
    copied = select_into(store, out, traces=trace, chunk_bytes=sizes["chunk"], shard_bytes=sizes["shard"])
    _tell({"store": str(out), "traces": list(copied)}, json)


def _tell(record: dict[str, Any], json: bool) -> None:
    if json:
        show_json(record)
        return
    for trace in record["traces"]:
        show_line(f"trace    {trace}")
    show_line(f"store    {record['store']}")


def _show(report: Report) -> None:
    show_line(f"store       {report.store}")
    show_line(f"checked     {report.traces} traces, {report.events} events, {report.files} files, {_size(report)}")
    if report.sums:
        show_line(f"hashes      {report.sums} files compared with the list in the store")
    for name, entries in (("unfinished", report.unfinished), ("leftover", report.leftovers), ("bad", report.problems)):
        for entry in entries:
            show_line(f"{name:11} {entry}")
    if report.ok:
        show_line("all is well")


def _size(report: Report) -> str:
    from dit_lens.engine.disk import format_size

    return format_size(report.bytes)


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "store": report.store,
        "ok": report.ok,
        "traces": report.traces,
        "events": report.events,
        "files": report.files,
        "bytes": report.bytes,
        "hashes": report.sums,
        "unfinished": list(report.unfinished),
        "leftovers": list(report.leftovers),
        "problems": [problem.as_json() for problem in report.problems],
    }

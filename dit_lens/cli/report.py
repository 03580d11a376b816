"""``dit-lens report``: one self-contained page about results, which opens from disk and can be mailed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict

from dit_lens.cli.failures import BadOption
from dit_lens.cli.output import Json, show_json, show_line

if TYPE_CHECKING:
    from dit_lens.report import Report

__all__ = ["EXAMPLES", "ReportOptions", "ReportRecord", "report", "show_page", "write_page"]

EXAMPLES = """Examples:
  dit-lens report runs/maze/energy.zarr --store runs/maze.zarr -o runs/maze/report.html
  dit-lens report runs/maze/energy.zarr runs/maze/trajectory.zarr --store runs/maze.zarr -o report.html --cap 10MB
  dit-lens report runs/noise/noise.zarr -o noise.html
  dit-lens report runs/big/energy.zarr --store runs/big.zarr --bundle runs/big/report
"""


class ReportOptions(BaseModel):
    """Everything that ``report`` reads from its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="The page, such as report.html.")] = None
    bundle: Annotated[
        Path | None,
        Parameter(help="Folder for a page with all of its data in files beside it, instead of --out; needs a server."),
    ] = None
    store: Annotated[
        str | None,
        Parameter(help="Store that the results were made from: for manifests, frames and edits."),
    ] = None
    cap: Annotated[
        str | None,
        Parameter(help="Most that the page may take, 30MB if not given; what is dropped for it is told."),
    ] = None
    decode: Annotated[
        bool,
        Parameter(
            negative="--no-decode",
            help="Decode the last latents of a store without videos, if nothing else shows the frames.",
        ),
    ] = True
    json_: Json = False


class ReportRecord(BaseModel):
    """A page that was written: where it is, what is on it, and what is to be said of it."""

    model_config = ConfigDict(frozen=True)

    report: str
    bytes: int
    traces: tuple[str, ...]
    panels: dict[str, int]
    notes: tuple[str, ...]


def report(
    results: Annotated[tuple[str, ...], Parameter(negative=())],
    /,
    *,
    options: Annotated[ReportOptions | None, Parameter(name="*")] = None,
) -> None:
    """Write one self-contained page about results: maps over frames, matrices, films and curves, linked to each other.

    Parameters
    ----------
    results
        Results that `dit-lens analyze` or `dit-lens intervene` saved, of any probes.
    """
    options = options or ReportOptions()
    record = write_page(results, options)
    if options.json_:
        show_json(record.model_dump(mode="json"))
        return
    show_page(record)
    for note in record.notes:
        show_line(f"note     {note}")
    if options.bundle is not None:
        show_line(f"serve    python -m http.server --directory {options.bundle}")


def write_page(results: Sequence[str], options: ReportOptions) -> ReportRecord:
    """Make the page and tell what it holds."""
    from dit_lens.report import CAP, write_bundle, write_report

    listed, store, decode = list(results), options.store, options.decode
    if options.out is not None and options.bundle is None:
        cap = CAP if options.cap is None else options.cap
        return _record(write_report(listed, options.out, store=store, cap=cap, decode=decode), options.out)
    if options.bundle is not None and options.out is None:
        if options.cap is not None:
            raise BadOption(
                f"a bundle has no cap; got --bundle and --cap {options.cap}, allowed one of them; leave --cap out, or "
                f"write -o report.html"
            )
        return _record(write_bundle(listed, options.bundle, store=store, decode=decode), options.bundle / "index.html")
    got = "neither" if options.out is None else "both"
    raise BadOption(
        f"a report has one place; got {got} of --out and --bundle, allowed one of them; write -o report.html"
    )


def show_page(record: ReportRecord) -> None:
    """Write where the page is, and what is on it."""
    from dit_lens.engine.disk import format_size

    panels = ", ".join(f"{count} {name}" for name, count in record.panels.items() if count)
    show_line(f"report   {record.report}  ({format_size(record.bytes)}: {panels or 'nothing to draw'})")


def _record(made: Report, page: Path) -> ReportRecord:
    names = ("maps", "matrices", "films", "curves")
    files = [page, *(page.parent / name for name in made.files or ())]
    return ReportRecord(
        report=str(page),
        bytes=sum(file.stat().st_size for file in files),
        traces=tuple(run["trace"] for run in made.payload["runs"]),
        panels={name: len(made.payload[name]) for name in names},
        notes=tuple(made.payload["notes"]),
    )

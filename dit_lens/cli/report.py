"""``dit-lens report``: one self-contained page about results, which opens from disk and can be mailed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field

from dit_lens.cli.output import Json, show_json, show_line

if TYPE_CHECKING:
    from dit_lens.report import Report

__all__ = ["EXAMPLES", "ReportOptions", "ReportRecord", "report", "show_page", "write_page"]

EXAMPLES = """Examples:
  dit-lens report runs/maze/energy.zarr --store runs/maze.zarr -o runs/maze/report.html
  dit-lens report runs/maze/energy.zarr runs/maze/trajectory.zarr --store runs/maze.zarr -o report.html --cap 10MB
  dit-lens report runs/noise/noise.zarr -o noise.html
"""


class ReportOptions(BaseModel):
    """Everything that ``report`` reads from its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Annotated[Path, Parameter(name=["--out", "-o"], help="The page, such as report.html.")]
    store: Annotated[
        str | None,
        Parameter(help="Store that the results were made from: for manifests, frames and edits."),
    ] = None
    cap: Annotated[str, Parameter(help="Most that the page may take; what is dropped for it is told.")] = Field(
        default="30MB"
    )
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
    options: Annotated[ReportOptions, Parameter(name="*")],
) -> None:
    """Write one self-contained page about results: maps over frames, matrices, films and curves, linked to each other.

    Parameters
    ----------
    results
        Results that `dit-lens analyze` or `dit-lens intervene` saved, of any probes.
    """
    record = write_page(results, options)
    if options.json_:
        show_json(record.model_dump(mode="json"))
        return
    show_page(record)
    for note in record.notes:
        show_line(f"note     {note}")


def write_page(results: Sequence[str], options: ReportOptions) -> ReportRecord:
    """Make the page and tell what it holds."""
    from dit_lens.report import write_report

    made = write_report(list(results), options.out, store=options.store, cap=options.cap, decode=options.decode)
    return _record(made, options.out)


def show_page(record: ReportRecord) -> None:
    """Write where the page is, and what is on it."""
    from dit_lens.engine.disk import format_size

    panels = ", ".join(f"{count} {name}" for name, count in record.panels.items() if count)
    show_line(f"report   {record.report}  ({format_size(record.bytes)}: {panels or 'nothing to draw'})")


def _record(made: Report, out: Path) -> ReportRecord:
    names = ("maps", "matrices", "films", "curves")
    return ReportRecord(
        report=str(out),
        bytes=out.stat().st_size,
        traces=tuple(run["trace"] for run in made.payload["runs"]),
        panels={name: len(made.payload[name]) for name in names},
        notes=tuple(made.payload["notes"]),
    )

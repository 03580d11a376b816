"""``dit-lens demo``: the whole way once, on the model that comes with the package.

It traces tiny-wan on a maze with one route and on a fork with two, asks the energy and the trajectory probe, and writes
a report that shows both over the frames. Everything that it does can be done with ``trace``, ``analyze`` and
``report``; only the picture, what the model believed at each step, is its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field

from dit_lens.cli.analyze import FigureFormat, ResultRecord, analyze_one, show_result
from dit_lens.cli.output import Json, show_json, show_line
from dit_lens.cli.places import check_out, check_picture, check_result
from dit_lens.cli.records import RunRecord, show_units
from dit_lens.cli.report import ReportOptions, ReportRecord, show_page, write_page
from dit_lens.cli.runs import Settings, gather_captures, load_quietly, run_units, store_at
from dit_lens.cli.samples import Task, puzzle_sample, units_of

__all__ = ["DemoOptions", "DemoRecord", "demo"]

PROBES: dict[str, tuple[FigureFormat, ...]] = {"energy": ("png",), "trajectory": ()}
"""With the formats of their figures; the pictures of the trajectory are in the report."""
CAPTURES = ("x0.guided:raw",)
KINDS: tuple[Task, ...] = ("maze", "fork")


class DemoOptions(BaseModel):
    """Everything that ``demo`` reads from its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Annotated[Path, Parameter(help="Folder for the store, the result and the pictures.")] = Path("runs/demo")
    model: Annotated[str, Parameter(help="Another model of the same kind.")] = "tiny-wan"
    size: Annotated[int, Parameter(help="Cells along a side of the puzzles.")] = Field(default=5, ge=3, le=7)
    puzzle: Annotated[int, Parameter(help="Which of the unseen puzzles.")] = Field(default=0, ge=0)
    seed: Annotated[int, Parameter(help="Seed of the noise.")] = Field(default=0, ge=0)
    steps: Annotated[int, Parameter(help="Denoising steps.")] = Field(default=20, ge=1)
    json_: Json = False


class DemoRecord(BaseModel):
    """What the demo made, and where it is."""

    model_config = ConfigDict(frozen=True)

    run: RunRecord
    report: ReportRecord
    results: tuple[ResultRecord, ...]
    picture: str


def demo(*, options: Annotated[DemoOptions | None, Parameter(name="*")] = None) -> None:
    """Trace tiny-wan on a maze and on a fork, analyze its layers and its way to the answer, and write a report.

    Ends by printing where the report, the store, the results and the pictures are.
    """
    options = options or DemoOptions()
    record = _make(options)
    if options.json_:
        show_json(record.model_dump(mode="json"))
        return
    show_units(record.run)
    show_page(record.report)
    show_line(f"store    {record.run.store}")
    for result in record.results:
        show_result(result)
    show_line(f"picture  {record.picture}")


def _make(options: DemoOptions) -> DemoRecord:
    from dit_lens.puzzles.canvas import FRAMES
    from dit_lens.report import check_report_path

    path, picture, page = (options.out / name for name in ("demo.zarr", "x0.png", "report.html"))
    check_out(options.out)
    places = [check_result(options.out, probe, formats) for probe, formats in PROBES.items()]
    check_picture(picture, beside=places[0])
    if options.out.is_dir():
        check_report_path(page)
    units = units_of([puzzle_sample(kind, options.puzzle, size=options.size) for kind in KINDS], [options.seed])
    captures, store = gather_captures(CAPTURES, list(PROBES)), store_at(path)
    lens = load_quietly(options.model, as_json=options.json_)
    settings = Settings(steps=options.steps, frames=FRAMES)
    run = run_units(lens, units, settings, captures, path, store, as_json=options.json_)
    ids = [unit.trace_id for unit in units]
    results = tuple(_analyze(path, options, ids))
    report = write_page([result.result for result in results], ReportOptions(out=page, store=str(path)))
    _draw(results[-1], picture, ids)
    return DemoRecord(run=run, report=report, results=results, picture=str(picture))


def _analyze(store: Path, options: DemoOptions, traces: list[str]) -> Iterator[ResultRecord]:
    from dit_lens.probing import make_probe, prepare

    params = {"trajectory": {"model": options.model}}
    for name, formats in PROBES.items():
        probe = make_probe(name, params.get(name))
        yield analyze_one(prepare(store, probe, traces=traces), options.out, formats, as_json=options.json_)


def _draw(trajectory: ResultRecord, picture: Path, traces: list[str]) -> None:
    from dit_lens.cli.picture import draw_x0
    from dit_lens.probing import load_result

    draw_x0(load_result(trajectory.result), traces).savefig(picture, dpi=150)

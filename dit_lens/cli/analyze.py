"""``dit-lens analyze``: ask probes' questions of stores, and save each answer and its figures.

The work may be left to dask, or to several jobs: each runs the command with its ``--shard`` and leaves the states of
its chunks in ``--out``, and the same command with ``--combine`` makes the result of them.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field

from dit_lens.cli.failures import BadOption
from dit_lens.cli.numbers import part_of
from dit_lens.cli.output import Json, show_json, show_line
from dit_lens.cli.places import check_out, check_result
from dit_lens.cli.progress import Work, working_on
from dit_lens.errors import close_match

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens.probing import Analysis, AnyProbe

__all__ = [
    "EXAMPLES",
    "AnalyzeOptions",
    "FigureFormat",
    "ResultRecord",
    "ShardRecord",
    "analyze",
    "analyze_one",
    "prepare_all",
    "read_value",
    "ready_probes",
    "save_figures",
    "show_result",
]

EXAMPLES = """Examples:
  dit-lens analyze runs/maze.zarr --probe energy --out runs/maze
  dit-lens analyze runs/maze.zarr --probe energy --set energy.scale=raw --set energy.overlay=true --out runs/raw
  dit-lens analyze runs/clean.zarr runs/noised.zarr --probe energy --scheduler processes --out runs/both
  dit-lens analyze runs/big.zarr --probe energy --out runs/big --shard 0/8    # to 7/8, in any order
  dit-lens analyze runs/big.zarr --probe energy --out runs/big --combine
"""

FigureFormat = Literal["png", "svg", "pdf"]


class AnalyzeOptions(BaseModel):
    """Everything that ``analyze`` reads from its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Annotated[Path, Parameter(help="Folder for results and figures.")]
    probe: Annotated[
        tuple[str, ...], Parameter(help="Probe to run: NAME, DIST:NAME or ./FILE.py:CLASS; may be repeated.")
    ] = Field(min_length=1)
    set_: Annotated[
        tuple[str, ...],
        Parameter(name="--set", show_default=False, help="Parameter of a probe, as PROBE.KEY=VALUE; may be repeated."),
    ] = ()
    trace: Annotated[
        tuple[str, ...],
        Parameter(show_default=False, help="Trace to read; may be repeated. [default: all that are complete]"),
    ] = ()
    scheduler: Annotated[
        str | None,
        Parameter(help="Let dask read the chunks: threads, processes, or a cluster, as tcp://HOST:8786."),
    ] = None
    shard: Annotated[
        str | None,
        Parameter(help="Part I of N of all chunks, as I/N from 0/N on; leaves its state in --out and no result."),
    ] = None
    combine: Annotated[bool, Parameter(show_default=False, help="Make the result of all parts in --out.")] = False
    figures: Annotated[
        tuple[FigureFormat, ...],
        Parameter(show_default=False, help="Format of the figures; may be repeated. [default: png]"),
    ] = ("png",)
    json_: Json = False


class ResultRecord(BaseModel):
    """One probe's answer: where it is saved, and its figures."""

    model_config = ConfigDict(frozen=True)

    probe: str
    version: str
    result: str
    figures: tuple[str, ...]
    traces: tuple[str, ...]


class ShardRecord(BaseModel):
    """One probe's part: which one it is, and where its state lies."""

    model_config = ConfigDict(frozen=True)

    probe: str
    version: str
    shard: str
    state: str
    traces: tuple[str, ...]


def analyze(
    stores: Annotated[tuple[str, ...], Parameter(negative=())],
    /,
    *,
    options: Annotated[AnalyzeOptions, Parameter(name="*")],
) -> None:
    """Run probes over the traces of stores; saves one result and its figures for each probe.

    Parameters
    ----------
    stores
        Stores that `dit-lens trace` or `dit-lens demo` wrote: folders, zips or addresses. A trace whose id several of
        them hold is called STORE/ID.
    """
    _check_ways(options)
    check_out(options.out)
    analyses = prepare_all(stores, ready_probes(options.probe, options.set_), options)
    if options.shard is not None:
        shards = [_write_shard(analysis, options.shard, options) for analysis in analyses]
        _show(stores, "shards", shards, options.json_)
        return
    records = [
        analyze_one(analysis, options.out, options.figures, options, as_json=options.json_) for analysis in analyses
    ]
    _show(stores, "results", records, options.json_)


def prepare_all(stores: Sequence[str], probes: Sequence[AnyProbe], options: AnalyzeOptions) -> list[Analysis]:
    """Check every probe's place, traces and parts before the first of them runs."""
    from dit_lens.probing import prepare

    for probe in probes:
        check_result(options.out, probe.name, options.figures)
    analyses = [prepare(list(stores), probe, traces=options.trace or None) for probe in probes]
    for analysis in analyses:
        part_of(analysis.units, options.shard, "chunks")
        if options.combine:
            analysis.check_shards(options.out)
    return analyses


def analyze_one(
    analysis: Analysis,
    out: Path,
    formats: Sequence[FigureFormat] = ("png",),
    options: AnalyzeOptions | None = None,
    *,
    as_json: bool = False,
) -> ResultRecord:
    """Run one probe, or join its parts; save its result to ``out/NAME.zarr`` and its figures beside it."""
    from dit_lens.probing import save_result

    probe, path = analysis.probe, check_result(out, analysis.probe.name, formats)
    if options is not None and options.combine:
        result = analysis.join_shards(out)
    else:
        with _reading(analysis, as_json) as report:
            result = analysis.run(report, options.scheduler if options is not None else None)
    save_result(result, path)
    return ResultRecord(
        probe=probe.name,
        version=probe.version,
        result=str(path),
        figures=save_figures(probe, result, out, formats),
        traces=tuple(result.attrs["traces"]),
    )


def _write_shard(analysis: Analysis, shard: str, options: AnalyzeOptions) -> ShardRecord:
    number, _, count = shard.partition("/")
    with _reading(analysis, options.json_, f", part {shard}") as report:
        path = analysis.write_shard((int(number), int(count)), options.out, report, options.scheduler)
    probe, traces = analysis.probe, tuple(cut.trace_id for cut in analysis.cuts)
    return ShardRecord(probe=probe.name, version=probe.version, shard=shard, state=str(path), traces=traces)


def _reading(analysis: Analysis, as_json: bool, part: str = "") -> AbstractContextManager[Work]:
    what = f"probe {analysis.probe.name} on {len(analysis.cuts)} traces{part}"
    return working_on(what, "bytes", as_json=as_json)


def _check_ways(options: AnalyzeOptions) -> None:
    from dit_lens.probing.schedulers import check_scheduler

    if options.combine and (options.shard is not None or options.scheduler is not None):
        other = "--shard" if options.shard is not None else "--scheduler"
        raise BadOption(
            f"--combine reads no chunks; got {other} beside it, allowed one of the two; remove {other}, or --combine"
        )
    check_scheduler(options.scheduler)


def _show(
    stores: Sequence[str], name: str, records: Sequence[ResultRecord] | Sequence[ShardRecord], as_json: bool
) -> None:
    if as_json:
        show_json({"stores": list(stores), name: [record.model_dump(mode="json") for record in records]})
        return
    for record in records:
        if isinstance(record, ResultRecord):
            show_result(record)
        else:
            show_line(f"part     {record.state}  ({record.probe} {record.version}, {record.shard})")


def save_figures(probe: AnyProbe, result: xr.Dataset, out: Path, formats: Sequence[FigureFormat]) -> tuple[str, ...]:
    """Draw a result into ``out/NAME-FIGURE.FORMAT``; returns the paths."""
    from dit_lens.probing import draw_result

    figures = []
    for name, figure in draw_result(probe, result).items():
        for format_ in formats:
            figures.append(out / f"{probe.name}-{name}.{format_}")
            figure.savefig(figures[-1], dpi=150)
    return tuple(str(figure) for figure in figures)


def show_result(record: ResultRecord) -> None:
    """Write where a result and its figures are."""
    show_line(f"result   {record.result}  ({record.probe} {record.version}, {len(record.traces)} traces)")
    for figure in record.figures:
        show_line(f"picture  {figure}")


def ready_probes(names: Sequence[str], settings: Sequence[str]) -> list[AnyProbe]:
    """Find every probe and give it its parameters, before any of them runs."""
    from dit_lens.probing import get_probe, make_probe

    classes = {probe.name: probe for probe in map(get_probe, names)}
    if len(classes) < len(names):
        raise BadOption(f"--probe names one probe more than once; got {' '.join(names)}, allowed each once; remove one")
    params = _read_settings(settings, list(classes))
    return [make_probe(probe, params[name]) for name, probe in classes.items()]


def _read_settings(settings: Sequence[str], probes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Sort ``PROBE.KEY=VALUE`` by probe; a value that is JSON is read as such, anything else is text."""
    params: dict[str, dict[str, Any]] = {name: {} for name in probes}
    for setting in settings:
        target, equals, value = setting.partition("=")
        probe, dot, key = target.partition(".")
        if not (equals and dot and key):
            raise BadOption(
                f"--set cannot be read; got {setting!r}, allowed PROBE.KEY=VALUE; write it as energy.step=3"
            )
        if probe not in params:
            hint = close_match(probe, probes) or "; add --probe for it"
            raise BadOption(f"--set names a probe that does not run; got {probe!r}, allowed {', '.join(probes)}{hint}")
        params[probe][key] = read_value(value)
    return params


def read_value(text: str) -> Any:
    """The value of a parameter: as JSON if it is that, as text otherwise.

    Examples
    --------
    >>> read_value("3"), read_value("raw")
    (3, 'raw')
    """
    try:
        return json_module.loads(text)
    except ValueError:
        return text

"""``dit-lens analyze``: ask probes' questions of a store, and save each answer and its figures."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field

from dit_lens.cli.failures import BadOption
from dit_lens.cli.output import Json, show_json, show_line
from dit_lens.cli.places import check_out, check_result
from dit_lens.cli.progress import working_on
from dit_lens.errors import close_match

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens.probing import Analysis, AnyProbe

__all__ = [
    "EXAMPLES",
    "AnalyzeOptions",
    "FigureFormat",
    "ResultRecord",
    "analyze",
    "analyze_one",
    "prepare_all",
    "ready_probes",
    "save_figures",
    "show_result",
]

EXAMPLES = """Examples:
  dit-lens analyze runs/maze.zarr --probe energy --out runs/maze
  dit-lens analyze runs/maze.zarr --probe energy --set energy.scale=raw --set energy.overlay=true --out runs/raw
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


def analyze(store: Path, /, *, options: Annotated[AnalyzeOptions, Parameter(name="*")]) -> None:
    """Run probes over the traces of a store; saves one result and its figures for each probe.

    Parameters
    ----------
    store
        A store that `dit-lens trace` or `dit-lens demo` wrote.
    """
    check_out(options.out)
    analyses = prepare_all(store, ready_probes(options.probe, options.set_), options)
    records = [analyze_one(analysis, options.out, options.figures) for analysis in analyses]
    if options.json_:
        show_json({"store": str(store), "results": [record.model_dump(mode="json") for record in records]})
        return
    for record in records:
        show_result(record)


def prepare_all(store: Path, probes: Sequence[AnyProbe], options: AnalyzeOptions) -> list[Analysis]:
    """Check every probe's place and traces before the first of them runs."""
    from dit_lens.probing import prepare

    for probe in probes:
        check_result(options.out, probe.name, options.figures)
    return [prepare(store, probe, traces=options.trace or None) for probe in probes]


def analyze_one(analysis: Analysis, out: Path, formats: Sequence[FigureFormat] = ("png",)) -> ResultRecord:
    """Run one probe, save its result to ``out/NAME.zarr`` and its figures beside it."""
    from dit_lens.probing import save_result

    probe, path = analysis.probe, check_result(out, analysis.probe.name, formats)
    with working_on(f"probe {probe.name} on {len(analysis.cuts)} traces") as report:
        result = analysis.run(progress=report)
    save_result(result, path)
    return ResultRecord(
        probe=probe.name,
        version=probe.version,
        result=str(path),
        figures=save_figures(probe, result, out, formats),
        traces=tuple(result.attrs["traces"]),
    )


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
        params[probe][key] = _read_value(value)
    return params


def _read_value(text: str) -> Any:
    try:
        return json_module.loads(text)
    except ValueError:
        return text

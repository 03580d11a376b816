"""``dit-lens plan``: what a trace would cost, without running it and without loading the model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict

from dit_lens.cli.batches import group_units
from dit_lens.cli.edits import course_of
from dit_lens.cli.extras import check_settings
from dit_lens.cli.options import RequestOptions, read_budget, settings_of, units_of_options
from dit_lens.cli.output import show_json, show_line, show_table
from dit_lens.cli.places import check_out
from dit_lens.cli.progress import working_on
from dit_lens.cli.runs import gather_captures, load_quietly

if TYPE_CHECKING:
    from dit_lens import Capture, Lens
    from dit_lens.cli.batches import Group
    from dit_lens.engine.calibration import Rates
    from dit_lens.estimate import Estimate

__all__ = ["EXAMPLES", "PlanOptions", "PlanRecord", "plan"]

EXAMPLES = """Examples:
  dit-lens plan tiny-wan --task maze --seed 0:8 --capture block.out
  dit-lens plan Wan-AI/Wan2.2-T2V-A14B-Diffusers --prompt "The ball rolls." --capture block.out --budget 500GB
"""


class PlanOptions(RequestOptions):
    """Everything that ``plan`` reads from its options."""

    out: Annotated[Path | None, Parameter(help="Where the store would be: its disk is measured.")] = None


class PlanRecord(BaseModel):
    """What a command would cost: one call of the model in detail, and all of its traces together."""

    model_config = ConfigDict(frozen=True)

    model: str
    family: str
    traces: int
    calls: int
    bytes: int
    files: int
    events: int
    flops: int
    free_bytes: int
    budget: int | None
    arrays: tuple[dict[str, Any], ...]
    memory: dict[str, int]
    edits: tuple[str, ...] = ()
    slow_down: dict[str, float]
    rates: dict[str, Any]
    assumptions: tuple[str, ...]


def plan(model: str, /, *, options: Annotated[PlanOptions | None, Parameter(name="*")] = None) -> None:
    """Say what a trace would take: bytes, files, events, memory and time. Runs nothing and loads no weights.

    Parameters
    ----------
    model
        `tiny-wan`, a local diffusers folder, or a Hub id, of which only configurations are fetched.
    """
    options = options or PlanOptions()
    units, budget = units_of_options(options), read_budget(options.budget)
    captures, settings = gather_captures(options.capture, options.for_), settings_of(options)
    if options.out is not None:
        check_out(options.out)
    lens = load_quietly(model, dtype=options.dtype, device=options.device, weights=False, as_json=options.json_)
    check_settings(lens, settings.extra)
    record = _estimate(lens, group_units(units, settings, options.batch), captures, options, budget)
    if options.json_:
        show_json(record.model_dump(mode="json"))
    else:
        _show(record)
    _refuse(record)


def _refuse(record: PlanRecord) -> None:
    """End as the trace would that is planned, after everything is said."""
    from dit_lens.engine.disk import refuse_over_budget

    refuse_over_budget(record.bytes, record.budget)


def _estimate(
    lens: Lens, groups: Sequence[Group], captures: Sequence[Capture], options: PlanOptions, budget: int | None
) -> PlanRecord:
    """One call is shown in detail, the first; the others are added up."""
    from dit_lens.engine.disk import free_bytes
    from dit_lens.estimate import ASSUMPTIONS, estimate

    course = course_of(options)
    calls = [(group, estimate(lens, group.requests[0], captures, batch=len(group.units), **course)) for group in groups]
    with working_on("measure this machine", as_json=options.json_):
        rates = _measure(lens, groups[0], captures, options)
    first = estimate(lens, groups[0].requests[0], captures, batch=len(groups[0].units), rates=rates, **course)
    edits = str(lens.plan_edits(groups[0].requests[0], **course)).splitlines() if course else ()
    return PlanRecord(
        model=lens.origin.model,
        family=lens.family.name,
        traces=sum(len(group.units) for group, _ in calls),
        calls=len(calls),
        bytes=sum(call.bytes for _, call in calls),
        files=sum(call.files for _, call in calls),
        events=sum(call.events for _, call in calls),
        flops=sum(call.flops for _, call in calls),
        free_bytes=free_bytes(options.out or Path()),
        budget=budget,
        arrays=tuple(asdict(array) for array in first.arrays),
        memory={**asdict(first.memory), "total": first.memory.total},
        edits=tuple(edits),
        slow_down=_slow_down(first),
        rates=asdict(rates),
        assumptions=ASSUMPTIONS,
    )


def _measure(lens: Lens, group: Group, captures: Sequence[Capture], options: PlanOptions) -> Rates:
    from math import prod

    from dit_lens.engine.calibration import calibrate

    _, layout, _ = lens.plan(group.requests[0], captures)
    size = {"width": layout.channels, "tokens": prod(layout.tokens)}
    return calibrate(options.device or "cpu", layout.dtype, **size, beside=options.out)


def _slow_down(estimate: Estimate) -> dict[str, float]:
    return {} if estimate.slow_down is None else asdict(estimate.slow_down)


def _show(record: PlanRecord) -> None:
    from dit_lens.engine.disk import format_size as size

    rows = [
        [array["name"], _extents(array["dims"]), array["dtype"], array["events"], array["files"], size(array["bytes"])]
        for array in record.arrays
    ]
    show_table(("array", "dims", "dtype", "events", "files", "bytes"), rows)
    calls = f"{record.traces} traces in {record.calls} calls of {record.model} ({record.family})"
    within = "" if record.budget is None else f", budget {size(record.budget)}"
    show_line(f"traces   {calls}; the arrays above are those of one call")
    show_line(f"bytes    {size(record.bytes)} before compression, which makes it smaller")
    show_line(f"disk     {size(record.free_bytes)} free{within}")
    show_line(f"files    {record.files:,}, with {record.events:,} events")
    memory = {name: size(record.memory[name]) for name in record.memory}
    parts = ", ".join(f"{name} {size}" for name, size in memory.items() if name != "total")
    show_line(f"memory   up to {memory['total']} on the host for the trace itself ({parts}); the model comes on top")
    for edit in record.edits:
        show_line(f"edit     {edit}")
    show_line(f"flops    {record.flops:.3g} of the denoisers")
    _show_time(record)


def _show_time(record: PlanRecord) -> None:
    slow, rates = record.slow_down, record.rates
    seconds = ", ".join(f"{name} {slow[name]:.3g} s" for name in ("model", "capture", "write"))
    show_line(f"time     {slow['factor']:.2f} times as long as without a trace, as an estimate (a call: {seconds})")
    measured = (
        f"{rates['flops'] / 1e9:,.0f} GFLOP/s in {rates['dtype']} on {rates['device']}, copies "
        f"{rates['bandwidth'] / 1e9:,.1f} GB/s, the writer {rates['writing'] / 1e6:,.0f} MB/s"
    )
    show_line(f"measured {measured}")
    for assumption in record.assumptions:
        show_line(f"assumed  {assumption}")


def _extents(dims: dict[str, int]) -> str:
    return " x ".join(f"{dim} {extent}" for dim, extent in dims.items())

"""Run units into one store: the part that ``trace`` and ``demo`` share.

Everything that can be wrong is found before the first byte is written: the store's place, the captures, the request of
every unit against the model, and the bytes of all that is still to be traced against the budget and the disk. A unit
that is complete in the store is left out, so the same command resumes; of a batch all rows run again, and the missing
ones are written. If a unit was made with other settings, the command is refused and the first difference named: the
two would be taken for one another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from dit_lens.cli.batches import Group, group_units
from dit_lens.cli.extras import check_settings
from dit_lens.cli.failures import BadOption, OtherSettings, naming_pipeline
from dit_lens.cli.places import check_out
from dit_lens.cli.progress import Tally, working_on
from dit_lens.cli.records import RunRecord, UnitRecord, judge
from dit_lens.generation import GUIDANCE

if TYPE_CHECKING:
    from dit_lens import Capture, Generation, Lens, Result
    from dit_lens.captures import Resolved
    from dit_lens.cli.samples import Unit
    from dit_lens.engine.course import Departures
    from dit_lens.engine.layout import Layout
    from dit_lens_stores import Store

__all__ = [
    "Settings",
    "gather_captures",
    "hush_loaders",
    "load_quietly",
    "refuse_other_settings",
    "run_units",
    "store_at",
]

PLAIN: Departures = {}
"""The course of a plain run."""
DEFAULT_CAPTURES = ("block.out:energy",)


class Settings(BaseModel):
    """What all units of one command share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    guidance: float = GUIDANCE
    guidance_2: float | None = None
    negative_prompt: str = ""
    height: int | None = None
    width: int | None = None
    frames: int | None = None
    extra: dict[str, Any] = {}

    def request(self, unit: Unit) -> Generation:
        """The generation that one unit asks for."""
        from dit_lens import Generation

        shared = {name: getattr(self, name) for name in type(self).model_fields}  # pictures in it stay what they are
        return Generation(prompt=unit.sample.prompt, image=unit.sample.image, seed=unit.seed, **shared)


def gather_captures(captures: Sequence[str], probes: Sequence[str]) -> tuple[Capture, ...]:
    """Return the captures that were named and those that the named probes need, each once.

    Examples
    --------
    >>> [capture.array for capture in gather_captures([], ["energy"])]
    ['block.out.energy']
    """
    from dit_lens.captures import read_captures

    if not probes:
        return read_captures(captures or DEFAULT_CAPTURES)
    from dit_lens.probing import captures_for

    named = read_captures(captures) if captures else ()
    whole = {capture.array for capture in named if not capture.select.axes}
    needed = [(name, capture) for name in probes for capture in captures_for(name) if capture.array not in whole]
    _refuse_different_parts([("--capture", capture) for capture in named] + [(f"--for {n}", c) for n, c in needed])
    return read_captures([*named, *(capture for _, capture in needed)] or DEFAULT_CAPTURES)


def _refuse_different_parts(wishes: Sequence[tuple[str, Capture]]) -> None:
    """An array holds one selection; what a probe selects cannot be joined by hand, but all of it serves everyone."""
    first: dict[str, tuple[str, Capture]] = {}
    for option, capture in wishes:
        other, twin = first.setdefault(capture.array, (option, capture))
        if twin != capture:
            all_of_it = f"{capture.site}:{capture.reduction}"
            raise BadOption(
                f"{other} and {option} record different parts of {capture.array}; got '{twin}' and '{capture}', "
                f"allowed one selection; write --capture {all_of_it} to record all of it, which holds both"
            )


def store_at(out: Path) -> Store | None:
    """Return the store at ``out``, or None where one can be made; raise if anything else is there."""
    from dit_lens_stores import create_store

    free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not free:
        return create_store(out)
    check_out(out)
    return None


def hush_loaders() -> None:
    """Keep diffusers and transformers from writing to stderr, which is for progress and for what is wrong.

    It has to come before the first import of them, and does not overrule what the user set.
    """
    quiet = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    for name, value in quiet.items():
        os.environ.setdefault(name, value)


def load_quietly(
    model: str, *, dtype: str | None = None, device: str | None = None, weights: bool = True, as_json: bool = False
) -> Lens:
    """Load a model without the loaders' own messages."""
    hush_loaders()
    from dit_lens import load

    with working_on(f"load {model}", as_json=as_json):
        return load(model, dtype=dtype, device=device, weights=weights)


def run_units(
    lens: Lens,
    units: Sequence[Unit],
    settings: Settings,
    captures: Sequence[Capture],
    out: Path,
    store: Store | None,
    *,
    batch: int = 1,
    budget: int | None = None,
    course: Departures = PLAIN,
    as_json: bool = False,
) -> RunRecord:
    """Trace every unit that is not complete yet, after all of them were checked.

    Parameters
    ----------
    lens : Lens
    units : sequence of Unit
    settings : Settings
    captures : sequence of Capture
    out : Path
        The store.
    store : Store or None
        What ``store_at(out)`` returned.
    batch : int
        Units in one call of the model.
    budget : int, optional
        Bytes before compression that all units together may take, those aside that are complete.
    course : mapping
        How the runs depart from the plain one; see ``Lens.generate``.
    as_json : bool
        Whether progress is shown as JSON lines.

    Returns
    -------
    RunRecord

    Raises
    ------
    OtherSettings
        If a complete trace of the same name was made with other settings.
    OverBudget, DiskTooSmall
        If what is still to be traced would take more than the budget, or than the disk has.
    """
    check_settings(lens, settings.extra)
    groups, done = group_units(units, settings, batch), _complete(units, store)
    planned, steps = _check_groups(lens, groups, captures, done, store, course)
    _check_room(planned, budget, out, [unit.trace_id for unit in units if unit.trace_id not in done])
    with working_on("trace", "steps", as_json=as_json) as work:
        tally = Tally(work, sum(steps), len(steps))
        records = {
            unit.trace_id: record
            for group in groups
            for unit, record in zip(
                group.units, _run_group(lens, group, captures, out, done, course, tally), strict=True
            )
        }
    return RunRecord(store=str(out), units=tuple(records[unit.trace_id] for unit in units))


def _complete(units: Sequence[Unit], store: Store | None) -> set[str]:
    names = (unit.trace_id for unit in units)
    return {name for name in names if store and name in store and store.status(name) == "complete"}


def _check_groups(
    lens: Lens,
    groups: Sequence[Group],
    captures: Sequence[Capture],
    done: set[str],
    store: Store | None,
    course: Departures,
) -> tuple[int, list[int]]:
    """Check every request, and what is complete against it; returns the bytes and the steps of what is missing."""
    from dit_lens.engine.arrays import array_specs
    from dit_lens.engine.disk import planned_bytes

    identity, planned, steps = lens.identity, 0, []
    for group in groups:
        for row, (unit, request) in enumerate(zip(group.units, group.requests, strict=True)):
            _, layout, resolved = lens.plan(request, captures, batch=len(group.units), **course)
            if store and unit.trace_id in done:
                departs = _course_facts(lens, request, course)
                facts = {**identity, **_facts(lens, request, layout, resolved), **departs, "batch": group.place(row)}
                refuse_other_settings(unit.trace_id, store[unit.trace_id].manifest, facts)
            else:
                planned += planned_bytes(array_specs(resolved, layout, lens.family.decode is not None))
        if _missing(group, done):
            steps.append(len(layout.running))
    return planned, steps


def _missing(group: Group, done: set[str]) -> list[int]:
    return [row for row, unit in enumerate(group.units) if unit.trace_id not in done]


def _check_room(planned: int, budget: int | None, out: Path, missing: Sequence[str]) -> None:
    """Traces that were begun before keep what they have, and it will not be written again."""
    from dit_lens.engine.disk import check_free, refuse_over_budget

    refuse_over_budget(planned, budget)
    begun = sum(file.stat().st_size for name in missing for file in (out / name).rglob("*") if file.is_file())
    if planned > begun:
        check_free(out, planned - begun)


def _facts(lens: Lens, request: Generation, layout: Layout, resolved: Sequence[Resolved]) -> dict[str, object]:
    """What makes two traces of one name the same, the model aside."""
    from dit_lens.manifest import request_manifest

    named = sorted(str(selected.capture) for selected in resolved)
    return {**request_manifest(request, lens.check(request)), "dtype": layout.dtype, "captures": named}


def _course_facts(lens: Lens, request: Generation, course: Departures) -> dict[str, object]:
    """What a manifest says of a course; of a plain run, that there is none."""
    if not course:
        return {"edits": [], "resets": None, "start": None, "stop_after": None}
    return lens.plan_edits(request, **course).facts


def refuse_other_settings(trace_id: str, manifest: Mapping[str, object], facts: Mapping[str, object]) -> None:
    """Raise if a manifest differs from what is asked for now; the first difference is named.

    Examples
    --------
    >>> refuse_other_settings("a", {"steps": 20, "sigmas": []}, {"steps": 20})
    >>> refuse_other_settings("a", {"steps": 20}, {"steps": 10})
    Traceback (most recent call last):
    ...
    dit_lens.cli.failures.OtherSettings: trace 'a' is complete with other settings; got steps 10, allowed 20; ...
    """
    for name, wanted in facts.items():
        there = manifest.get(name)
        there = sorted(there) if name == "captures" and isinstance(there, list) else there
        if there != wanted:
            shown = f"{name} {wanted}, allowed {there}"
            if name in ("weights_sha256", "components_sha256"):
                shown = f"other {name.removesuffix('_sha256')}, allowed the same"
            raise OtherSettings(
                f"trace '{trace_id}' is complete with other settings; got {shown}; choose another --out, "
                "or remove the store to trace again"
            )


def _run_group(
    lens: Lens,
    group: Group,
    captures: Sequence[Capture],
    out: Path,
    done: set[str],
    course: Departures,
    tally: Tally,
) -> tuple[UnitRecord, ...]:
    """Run a group if a trace of it is missing; one record a unit."""
    missing = _missing(group, done)
    traced = _trace(lens, group, captures, out, missing, course, tally) if missing else ()
    results = dict(zip(missing, traced, strict=True))
    return tuple(judge(unit, out, group.place(row), results.get(row)) for row, unit in enumerate(group.units))


def _trace(
    lens: Lens,
    group: Group,
    captures: Sequence[Capture],
    out: Path,
    rows: Sequence[int],
    course: Departures,
    tally: Tally,
) -> tuple[Result, ...]:
    out.parent.mkdir(parents=True, exist_ok=True)
    names = [unit.trace_id for unit in group.units]
    tell = tally.observer(names[rows[0]] + (f" and {len(rows) - 1} more" if len(rows) > 1 else ""))
    with naming_pipeline():
        if len(names) == 1:
            return (lens.trace(group.requests[0], captures, out, trace_id=names[0], on_progress=tell, **course),)
        return lens.trace_batch(group.requests, captures, out, trace_ids=names, on_progress=tell, only=rows, **course)

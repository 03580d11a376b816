"""Run units into one store: the part that ``trace`` and ``demo`` share.

Everything that can be wrong is found before the first byte is written: the store's place, the captures, and the request
of every unit against the model. A unit that is complete in the store is left out, so the same command resumes. If it
was made with other settings, the command is refused and the first difference named: the two would be taken for one
another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from dit_lens.cli.failures import BadOption, OtherSettings
from dit_lens.cli.output import show_json, show_line
from dit_lens.cli.places import check_out
from dit_lens.cli.progress import working_on

if TYPE_CHECKING:
    from dit_lens import Capture, Generation, Lens
    from dit_lens.cli.samples import Unit
    from dit_lens_stores import Store, Trace

__all__ = [
    "RunRecord",
    "Settings",
    "UnitRecord",
    "gather_captures",
    "hush_loaders",
    "load_quietly",
    "open_trace",
    "refuse_other_settings",
    "run_units",
    "show_run",
    "show_units",
    "store_at",
]

DEFAULT_CAPTURES = ("block.out:energy",)


class Settings(BaseModel):
    """What all units of one command share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    guidance: float = 3.0
    guidance_2: float | None = None
    negative_prompt: str = ""
    height: int | None = None
    width: int | None = None
    frames: int | None = None

    def request(self, unit: Unit) -> Generation:
        """The generation that one unit asks for."""
        from dit_lens import Generation

        return Generation(prompt=unit.sample.prompt, image=unit.sample.image, seed=unit.seed, **self.model_dump())


class UnitRecord(BaseModel):
    """What became of one unit; ``solved`` and ``coverage`` only where a puzzle's rules can judge the video."""

    model_config = ConfigDict(frozen=True)

    trace: str
    seed: int
    status: Literal["complete", "skipped"]
    seconds: float | None
    solved: bool | None = None
    coverage: float | None = None


class RunRecord(BaseModel):
    """What one command traced, and where it is."""

    model_config = ConfigDict(frozen=True)

    store: str
    units: tuple[UnitRecord, ...]


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


def load_quietly(model: str, *, dtype: str | None = None, device: str | None = None) -> Lens:
    """Load a model without the loaders' own messages."""
    hush_loaders()
    from dit_lens import load

    return load(model, dtype=dtype, device=device)


def run_units(
    lens: Lens, units: Sequence[Unit], settings: Settings, captures: Sequence[Capture], out: Path, store: Store | None
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

    Returns
    -------
    RunRecord

    Raises
    ------
    OtherSettings
        If a complete trace of the same name was made with other settings.
    """
    done = {
        unit.trace_id
        for unit in units
        if store and unit.trace_id in store and store.status(unit.trace_id) == "complete"
    }
    for unit in units:
        facts = _facts(lens, settings.request(unit), captures)
        if store and unit.trace_id in done:
            refuse_other_settings(unit.trace_id, store[unit.trace_id].manifest, facts)
    records = [
        _judge(unit, out, None) if unit.trace_id in done else _run(lens, unit, settings, captures, out)
        for unit in units
    ]
    return RunRecord(store=str(out), units=tuple(records))


def _facts(lens: Lens, request: Generation, captures: Sequence[Capture]) -> dict[str, object]:
    """What makes two traces of one name the same; raises if the model cannot run the request."""
    from dit_lens.manifest import request_manifest

    size, layout, resolved = lens.plan(request, captures)
    named = sorted(str(selected.capture) for selected in resolved)
    return {**lens.identity, **request_manifest(request, size), "dtype": layout.dtype, "captures": named}


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
            shown = (
                "other weights, allowed the same" if name == "weights_sha256" else f"{name} {wanted}, allowed {there}"
            )
            raise OtherSettings(
                f"trace '{trace_id}' is complete with other settings; got {shown}; choose another --out, "
                "or remove the store to trace again"
            )


def _run(lens: Lens, unit: Unit, settings: Settings, captures: Sequence[Capture], out: Path) -> UnitRecord:
    out.parent.mkdir(parents=True, exist_ok=True)
    with working_on(f"trace {unit.trace_id}, {settings.steps} steps") as report:
        result = lens.trace(settings.request(unit), captures, out, trace_id=unit.trace_id, on_step=report)
    return _judge(unit, out, result.seconds)


def _judge(unit: Unit, out: Path, seconds: float | None) -> UnitRecord:
    """Score the stored video by the rules of the puzzle, if there is a puzzle."""
    record = UnitRecord(
        trace=unit.trace_id, seed=unit.seed, status="skipped" if seconds is None else "complete", seconds=seconds
    )
    trace: Trace = open_trace(out, unit.trace_id)
    if unit.sample.maze is None or "video" not in trace:
        return record
    from dit_lens.puzzles import draw_frame, score_maze

    score = score_maze(trace["video"].values, draw_frame(unit.sample.maze))
    return record.model_copy(update={"solved": score.solved, "coverage": score.coverage})


def open_trace(out: Path, trace_id: str) -> Trace:
    """Open one complete trace of a store."""
    from dit_lens_stores import open_store

    return open_store(out)[trace_id]


def show_run(record: RunRecord, *, as_json: bool) -> None:
    """Write what was traced to stdout."""
    if as_json:
        show_json(record.model_dump(mode="json"))
        return
    show_units(record)
    show_line(f"store    {record.store}")


def show_units(record: RunRecord) -> None:
    """Write one line a unit."""
    for unit in record.units:
        took = "already there" if unit.seconds is None else f"{unit.seconds:.1f} s"
        solved = {True: ", solved", False: ", not solved", None: ""}[unit.solved]
        show_line(f"trace    {unit.trace}  ({took}{solved})")

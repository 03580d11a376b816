"""What became of the units of a command: seconds, waiting, and the verdict where the rules of a puzzle give one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from dit_lens.cli.output import show_json, show_line

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dit_lens import Result
    from dit_lens.cli.samples import Unit
    from dit_lens.puzzles import Puzzle
    from dit_lens_stores import Trace

__all__ = ["RunRecord", "UnitRecord", "judge", "open_trace", "show_run", "show_units"]


class UnitRecord(BaseModel):
    """What became of one unit; the verdict and the score only where a puzzle's rules can judge the video.

    ``seconds`` are those of the call of the model, which the rows of a batch share; ``waited`` are those of it in which
    the model stood still because the writer could not keep up. ``anew`` says why an earlier, unfinished recording was
    dropped.
    """

    model_config = ConfigDict(frozen=True)

    trace: str
    seed: int
    status: Literal["complete", "skipped"]
    seconds: float | None
    waited: float | None = None
    batch: dict[str, int] | None = None
    anew: str | None = None
    solved: bool | None = None
    score: float | None = None
    dimensions: dict[str, float] | None = None
    answer: str | None = None


class RunRecord(BaseModel):
    """What one command traced, and where it is."""

    model_config = ConfigDict(frozen=True)

    store: str
    units: tuple[UnitRecord, ...]


def judge(unit: Unit, out: Path, place: dict[str, int] | None, result: Result | None) -> UnitRecord:
    """Score the stored video by the rules of the puzzle, if there is a puzzle."""
    record = UnitRecord(
        trace=unit.trace_id,
        seed=unit.seed,
        status="skipped" if result is None else "complete",
        seconds=None if result is None else result.seconds,
        waited=None if result is None else result.waited,
        batch=place,
        anew=None if result is None else result.anew,
    )
    trace: Trace = open_trace(out, unit.trace_id)
    if unit.sample.puzzle is None or "video" not in trace:
        return record
    return record.model_copy(update=_verdict(unit.sample.puzzle, trace["video"].values))


def _verdict(puzzle: Puzzle, video: npt.NDArray[np.uint8]) -> dict[str, object]:
    """Nothing for a video of another size or length: it is what was asked for, but no answer to the puzzle."""
    from dit_lens.puzzles import BadPuzzle

    try:
        score = puzzle.score(video)
    except BadPuzzle:
        return {}
    return {
        "solved": score.solved,
        "score": score.overall,
        "dimensions": dict(score.dimensions),
        "answer": score.answer,
    }


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
        show_line(f"trace    {unit.trace}  ({_took(unit)}{_judged(unit)})")
        if unit.anew:
            show_line(f"anew     {unit.trace}  ({unit.anew})")


def _judged(unit: UnitRecord) -> str:
    if unit.solved is None:
        return ""
    return ", solved" if unit.solved else f", not solved, score {unit.score:.2f}"


def _took(unit: UnitRecord) -> str:
    if unit.seconds is None:
        return "already there"
    batch = f" for a batch of {unit.batch['size']}" if unit.batch else ""
    return f"{unit.seconds:.1f} s{batch}, {unit.waited or 0.0:.1f} s of it waiting for the writer"

"""What a benchmark shows and leaves behind: progress while it runs, then table and scores, on stdout and in files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from dit_lens.cli.failures import BadOption, naming_pipeline
from dit_lens.cli.output import show_json, show_line
from dit_lens.cli.progress import Piece, working_on

if TYPE_CHECKING:
    from dit_lens.bench import Bench, Call, Result, Table

__all__ = ["BenchRecord", "read_bench", "run_calls", "show_bench"]


class BenchRecord(BaseModel):
    """What a benchmark found, and where it is; ``seconds`` are those of the calls that this command ran.

    ``table`` is None if nothing has scored the videos yet; ``text`` is the same table for a reader.
    """

    model_config = ConfigDict(frozen=True)

    model: str | None
    runs: int
    already_there: int = 0
    seconds: float = 0.0
    table: dict[str, Any] | None
    text: str | None
    out: str | None
    scores: str | None = None
    videos: str | None = None


def read_bench(scores: Sequence[Path], out: Path | None) -> BenchRecord:
    """The table of scores that VBVR-EvalKit, or an earlier benchmark, wrote."""
    from dit_lens.bench import make_table, read_scores

    results = read_scores(scores)
    table = make_table(results)
    if out is not None:
        _check_table(out / "table.json")
        _write_table(table, out)
    place = None if out is None else str(out)
    return BenchRecord(model=None, runs=len(results), table=table.as_dict(), text=table.text(), out=place)


def run_calls(bench: Bench, out: Path, *, as_json: bool = False) -> BenchRecord:
    """Run what is missing, and write scores and table of all that was asked for."""
    from dit_lens.bench import make_table, write_scores

    missing = [call for call in bench.calls if bench.missing(call)]
    runs = sum(len(bench.missing(call)) for call in missing)
    results = _run_all(bench, missing, runs, as_json)
    every = [result for rows in results.values() for result in rows]
    scored = any(result.overall is not None for result in every)
    table, model = make_table(every) if scored else None, bench.lens.origin.model
    if table is not None:
        write_scores(every, out / "scores.json", model)
        _write_table(table, out)
    return BenchRecord(
        model=model,
        runs=len(every),
        already_there=len(every) - runs,
        seconds=sum(results[call][0].seconds or 0.0 for call in missing),
        table=None if table is None else table.as_dict(),
        text=None if table is None else table.text(),
        out=str(out),
        scores=None if table is None else str(out / "scores.json"),
        videos=None if bench.videos is None else str(bench.videos),
    )


def show_bench(record: BenchRecord, *, as_json: bool) -> None:
    """Write the table and where everything is to stdout."""
    if as_json:
        show_json(record.model_dump(mode="json", exclude={"text"}))
        return
    if record.text is not None:
        show_line(f"{record.text}\n")
    there = f", {record.already_there} of them already there" if record.already_there else ""
    show_line(f"runs     {record.runs}{there}" + (f", {record.seconds:.1f} s" if record.seconds else ""))
    for name in ("out", "scores", "videos"):
        if getattr(record, name) is not None:
            show_line(f"{name:8} {getattr(record, name)}")
    if record.text is None:
        show_line("next     score the videos with VBVR-EvalKit, and read its files by `dit-lens bench --scores FILE`")


def _row_of(call: Call) -> str:
    return ":".join(filter(None, (call.question.task, call.question.variant)))


def _run_all(bench: Bench, missing: Sequence[Call], runs: int, as_json: bool) -> dict[Call, tuple[Result, ...]]:
    """The results of all calls; what is there is no progress. A row of the table is a piece of the work."""
    rows, todo = list(dict.fromkeys(map(_row_of, missing))), set(missing)
    results, done = {}, 0
    with working_on("bench", "runs", as_json=as_json) as report, naming_pipeline("was run"):
        for call in bench.calls:
            if call not in todo:
                results[call] = bench.run(call)
                continue
            row, wanted = _row_of(call), len(bench.missing(call))
            piece = Piece(row, rows.index(row) + 1, len(rows))
            report(done, runs, piece=piece)
            results[call] = bench.run(call)
            report(done := done + wanted, runs, piece=piece)
    return results


def _check_table(path: Path) -> None:
    """Only a table that a benchmark wrote is replaced."""
    if not os.path.lexists(path):
        return
    try:
        ours = "resamples" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise BadOption(
            f"--out cannot be used; got '{path.parent}' ('{path.name}' in it is no table of a benchmark), allowed a "
            f"folder without it; choose another --out"
        )


def _write_table(table: Table, out: Path) -> None:
    from dit_lens.bench.written import write_file

    out.mkdir(parents=True, exist_ok=True)
    write_file(out / "table.json", json.dumps(table.as_dict(), indent=1) + "\n")
    write_file(out / "table.txt", table.text() + "\n")

"""Nothing inside a store depends on the clock, the host or who wrote it; the log beside it does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dit_lens_stores import ArraySpec, Coordinate, Store, TraceWriter, create_store
from dit_lens_stores.log import add_to_log, log_of

Fill = Callable[..., None]
SIGMAS = [Coordinate("sigma", "step", {}, dtype="float64"), Coordinate("expert", "step", {}, dtype="str")]


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def run(store: Store, specs: list[ArraySpec], fill: Fill, upto: int | None = None) -> TraceWriter:
    writer = store.begin("t0", specs, SIGMAS, {"seed": 3})
    fill(writer, specs, upto)
    writer.update_manifest({"scheduler": {"shift": 5}})
    return writer


def test_two_runs_and_one_after_a_kill_end_with_the_same_store(
    tmp_path: Path, specs: list[ArraySpec], fill: Fill
) -> None:
    stores = [create_store(tmp_path / name / "a.zarr") for name in ("first", "second", "again")]
    run(stores[2], specs, fill, upto=3).drain()  # left as a killed process leaves it
    (stores[2].path / "t0" / "block.out.raw" / "c" / "0.partial").write_bytes(b"half")
    for store in stores:
        run(store, specs, fill).finish()
    first, second, again = (content(store.path) for store in stores)
    assert first == second == again
    assert not any(name.endswith(".partial") for name in first)


def test_a_finished_trace_names_no_writer(full: Store, specs: list[ArraySpec], fill: Fill) -> None:
    attributes = json.loads((full.path / "t0" / "zarr.json").read_text())["attributes"]
    assert set(attributes) == {"status", "arrays", "manifest", "coordinates"}
    assert set(full.index["t0"]) == {"status", "arrays", "model", "seed"}


def test_the_log_says_when_and_where(full: Store) -> None:
    lines = [json.loads(line) for line in log_of(full.path).read_text().splitlines()]
    assert [(line["event"], line["trace"]) for line in lines] == [("begin", "t0"), ("complete", "t0")]
    assert {line["process"] for line in lines} == {os.getpid()}
    assert lines[0]["time"] <= lines[1]["time"]
    assert log_of(full.path) == full.path.parent / "a.zarr.log.jsonl"


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_of(tmp_path / "a.zarr").mkdir()
    add_to_log(tmp_path / "a.zarr", "begin", trace="t0")
    assert list(log_of(tmp_path / "a.zarr").iterdir()) == []

"""Nothing inside a store depends on the clock, the host or who wrote it; the log beside it does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


@pytest.mark.parametrize("compressor", ["auto", "none", "zstd"])
@pytest.mark.parametrize("encoding", ["exact", "bits", "bitround:3"])
def test_bit_patterns_end_with_the_same_store_as_the_float32_that_they_stand_for(
    tmp_path: Path, bf16: Callable[..., Any], encoding: str, compressor: str
) -> None:
    held: dict[str, Any] = {"step": (0, 1), "layer": range(3), "token": range(300), "channel": range(512)}
    options = {"encoding": encoding, "compressor": compressor}
    specs = [
        ArraySpec("whole", tuple(held), held, ("step", "layer"), **options),
        ArraySpec("gaps", tuple(held), held | {"token": range(0, 300, 2)}, ("step", "layer"), **options),
        ArraySpec(
            "small",
            tuple(held)[:3],
            {"step": (0, 1), "layer": (0, 1, 2), "token": (3, 4)},
            ("step", "layer"),
            **options,
        ),
    ]
    contents = []
    for name, encoders in (("floats", 0), ("patterns", 1), ("either", 3), ("again", 1)):
        store = create_store(tmp_path / name / "a.zarr")
        writer = store.begin("t0", specs, [], {}, encoders=encoders)
        events = [(spec, number) for spec in specs for number in range(6)]
        order = np.random.default_rng(encoders).permutation(len(events))  # some shards are written twice
        for at in order:
            spec, number = events[at]
            values = bf16(spec.event_shape, seed=number)
            values = np.where(np.abs(values) < 1e38, values, np.float32(0))  # larger ones would be rounded to infinity
            bits = (values.view(np.uint32) >> 16).astype(np.uint16)
            as_bits = {"floats": False, "patterns": True}.get(name, bool(at % 2))
            writer.write(spec.name, spec.events()[number], bits if as_bits else values)
        writer.finish()
        contents.append(content(store.path))
    assert all(other == contents[0] for other in contents[1:])

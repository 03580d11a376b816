"""Threads that write while the caller goes on: bounded, in order for what belongs together, and never silent."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from dit_lens_stores import ArraySpec, Store, StoreError, open_store
from dit_lens_stores import encoders as encoders_module
from dit_lens_stores.encoders import Encoders
from dit_lens_stores.layout import array_options, plan_layout
from dit_lens_stores.prepare import allocate, make_plan

DIMS = ("step", "layer", "channel")


def spec_of(steps: int = 4, layers: int = 3, channels: int = 8, **options: Any) -> ArraySpec:
    held: dict[str, Any] = {"step": range(steps), "layer": range(layers), "channel": range(channels)}
    return ArraySpec("x", DIMS, held, DIMS[:2], **options)


def values_of(spec: ArraySpec, number: int) -> Any:
    return np.random.default_rng(number).standard_normal(spec.event_shape).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_queue_is_bounded_and_one_job_per_thread_is_always_let_in(threads: int) -> None:
    encoders, gate, most = Encoders(threads, limit_bytes=10), threading.Event(), []
    handed = threading.Event()

    def hand_over() -> None:
        for _ in range(6):
            encoders.put("x", lambda: gate.wait(60) and None, nbytes=100)
            most.append(encoders.nbytes)
        handed.set()

    caller = threading.Thread(target=hand_over)
    caller.start()
    assert not handed.wait(0.2)  # the caller waits for room
    assert len(most) == threads
    gate.set()
    caller.join(60)
    encoders.drain()
    assert max(most) <= 100 * threads
    assert encoders.nbytes == 0


def test_small_jobs_wait_together() -> None:
    encoders, gate = Encoders(1, limit_bytes=100), threading.Event()
    for _ in range(10):
        encoders.put("x", lambda: gate.wait(60) and None, nbytes=10)
    assert encoders.nbytes == 100
    gate.set()
    encoders.drain()


def test_the_first_error_is_raised_by_every_later_call() -> None:
    encoders = Encoders(1)

    def fail(message: str) -> None:
        raise OSError(message)

    encoders.put("x", lambda: fail("first"), 1)
    encoders.put("y", lambda: fail("second"), 1)
    for _ in range(2):
        with pytest.raises(OSError, match="first"):
            encoders.drain()
    assert [name for name, _ in encoders.errors] == ["x", "y"]


def test_the_threads_end_with_the_trace(store: Store) -> None:
    spec = spec_of()
    writer = store.begin("t0", [spec], [], {}, encoders=2)
    for number, event in enumerate(spec.events()):
        writer.write("x", event, values_of(spec, number))
    writer.finish()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dit-lens-encoder")]


@pytest.mark.parametrize("seed", range(4))
def test_any_number_of_threads_writes_the_same_bytes(store: Store, seed: int) -> None:
    spec = spec_of()
    order = np.random.default_rng(seed).permutation(len(spec.events()))  # shards are given up early, and written again
    for threads in (0, 1, 3):
        writer = store.begin(f"t{threads}", [spec], [], {}, encoders=threads)
        for number in order:
            writer.write("x", spec.events()[number], values_of(spec, int(number)))
        writer.finish()
    written = [
        {str(file.relative_to(trace)): file.read_bytes() for file in sorted((trace / "x").rglob("*")) if file.is_file()}
        for trace in (store.path / f"t{threads}" for threads in (0, 1, 3))
    ]
    assert written[0] == written[1] == written[2]
    in_order = store.begin("t9", [spec], [], {})
    for number, event in enumerate(spec.events()):
        in_order.write("x", event, values_of(spec, number))
    in_order.finish()
    files = sorted((store.path / "t9" / "x" / "c").rglob("*"))
    assert {str(file.relative_to(store.path / "t9")): file.read_bytes() for file in files if file.is_file()} == {
        name: content for name, content in written[0].items() if "/c/" in name
    }


def test_the_caller_may_change_its_array_unless_it_gave_it_away(store: Store) -> None:
    spec = spec_of(steps=1, layers=2)
    writer = store.begin("t0", [spec], [], {})
    values = np.ones(8, np.float32)
    writer.write("x", {"step": 0, "layer": 0}, values)
    values[:] = 7
    given = np.full(8, 2, np.float32)
    writer.write("x", {"step": 0, "layer": 1}, given, owned=True)
    writer.finish()
    read = np.asarray(zarr.open_array(store.path / "t0" / "x", mode="r")[0])
    assert read.tolist() == [[1] * 8, [2] * 8]


def test_bit_patterns_are_taken_as_they_are(store: Store) -> None:
    spec = spec_of(steps=1, layers=1, encoding="bits")
    writer = store.begin("t0", [spec], [], {})
    patterns = np.arange(8, dtype=np.uint16) * 8191
    writer.write("x", {"step": 0, "layer": 0}, patterns)
    writer.finish()
    array = zarr.open_array(store.path / "t0" / "x", mode="r")
    assert (array[0, 0].tolist(), array.attrs["encoding"]) == (patterns.tolist(), "bits")


@pytest.mark.parametrize("options", [{}, {"compressor": "none"}, {"encoding": "float16"}])
def test_bit_patterns_stand_for_float32(store: Store, options: dict[str, Any]) -> None:
    spec = spec_of(steps=1, layers=1, **options)
    writer = store.begin("t0", [spec], [], {})
    writer.write("x", {"step": 0, "layer": 0}, np.arange(0x3F80, 0x3F88, dtype=np.uint16))
    writer.finish()
    assert open_store(store.path)["t0"]["x"].values[0, 0].tolist() == [1 + number / 128 for number in range(8)]


def test_bit_patterns_that_are_no_folders_too() -> None:
    spec = spec_of(steps=1, layers=2)
    group = zarr.create_group({}, zarr_format=3)
    writers, _ = allocate(group, make_plan([spec], []))
    for layer in range(2):
        writers["x"].write({"step": 0, "layer": layer}, np.full(8, 0x4000 + 0x80 * layer, np.uint16))
    assert np.asarray(group["x"][0]).tolist() == [[2] * 8, [4] * 8]


def test_a_refused_value_leaves_the_event_missing(store: Store) -> None:
    spec = spec_of(steps=1, layers=1, encoding="bits")
    writer = store.begin("t0", [spec], [], {})
    with pytest.raises(StoreError, match=r"write of x\[step=0, layer=0\] is no bfloat16; got 0\.1"):
        writer.write("x", {"step": 0, "layer": 0}, np.full(8, 0.1, np.float32))
    assert writer.missing() == [("x", {"step": 0, "layer": 0})]


def test_fsync_asks_the_disk_before_the_marks_are_set(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, calls = spec_of(steps=1, layers=1), []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), sync(handle)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (calls.append(to.parts[-4]), replace(self, to))[1])
    writer = store.begin("t0", [spec], [], {}, encoders=0, fsync=True)
    calls.clear()
    writer.write("x", {"step": 0, "layer": 0}, values_of(spec, 0))
    assert calls == ["sync", "c", "sync", "sync", "x_done", "sync"]


def test_a_killed_writers_leftovers_are_cleaned(store: Store) -> None:
    spec = spec_of(steps=1, layers=1)
    store.begin("t0", [spec], [], {})
    left = [store.path / "t0" / "x" / "c" / "0" / "0" / "0.partial", store.path / f"zarr.{'0a' * 16}.partial"]
    left[0].parent.mkdir(parents=True)
    for file in left:
        file.write_bytes(b"half")
    other = store.path / "notes.partial"
    other.write_bytes(b"mine")
    store.begin("t0", [spec], [], {})
    assert not any(file.exists() for file in left)
    assert other.read_bytes() == b"mine"


def test_a_store_that_is_no_folder_is_written_through_zarr(tmp_path: Path) -> None:
    spec, other = spec_of(layers=5), ArraySpec("y", ("layer",), {"layer": range(7)}, ("layer",))
    group = zarr.create_group({}, zarr_format=3)
    writers, _ = allocate(group, make_plan([spec, other], []))
    for number, event in enumerate(spec.events()):
        writers["x"].write(event, values_of(spec, number))
    wanted = np.full((4, 7, 8), np.nan, np.float32)
    wanted[:, :5] = np.stack([values_of(spec, number) for number in range(20)]).reshape(4, 5, 8)
    assert np.asarray(group["x"][...]).tobytes() == wanted.tobytes()
    assert np.asarray(group["x_done"][...]).tolist() == [[1] * 5 + [2] * 2] * 4


def test_sharded_arrays_that_are_no_folder_too() -> None:
    dims = ("step", "layer", "frame", "token", "channel")
    held: dict[str, Any] = dict(zip(dims, map(range, (1, 3, 2, 4, 8)), strict=True))
    spec = ArraySpec("x", dims, held, dims[:2])
    assert array_options(spec, plan_layout(spec, {dim: len(held[dim]) for dim in dims}))["shards"]
    group = zarr.create_group({}, zarr_format=3)
    writers, _ = allocate(group, make_plan([spec], []))
    values = [values_of(spec, number) for number in range(3)]
    for event, value in zip(spec.events(), values, strict=True):
        writers["x"].write(event, value)
    assert np.asarray(group["x"][0]).tobytes() == np.stack(values).tobytes()


@pytest.mark.parametrize("steps", [3, 40])
def test_what_is_held_in_memory_does_not_depend_on_the_steps(store: Store, steps: int) -> None:
    spec = spec_of(steps=steps, layers=3, channels=4096)
    writer = store.begin(f"t{steps}", [spec], [], {}, encoders=2, queue_bytes=1000)
    shard, most = 3 * 4096 * 4, 0
    values = values_of(spec, 0)
    for event in spec.events():
        writer.write("x", event, values)
        most = max(most, writer.buffered)
    writer.finish()
    assert shard <= most <= 3 * shard  # one grows, two are being written
    assert open_store(store.path).status(f"t{steps}") == "complete"


def test_the_stated_bound_is_the_default() -> None:
    assert Encoders().limit_bytes == encoders_module.QUEUE_BYTES == 256 * 2**20

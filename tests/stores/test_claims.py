"""One writer at a time, and nothing that is not a trace to be written again is deleted, whatever the index says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from dit_lens_stores import (
    ArraySpec,
    Busy,
    Coordinate,
    Store,
    StoreError,
    StoreExists,
    TraceWriter,
    UnknownArray,
    create_store,
    open_store,
    verify,
)

SPEC = ArraySpec("x", ("step", "layer"), {"step": (0, 1), "layer": (0, 1)}, ("step", "layer"))
SIGMA = Coordinate("sigma", "step", {}, dtype="float64")

ADDS_TRACES = """
import sys, time, zarr
from dit_lens_stores import ArraySpec, create_store
spec = ArraySpec("x", ("step",), {"step": (0,)}, ("step",))
update = zarr.Group.update_attributes
def late(group, new):  # time between reading the index and writing it, in which the other process gets its turn
    time.sleep(0.05)
    return update(group, new)
zarr.Group.update_attributes = late
print("ready", flush=True)
sys.stdin.readline()
store = create_store(sys.argv[1])
for number in range(4):
    store.begin(f"{sys.argv[2]}{number}", [spec], [], {}).fail("stopped")
"""


def one() -> np.float32:
    return np.float32(1)


def begin(store: Store, trace_id: str = "t0") -> TraceWriter:
    return store.begin(trace_id, [SPEC], [SIGMA], {"seed": 3})


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def refusal(kind: type[StoreError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def forget(store: Store) -> None:
    """Empty the index, as a write that was lost would."""
    node = store.path / "zarr.json"
    root = json.loads(node.read_text())
    root["attributes"]["traces"] = {}
    node.write_text(json.dumps(root))


def test_a_complete_trace_that_the_index_forgot_is_refused_and_entered_again(full: Store) -> None:
    entry = full.index
    forget(full)
    before = content(full.path / "t0")
    assert "got the id of a complete trace" in refusal(StoreExists, lambda: begin(full))
    assert content(full.path / "t0") == before
    assert open_store(full.path).index == entry
    assert verify(full.path).ok


@pytest.mark.parametrize("gone", ["t0", "t0/zarr.json"])
def test_a_complete_trace_that_is_gone_may_be_begun_anew(full: Store, gone: str) -> None:
    path = full.path / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    begin(full).fail("stopped")
    assert full.status("t0") == full.index["t0"]["status"] == "failed"
    assert verify(full.path).ok


def test_a_file_of_somebody_among_what_is_left_of_a_trace_is_kept(full: Store) -> None:
    (full.path / "t0" / "zarr.json").unlink()
    (full.path / "t0" / "notes.txt").write_text("mine")
    assert "something of that name that is no trace" in refusal(StoreExists, lambda: begin(full))
    assert (full.path / "t0" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("made", ["a folder", "a Zarr group", "a Zarr array", "a file", "a link"])
def test_what_is_no_trace_is_refused_and_untouched(store: Store, tmp_path: Path, made: str) -> None:
    theirs = store.path / "t0"
    if made == "a folder":
        theirs.mkdir()
        (theirs / "notes.txt").write_text("mine")
    elif made == "a Zarr group":
        zarr.create_group(theirs, zarr_format=3, attributes={"status": "running"})
    elif made == "a Zarr array":
        zarr.create_array(theirs, shape=(2,), dtype="uint8", zarr_format=3)
    elif made == "a file":
        theirs.write_text("mine")
    else:
        begin(store, "t9")
        theirs.symlink_to(store.path / "t9")
    before = content(store.path)
    assert refusal(StoreExists, lambda: begin(store)) == (
        f"begin refused trace 't0' in '{store.path}'; got something of that name that is no trace, allowed a free "
        f"name; move it away"
    )
    assert content(store.path) == before
    assert "t0" not in store.index


def test_zarrs_own_file_is_no_trace_id(store: Store) -> None:
    before = content(store.path)
    assert refusal(StoreError, lambda: begin(store, "zarr.json")) == (
        "begin refused a trace id; got 'zarr.json', allowed any name but that of Zarr's own file; did you mean "
        "'zarr-json'?"
    )
    assert content(store.path) == before
    assert store.traces == ()


@pytest.mark.parametrize("resume", [False, True])
def test_a_trace_that_is_being_written_is_refused_until_its_writer_ends(store: Store, resume: bool) -> None:
    first = begin(store)
    first.write("x", {"step": 0, "layer": 0}, one())
    before = content(store.path)
    for _ in range(2):
        told = refusal(Busy, lambda: store.begin("t0", [SPEC], [SIGMA], {"seed": 3}, resume=resume))
        assert told == (
            f"begin refused trace 't0' in '{store.path}'; got a trace that is being written, allowed one writer at a "
            f"time; wait until it ends, or choose another id"
        )
    assert content(store.path) == before
    first.fail("stopped")
    second = begin(store)
    assert refusal(Busy, lambda: begin(store))
    del second  # as when its process ends
    begin(store).fail("stopped")


@pytest.mark.parametrize("action", ["write", "set_coordinate", "update_manifest", "set_array_attribute", "fail"])
def test_without_locks_a_writer_whose_trace_was_begun_again_is_told_and_damages_nothing(
    store: Store, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dit_lens_stores.claim.lock_folder", lambda folder: -1)
    first = begin(store)
    first.write("x", {"step": 0, "layer": 0}, one())
    second = begin(store)
    second.write("x", {"step": 1, "layer": 0}, one())
    second.write("x", {"step": 1, "layer": 1}, one())
    second.drain()
    before = content(store.path)
    calls: dict[str, Callable[[], None]] = {
        "write": lambda: first.write("x", {"step": 0, "layer": 1}, one()),
        "set_coordinate": lambda: first.set_coordinate("sigma", 0, 1.0),
        "update_manifest": lambda: first.update_manifest({"seed": 4}),
        "set_array_attribute": lambda: first.set_array_attribute("x", "units", "1"),
        "fail": lambda: first.fail("stopped"),
    }
    told = (
        f"writing trace 't0' stopped in '{store.path}'; got another writer that has begun it again, allowed one at a "
        f"time; leave it to that one, or use another id"
    )
    assert refusal(StoreError, calls[action]) == told
    assert (first.status, second.status) == ("lost", "running")
    assert {refusal(StoreError, call) for call in (*calls.values(), first.finish)} == {told}
    assert content(store.path) == before
    second.write("x", {"step": 0, "layer": 0}, one() * 2)
    second.write("x", {"step": 0, "layer": 1}, one() * 2)
    second.finish()
    assert store["t0"]["x"].values.tolist() == [[2, 2], [1, 1]]


def test_without_locks_a_writer_cannot_finish_after_another_has(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_lens_stores.claim.lock_folder", lambda folder: -1)
    writers = [begin(store), begin(store)]
    second = writers[1]
    for event in SPEC.events():
        second.write("x", event, one())
    second.finish()
    before = content(store.path)
    assert "got another writer" in refusal(StoreError, lambda: writers[0].fail("stopped"))
    assert content(store.path) == before


def test_a_writer_whose_folder_is_gone_is_told(store: Store) -> None:
    writer = begin(store)
    (store.path / "t0").rename(store.path.parent / "elsewhere")
    assert refusal(StoreError, lambda: writer.set_coordinate("sigma", 0, 1.0)) == (
        f"writing trace 't0' stopped in '{store.path}'; got no group of that name any more, allowed the one that was "
        f"begun; begin the trace again"
    )
    assert not (store.path / "t0").exists()


@pytest.mark.parametrize("reached", ["an empty folder", "its attributes half written"])
def test_a_trace_killed_while_it_was_deleted_is_begun_again(store: Store, reached: str) -> None:
    begin(store)
    for file in sorted((store.path / "t0").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    if reached == "its attributes half written":
        (store.path / "t0" / f"zarr.{'0a' * 16}.partial").write_text('{"attr')
    begin(store).fail("stopped")
    assert (store.status("t0"), store.index["t0"]["status"]) == ("failed", "failed")


@pytest.mark.parametrize("made", [True, False])
def test_processes_that_add_at_the_same_time_keep_every_index_entry(tmp_path: Path, made: bool) -> None:
    path = create_store(tmp_path / "a.zarr").path if made else tmp_path / "new" / "a.zarr"
    command = [sys.executable, "-c", ADDS_TRACES, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, name], **pipes) for name in "ab"]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [(process.communicate(timeout=300)[1], process.returncode) for process in processes]
    assert ended == [("", 0)] * 2
    store = open_store(path)
    assert sorted(store.traces) == sorted(f"{name}{number}" for name in "ab" for number in range(4))
    assert {entry["status"] for entry in store.index.values()} == {"failed"}


def test_an_attribute_of_an_array_is_set_until_the_end(store: Store) -> None:
    writer = begin(store)
    writer.set_array_attribute("x", "source_dtype", "float32")
    for event in SPEC.events():
        writer.write("x", event, one())
    writer.set_array_attribute("x", "source_dtype", "bfloat16")
    assert refusal(UnknownArray, lambda: writer.set_array_attribute("y", "a", 1)) == (
        "set_array_attribute found no array in trace 't0'; got 'y', allowed x; name one of them"
    )
    assert "attribute 'a' of array 'x' cannot be stored" in refusal(
        StoreError, lambda: writer.set_array_attribute("x", "a", float("nan"))
    )
    writer.finish()
    assert store["t0"]["x"].attrs == {"source_dtype": "bfloat16", "encoding": "exact"}
    assert "came too late" in refusal(StoreError, lambda: writer.set_array_attribute("x", "a", 1))

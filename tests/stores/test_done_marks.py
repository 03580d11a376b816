"""A mark promises only what is on disk: not before the write, not if it fails, not if the process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zarr.storage import LocalStore

from dit_lens_stores import ArraySpec, NotDone, Store, TraceWriter, create_store, open_store

DIMS = ("step", "layer", "frame")
SPEC = ArraySpec("block.out.energy", DIMS, {"step": range(3), "layer": range(2), "frame": range(4)}, DIMS[:2])

WRITES_UNTIL_KILLED = """
import sys, time
import numpy as np
from dit_lens_stores import ArraySpec, create_store
dims = ("step", "layer", "frame")
spec = ArraySpec("block.out.energy", dims, {"step": range(3), "layer": range(2), "frame": range(4)}, dims[:2])
writer = create_store(sys.argv[1]).begin("t0", [spec], [], {"seed": 3})
for number, event in enumerate(spec.events()[:3]):
    writer.write(spec.name, event, np.full(4, number, np.float32))
writer.drain()
print("three are written", flush=True)
time.sleep(60)
"""


def test_the_marks_are_written_after_the_shard(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = store.begin("t0", [SPEC], [], {})
    files: list[str] = []
    replace = Path.replace

    def record(self: Path, target: Path) -> Path:
        files.append(str(target.relative_to(store.path)))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", record)
    for layer in (0, 1):
        writer.write(SPEC.name, {"step": 1, "layer": layer}, np.zeros(4, np.float32))
    writer.drain()
    assert files == ["t0/block.out.energy/c/1/0/0", "t0/block.out.energy_done/c/0/0"]


def held_up(monkeypatch: pytest.MonkeyPatch, store: Store, fails: str = "") -> tuple[threading.Event, list[str]]:
    """Let the first file wait for a gate, and one fail; what is put in place, as it goes."""
    gate, files, replace = threading.Event(), list[str](), Path.replace

    def slow(self: Path, target: Path) -> Path:
        name = str(target.relative_to(store.path))
        gate.wait(20)
        if name == fails:
            raise OSError("no space left")
        files.append(name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", slow)
    return gate, files


def write_all(writer: TraceWriter) -> None:
    for event in SPEC.events():
        writer.write(SPEC.name, event, np.zeros(4, np.float32))


SHARDS = [f"t0/block.out.energy/c/{step}/0/0" for step in range(3)]
MARKS = "t0/block.out.energy_done/c/0/0"


@pytest.mark.parametrize(("seconds", "order"), [(60, [*SHARDS, MARKS]), (0, [f for s in SHARDS for f in (s, MARKS)])])
def test_shards_that_follow_each_other_share_their_marks_but_not_for_long(
    store: Store, monkeypatch: pytest.MonkeyPatch, seconds: float, order: list[str]
) -> None:
    monkeypatch.setattr("dit_lens_stores.shards._MARK_SECONDS", seconds)
    writer = store.begin("t0", [SPEC], [], {}, encoders=1)
    gate, files = held_up(monkeypatch, store)
    write_all(writer)
    gate.set()
    writer.drain()
    assert files == order
    assert store.get("t0", partial=True).done(SPEC.name).values.all()


def test_marks_that_waited_for_a_shard_that_fails_are_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_lens_stores.shards._MARK_SECONDS", 60)
    writer = store.begin("t0", [SPEC], [], {}, encoders=1)
    gate, _ = held_up(monkeypatch, store, fails=SHARDS[-1])
    write_all(writer)
    gate.set()
    with pytest.raises(OSError, match="no space left"):
        writer.drain()
    assert not store.get("t0", partial=True).done(SPEC.name).values.any(), "they were to go with the last one's"
    writer.fail("the run died")
    trace = store.get("t0", partial=True)
    assert trace.done(SPEC.name).values.tolist() == [[1, 1], [1, 1], [0, 0]]
    assert (trace[SPEC.name].sel(step=[0, 1]).values == 0).all()


@pytest.mark.parametrize("encoders", [0, 1])
def test_a_write_that_fails_sets_no_mark_and_its_reason_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, encoders: int
) -> None:
    writer = store.begin("t0", [SPEC], [], {}, encoders=encoders)

    replace = Path.replace

    def full_disk(self: Path, target: Path) -> Path:
        if "c" in target.parts:
            raise OSError("no space left")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full_disk)
    writer.write(SPEC.name, {"step": 0, "layer": 0}, np.zeros(4, np.float32))
    with suppress(OSError):  # without threads it is raised at once
        writer.write(SPEC.name, {"step": 0, "layer": 1}, np.zeros(4, np.float32))
    with pytest.raises(OSError, match="no space left"):
        writer.drain()
    with pytest.raises(OSError, match="no space left"):
        writer.write(SPEC.name, {"step": 1, "layer": 0}, np.zeros(4, np.float32))
    assert len(writer.missing()) == 6
    writer.fail("the run died")
    trace = open_store(store.path).get("t0", partial=True)
    assert not trace.done(SPEC.name).values.any()
    assert trace.status == "failed"
    assert trace.reason == "the run died; 'block.out.energy' could not be written: no space left"
    assert not list(store.path.rglob("*.partial"))


def test_a_failed_trace_keeps_the_events_of_an_unfinished_shard(store: Store) -> None:
    writer = store.begin("t0", [SPEC], [], {})
    writer.write(SPEC.name, {"step": 2, "layer": 1}, np.arange(4, dtype=np.float32))
    writer.fail("the run died")
    trace = store.get("t0", partial=True)
    assert trace.done(SPEC.name).values.tolist() == [[0, 0], [0, 0], [0, 1]]
    assert trace[SPEC.name].sel(step=2, layer=1).values.tolist() == [0, 1, 2, 3]
    assert np.isnan(trace[SPEC.name].sel(step=2, layer=0).values).all()
    assert store.index["t0"]["reason"] == trace.reason == "the run died"


@pytest.fixture
def killed(tmp_path: Path) -> Store:
    """A store whose writer was killed (SIGKILL) after three of six events: one whole shard, and one half."""
    command = [sys.executable, "-c", WRITES_UNTIL_KILLED, str(tmp_path / "k.zarr")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "three are written\n"
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
    return open_store(tmp_path / "k.zarr")


def test_a_killed_writer_leaves_a_store_that_says_what_is_missing(killed: Store) -> None:
    assert (killed.traces, killed.status("t0")) == (("t0",), "running")
    left = killed["t0"][SPEC.name]
    with pytest.raises(NotDone, match=r"got block.out.energy\[step=1, layer=0\], .* and 1 more, allowed events"):
        _ = left.values
    assert left.sel(step=0).values.tolist() == [[0] * 4, [1] * 4]
    trace = killed.get("t0", partial=True)
    assert trace.missing() == [(SPEC.name, event) for event in SPEC.events()[2:]]
    values = trace[SPEC.name].values
    assert values[0].tolist() == [[0] * 4, [1] * 4]
    assert np.isnan(values[1:]).all()
    assert trace.manifest == {"seed": 3}


def test_a_killed_trace_is_begun_again(killed: Store) -> None:
    store = create_store(killed.path)
    (store.path / "t0" / "c.partial").write_bytes(b"left by the killed process")
    writer = store.begin("t0", [SPEC], [], {})
    assert not (store.path / "t0" / "c.partial").exists()
    for event in SPEC.events():
        writer.write(SPEC.name, event, np.ones(4, np.float32))
    writer.finish()
    assert (store.status("t0"), store.index["t0"]["status"]) == ("complete", "complete")
    assert (store["t0"][SPEC.name] == 1).all()


@pytest.mark.parametrize("reached", ["index", "group", "one array"])
def test_a_writer_killed_while_laying_out_leaves_a_readable_store(
    store: Store, begin: Callable[..., TraceWriter], monkeypatch: pytest.MonkeyPatch, reached: str
) -> None:
    writes = {"index": ("t0/zarr.json",), "group": ("t0/branch",), "one array": ("t0/block.out.energy",)}[reached]
    put = LocalStore.set

    async def killed_at(self: LocalStore, key: str, value: Any) -> None:
        if key.startswith(writes):
            raise ConnectionAbortedError
        await put(self, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", killed_at)
        with pytest.raises(ConnectionAbortedError):
            begin()
    assert store.status("t0") == "running"
    with pytest.raises(NotDone, match="never laid out" if reached == "index" else r"no 't0/block\.out\.energy"):
        _ = store["t0"]["block.out.energy"]
    begin().fail("stopped")
    assert store.status("t0") == "failed"


def test_finish_names_what_never_came(
    begin: Callable[..., TraceWriter], specs: list[ArraySpec], fill: Callable[..., None], store: Store
) -> None:
    writer = begin()
    fill(writer, specs, 3)
    assert len(writer.missing()) == 3 + 21
    with pytest.raises(NotDone) as caught:
        writer.finish()
    first = "block.out.raw[branch=cond, step=1, layer=3], block.out.raw[branch=cond, step=2, layer=1]"
    assert f"got 24 events missing: {first}" in str(caught.value)
    assert caught.value.exit_code == 3
    assert (store.status("t0"), store.index["t0"]["status"]) == ("failed", "failed")
    with pytest.raises(NotDone):
        _ = store["t0"]["block.out.raw"].values
    assert store.get("t0", partial=True).missing() == writer.missing()

"""Sizes in words, what a plan may take, and a disk that fills up while a trace is written."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st
from tblib import pickling_support

from dit_lens.engine.disk import (
    DiskGuard,
    check_free,
    format_size,
    free_bytes,
    naming_full_disk,
    parse_size,
    planned_bytes,
    refuse_over_budget,
)
from dit_lens.engine.errors import BadSize, DiskFull, DiskTooSmall, IncompleteTrace, OverBudget
from dit_lens.engine.flow import Flow
from dit_lens.errors import DitLensError
from dit_lens_stores import ArraySpec, TraceWriter, create_store, open_store

EVENTS, VALUES = 64, 2**16  # 16 MiB of float32


def test_sizes_are_read() -> None:
    read = {"20GB": 20 * 10**9, "1.5TB": 1_500_000_000_000, "64 MiB": 2**26, " 7 kib ": 7168, "12": 12, "0B": 0}
    assert {text: parse_size(text) for text in read} == read
    assert [parse_size(f"1{unit}") for unit in ("B", "kB", "MB", "GB", "TB", "PB")] == [1000**n for n in range(6)]
    assert [parse_size(f"1{unit}") for unit in ("KiB", "MiB", "GiB", "TiB", "PiB")] == [1024**n for n in range(1, 6)]
    assert parse_size("0.3GB") == 300_000_000, "not by way of a binary fraction"


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1e3GB", "20 G", "5 XB", "1_000", "٣GB", "1.GB", "nan", "9" * 5000])
def test_a_size_that_cannot_be_read_says_what_can(text: str) -> None:
    with pytest.raises(BadSize) as caught:
        parse_size(text)
    said = str(caught.value)
    assert said.startswith(f"a size cannot be read; got {text!r}, allowed a number with one of B, kB, MB, GB, TB, PB")
    assert "\n" not in said
    assert said.endswith("; did you mean '20GB'?" if text == "20 G" else ("?", "; write it as 20GB"))


@given(st.integers(0, 10**19))
def test_a_size_in_words_is_right_to_three_digits(size: int) -> None:
    number, unit = format_size(size).split()
    assert parse_size(f"{number.replace(',', '')}{unit}") == pytest.approx(size, rel=0.005)
    assert len(number.replace(".", "")) <= 3 or unit == "PB"


def test_a_plan_counts_every_value_in_its_encoding() -> None:
    labels = {"step": (0, 1), "frame": (0, 1, 2)}
    spec = {"dims": ("step", "frame"), "labels": labels, "event_dims": ("step",)}
    sizes = {"exact": 24, "bitround:4": 24, "float16": 12, "bits": 12}
    assert {name: planned_bytes([ArraySpec("x", **spec, encoding=name)]) for name in sizes} == sizes
    video = ArraySpec("video", ("rgb",), {"rgb": (0, 1, 2)}, (), "uint8")
    assert planned_bytes([video, ArraySpec("x", **spec), ArraySpec("y", (), {})]) == 3 + 24 + 4


def test_over_budget() -> None:
    refuse_over_budget(20, 20)
    refuse_over_budget(10**15, None)
    with pytest.raises(OverBudget) as caught:
        refuse_over_budget(20_000_001, 20_000_000)
    assert str(caught.value) == (
        "the plan is over its budget; got 20,000,001 B before compression, allowed 20,000,000 B; "
        "record a reduction, fewer steps or fewer layers, or raise the budget"
    )


def test_disk_too_small(tmp_path: Path) -> None:
    check_free(tmp_path / "not" / "yet.zarr", 1)
    check_free(tmp_path, 100, free=lambda path: 100)
    with pytest.raises(DiskTooSmall) as caught:
        check_free("a.zarr", 1_310_000_000_000, free=lambda path: 2_500_000_000)
    assert str(caught.value) == (
        "the plan does not fit on the disk of 'a.zarr'; got 2.5 GB free, allowed 1.31 TB or more (before compression); "
        "free some space, record less, or write to another disk"
    )
    with pytest.raises(DiskTooSmall):
        check_free(tmp_path, 10**18)


def test_the_guard_speaks_before_the_reserve_is_touched(tmp_path: Path) -> None:
    left = {tmp_path: 150}
    guard = DiskGuard(tmp_path, 100, free=left.__getitem__)
    guard.check()
    guard.check(pending=50)
    with pytest.raises(DiskFull) as caught:
        guard.check(pending=51)
    assert str(caught.value) == (
        f"recording stopped before the disk of '{tmp_path}' was full; got 150 B free, allowed 151 B or more; "
        f"what is recorded stays readable: make room, and the same command resumes"
    )
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.1)


@pytest.mark.parametrize(
    ("kind", "builtin", "code"),
    [(OverBudget, ValueError, 4), (DiskTooSmall, OSError, 4), (DiskFull, OSError, 3), (BadSize, ValueError, 2)],
)
def test_errors_survive_being_copied_and_pickled(kind: type[DitLensError], builtin: type, code: int) -> None:
    error = kind("no room; got 1 B, allowed 2 B; make room")
    assert isinstance(error, builtin)
    assert kind.exit_code == code
    for again in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert (str(again), again.args) == ("no room; got 1 B, allowed 2 B; make room", error.args)


def test_a_full_disk_is_an_incomplete_trace_with_an_errno() -> None:
    error = pickle.loads(pickle.dumps(DiskFull("no room", ())))
    assert isinstance(error, IncompleteTrace)
    assert (error.errno, error.missing, str(error)) == (errno.ENOSPC, (), "no room")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_the_systems_own_error_is_named(number: int) -> None:
    with pytest.raises(DiskFull) as caught, naming_full_disk(Path("a.zarr")):
        raise OSError(number, os.strerror(number), "a.zarr/t0/x/c/0")
    assert isinstance(caught.value.__cause__, OSError)
    assert str(caught.value) == (
        f"recording found no room on the disk of 'a.zarr'; got '{os.strerror(number)}', allowed a write; what is "
        f"recorded stays readable: make room, and the same command resumes"
    )


def test_other_errors_of_the_system_are_left_alone() -> None:
    for error in (PermissionError(errno.EACCES, "no room"), DiskFull("already said: no room")):
        with pytest.raises(type(error), match="no room") as caught, naming_full_disk():
            raise error
        assert caught.value is error


def _values(step: int, size: int = VALUES) -> torch.Tensor:
    """Random bits, which nothing compresses."""
    return torch.from_numpy(np.random.default_rng(step).normal(size=size).astype(np.float32))


def _begin(path: Path) -> TraceWriter:
    labels = {"step": tuple(range(EVENTS)), "layer": (0,), "channel": tuple(range(VALUES))}
    return create_store(path).begin("t0", [ArraySpec("x", tuple(labels), labels, ("step", "layer"))], [], {})


def _put_all(writer: TraceWriter, flow: Flow) -> None:
    with flow:
        for step in range(EVENTS):
            flow.put(writer, "x", {"step": step, "layer": 0}, _values(step))


def _record(path: Path, guard: DiskGuard | None) -> tuple[DiskFull, int]:
    """Record until there is no room, and give up as a run does; how many events are there whole."""
    writer = _begin(path)
    with pytest.raises(DiskFull) as caught:
        _put_all(writer, Flow(limit_bytes=2**20, guard=guard))
    writer.fail(str(caught.value))
    return caught.value, _readable(path)


def _readable(path: Path, array: str = "x", size: int = VALUES) -> int:
    """How many events are marked done; their values must be right, and everything else NaN."""
    trace = open_store(path).get("t0", partial=True)
    assert trace.status == "failed"
    done = trace.done(array).values[:, 0]
    stored = zarr.open_group(path / "t0", mode="r")[array]
    for step, is_done in enumerate(done):
        values = np.asarray(stored[step, 0])
        assert np.array_equal(values, _values(step, size).numpy()) if is_done else np.isnan(values).all()
    return int(done.sum())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], check=True, capture_output=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    yield path
    subprocess.run(["umount", str(path)], check=True, timeout=20)


def test_a_small_disk_is_guarded(small_disk: Path) -> None:
    error, there = _record(small_disk / "a.zarr", DiskGuard(small_disk, 2**20, 2**19))
    assert str(error).startswith(f"recording stopped before the disk of '{small_disk}' was full; got ")
    assert 2**19 < free_bytes(small_disk) < 2**21
    assert there >= 24


def test_a_small_disk_that_fills_up_without_a_guard(small_disk: Path) -> None:
    error, there = _record(small_disk / "a.zarr", None)
    assert "; got 'No space left on device', allowed a write; " in str(error)
    assert there >= 28


def test_a_guard_stops_a_run_on_a_disk_that_it_is_told_of(tmp_path: Path) -> None:
    def free(path: Path) -> int:
        return 2**22 - sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    error, there = _record(tmp_path / "a.zarr", DiskGuard(tmp_path, 2**20, 2**19, free))
    assert error.exit_code == 3
    assert 2**19 < free(tmp_path) < 2**21
    assert 8 <= there <= 12


LIMITED = """
import resource, sys
import numpy as np, torch
from dit_lens.engine.flow import Flow
from dit_lens.errors import DiskFull
from dit_lens_stores import ArraySpec, create_store

def spec(name, size):
    labels = {"step": (0, 1), "layer": (0,), f"{name}_channel": tuple(range(size))}
    return ArraySpec(name, tuple(labels), labels, ("step", "layer"))

sizes = {"small": 2**8, "big": 2**18}
writer = create_store(sys.argv[1]).begin("t0", [spec(*each) for each in sizes.items()], [], {})
resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, 2**18))
try:
    with Flow() as flow:
        for name, size in sizes.items():
            for step in range(2):
                values = np.random.default_rng(step).normal(size=size).astype(np.float32)
                flow.put(writer, name, {"step": step, "layer": 0}, torch.from_numpy(values))
except DiskFull as error:
    writer.fail(str(error))
    sys.exit(str(error) if "File too large" in str(error) else 0)
"""


def test_a_file_that_may_not_grow_ends_the_run_and_what_was_recorded_is_there(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits of a process are a matter of POSIX")
    path = tmp_path / "a.zarr"
    ended = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, "recording found no room on the disk of" in ended.stderr) == (1, True), ended.stderr
    assert _readable(path, "small", 2**8) == 2
    assert _readable(path, "big", 2**18) == 0
    assert "File too large" in str(open_store(path).get("t0", partial=True).reason)


def test_a_full_disk_survives_what_dask_pickles_errors_with() -> None:
    pickling_support.install(DiskFull)
    error = pickle.loads(pickle.dumps(DiskFull("no room", ())))
    assert (error.errno, error.missing, error.args) == (errno.ENOSPC, (), ("no room",))

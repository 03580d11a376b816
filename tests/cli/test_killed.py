"""A trace that ends at any moment, however it ends, is resumed by the same command, to the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import dit_lens_stores as stores

sys.path.insert(0, str(Path(__file__).parent))
from killable import Forker, forker

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

CAPTURES = "--capture block.out:energy --capture latent --capture block.out@bits[layer=0:2] --capture attn1.frames"
WORDS = f"--steps 6 --seed 0:2 {CAPTURES} --set max_sequence_length=16".split()
TINY = f"trace tiny-wan --task maze --size 3 --steps 4 --frames 9 --seed 0:2 {CAPTURES}".split()

KILLS = 100


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A fast model, the command, and the store that it makes when nothing interrupts it."""
    folder = tmp_path_factory.mktemp("untrained")
    Image.new("RGB", (32, 32), (200, 40, 90)).save(folder / "first.png")
    words = ["trace", "untrained", "--image", folder / "first.png", "--prompt", "Draw the path", *WORDS]
    with forker("untrained", folder) as forks:
        yield _whole(forks, words, folder)


def _whole(forks: Forker, words: list[object], folder: Path) -> SimpleNamespace:
    warm, out, seconds = folder / "warm" / "s.zarr", folder / "whole" / "s.zarr", []
    for place in (warm, out):
        start = time.perf_counter()
        code, said = forks.run(*words, "--out", place)
        seconds.append(time.perf_counter() - start)
        assert code == 0, said
    assert content(out) == content(warm)  # two runs of one command
    return SimpleNamespace(forks=forks, words=words, store=out, bytes=content(out), seconds=min(seconds))


def check_exact_or_not_done(out: Path, whole: Path) -> int:
    """Every event is that of the whole store, or reading it says that it is not done; returns how many are done."""
    if not (out / "zarr.json").exists():
        return 0
    store, reference, done = stores.open_store(out), stores.open_store(whole), 0
    for trace_id in store:
        trace = store.get(trace_id, partial=True)
        if not trace.arrays or any(not event for name, event in trace.missing() if name != "video"):
            continue  # killed before it was laid out; every read says so
        for name in trace.arrays:
            marks, expected = trace.done(name).values, reference[trace_id].dataset[name].values
            values = trace.dataset[name].values
            for at in map(tuple, np.argwhere(marks == 1)):
                done += 1
                assert np.array_equal(values[at], expected[at], equal_nan=True), (name, at)
            for at in map(tuple, np.argwhere(marks == 0)[:1]):
                with pytest.raises(stores.NotDone):
                    _ = store[trace_id].dataset[name][at].values
    return done


def stop_and_resume(whole: SimpleNamespace, out: Path, moment: float, sign: int) -> int:
    """Send a signal at a moment of a run, then look, then run the same command again."""
    running = whole.forks.start(*whole.words, "--out", out)
    time.sleep(moment * whole.seconds)
    running.send(sign)
    code = running.wait()
    check_exact_or_not_done(out, whole.store)
    assert whole.forks.run(*whole.words, "--out", out)[0] == 0
    assert content(out) == whole.bytes
    return code


@pytest.mark.parametrize(
    "moment", [pytest.param(moment, marks=pytest.mark.slow) if moment % 2 else moment for moment in range(8)]
)
def test_killed(whole: SimpleNamespace, tmp_path: Path, moment: int) -> None:
    code = stop_and_resume(whole, tmp_path / "s.zarr", random.Random(moment).uniform(0.05, 1), signal.SIGKILL)
    assert code in (-signal.SIGKILL, 0)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", [0.25, 0.5])
def test_told_to_stop(whole: SimpleNamespace, tmp_path: Path, sign: int, moment: float) -> None:
    code = stop_and_resume(whole, tmp_path / "s.zarr", moment, sign)
    assert code in ((-signal.SIGTERM, 143) if sign == signal.SIGTERM else (130,))


def test_killed_again_and_again(whole: SimpleNamespace, tmp_path: Path) -> None:
    """Every run gets a little further than the one before, and none starts over."""
    for number in range(4):
        running = whole.forks.start(*whole.words, "--out", tmp_path / "s.zarr")
        time.sleep((0.3 + 0.2 * number) * whole.seconds)
        running.send(signal.SIGKILL)
        running.wait()
        check_exact_or_not_done(tmp_path / "s.zarr", whole.store)
    assert whole.forks.run(*whole.words, "--out", tmp_path / "s.zarr")[0] == 0
    assert content(tmp_path / "s.zarr") == whole.bytes


def test_a_file_that_may_not_grow_ends_with_3_and_resumes(whole: SimpleNamespace, tmp_path: Path) -> None:
    """A quota: the latent of a step fits, the activations of a step do not."""
    sizes = sorted(len(data) for name, data in whole.bytes.items() if "/c/" in name)
    code, said = whole.forks.run(*whole.words, "--out", tmp_path / "s.zarr", file_bytes=sizes[-1] - 1)
    assert code == 3, said
    assert "found no room on the disk" in said
    assert said.endswith("make room, and the same command resumes")
    check_exact_or_not_done(tmp_path / "s.zarr", whole.store)
    assert whole.forks.run(*whole.words, "--out", tmp_path / "s.zarr")[0] == 0
    assert content(tmp_path / "s.zarr") == whole.bytes


@contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    """A file system of our own in memory, where that is allowed."""
    path.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_ends_with_3_and_resumes(whole: SimpleNamespace, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "size=16m"):
        code, said = whole.forks.run(*whole.words, "--out", disk / "s.zarr")
        assert code == 3, said
        assert "recording stopped before the disk" in said
        check_exact_or_not_done(disk / "s.zarr", whole.store)
        subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
        code, said = whole.forks.run(*whole.words, "--out", disk / "s.zarr")
        assert code == 0, said
        assert content(disk / "s.zarr") == whole.bytes


@pytest.mark.parametrize("there", ["nothing", "a store"])
def test_a_target_that_cannot_be_written_is_refused(whole: SimpleNamespace, tmp_path: Path, there: str) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "size=16m"):
        if there == "a store":
            stores.create_store(disk / "s.zarr")
        before = content(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, said = whole.forks.run(*whole.words, "--out", disk / "s.zarr")
        assert code == 2, said
        assert "may not be written" in said
        assert content(disk) == before


def test_a_trace_that_is_being_written_is_refused(whole: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    first = sorted(name for name in whole.bytes if name.endswith("-0/zarr.json"))[0]
    running = whole.forks.start(*whole.words, "--out", out)
    while not (out / first).exists():
        time.sleep(0.002)
    spec = stores.ArraySpec("x", ("step",), {"step": (0,)}, ("step",))
    with pytest.raises(stores.Busy, match="got a trace that is being written"):
        stores.create_store(out).begin(Path(first).parts[0], [spec], [], {}, resume=True)
    assert running.wait() == 0
    assert content(out) == whole.bytes


def test_of_two_equal_commands_at_once_one_is_refused(whole: SimpleNamespace, tmp_path: Path) -> None:
    command = [*whole.words, "--out", tmp_path / "s.zarr"]
    codes = whole.forks.together(command, command)
    told = [(whole.forks.folder / f"stderr-{number}").read_text().splitlines()[-1] for number in range(2)]
    refused = [said for code, said in zip(codes, told, strict=True) if code]
    assert sorted(codes) == [0, 2], told
    assert "got a trace that is being written, allowed one writer at a time" in refused[0]
    assert content(tmp_path / "s.zarr") == whole.bytes


def test_eight_processes_add_to_one_store_at_once(whole: SimpleNamespace, tmp_path: Path) -> None:
    words = [word for word in whole.words if word not in ("--seed", "0:2")]
    alone, out = tmp_path / "alone" / "s.zarr", tmp_path / "s.zarr"
    assert whole.forks.run(*words, "--seed", "0:8", "--out", alone)[0] == 0
    codes = whole.forks.together(*([*words, "--seed", seed, "--out", out] for seed in range(8)))
    assert codes == [0] * 8
    store, reference = stores.open_store(out), stores.open_store(alone)
    assert sorted(store.traces) == sorted(reference.traces)
    assert store.index == reference.index
    for trace_id in store:
        assert content(out / trace_id) == content(alone / trace_id)


def test_other_settings_are_refused(whole: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    running = whole.forks.start(*whole.words, "--out", out)
    time.sleep(0.7 * whole.seconds)
    running.send(signal.SIGKILL)
    running.wait()
    before = content(out)
    code, said = whole.forks.run(*whole.words, "--guidance", 2, "--out", out)
    assert code == 2
    assert "other settings; got guidance 2.0, allowed 1.5" in said
    assert content(out) == before


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tiny_wan_killed_at_a_hundred_moments(tmp_path: Path) -> None:
    with forker("tiny-wan", tmp_path) as forks:
        whole, draw, killed = _whole(forks, [*TINY], tmp_path), random.Random(0), 0
        for number in range(3 * KILLS):
            code = stop_and_resume(whole, tmp_path / str(number) / "s.zarr", draw.uniform(0.02, 1), signal.SIGKILL)
            killed += code == -signal.SIGKILL
            whole.seconds *= 1 if code else 0.98  # it ended before: the machine has less to do than it had
            if killed == KILLS:
                break
        assert killed == KILLS

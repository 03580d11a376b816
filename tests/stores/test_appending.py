"""A file that grows while the next chunks are coded: in order, bounded, and never silent about an error."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from dit_lens_stores import appending as module
from dit_lens_stores.appending import BATCH_BYTES, BESIDE_BYTES, appending
from dit_lens_stores.layout import STREAM_BYTES
from dit_lens_stores.shard_file import ChunkCoder, write_shard

LZ4 = {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle", "typesize": 4, "blocksize": STREAM_BYTES}
Written = Callable[[int, Any], int]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "dit-lens-file"]


def content(count: int, size: int) -> list[bytes]:
    return [np.random.default_rng(number).bytes(size) for number in range(count)]


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize(("count", "size"), [(0, 0), (3, 5), (1500, 7), (9, BATCH_BYTES), (5, BESIDE_BYTES + 1)])
def test_chunks_are_appended_in_order(tmp_path: Path, beside: bool, checksum: bool, count: int, size: int) -> None:
    chunks, wanted = content(count, size), b""
    with (tmp_path / "0").open("wb", buffering=0) as file, appending(file, beside) as append:
        for chunk in chunks:
            pieces = [chunk[: size // 3], memoryview(chunk)[size // 3 :]]
            wanted += chunk + (google_crc32c.value(chunk).to_bytes(4, "little") if checksum else b"")
            assert append(pieces, checksum) == size + 4 * checksum
    assert (tmp_path / "0").read_bytes() == wanted
    assert not threads()


def test_only_large_files_that_take_time_have_a_thread(tmp_path: Path) -> None:
    for beside, count, running in ((True, 3, False), (True, 6, True), (False, 6, False)):
        with (tmp_path / "0").open("wb", buffering=0) as file, appending(file, beside) as append:
            for chunk in content(count, BATCH_BYTES):
                append([chunk], False)
            assert bool(threads()) == running


@pytest.mark.parametrize("size", [1, 999, BATCH_BYTES])
def test_a_system_that_takes_less_than_it_is_given_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole: Any = os.writev
    write: Written = os.write
    monkeypatch.setattr(os, "writev", lambda handle, pieces: whole(handle, [b"".join(pieces)[:size]]))
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:BATCH_BYTES]))
    chunks = content(5, BATCH_BYTES + 3)
    with (tmp_path / "0").open("wb", buffering=0) as file, appending(file, beside=True) as append:
        for chunk in chunks:
            append([chunk[:100], chunk[100:]], False)
    assert (tmp_path / "0").read_bytes() == b"".join(chunks)


def test_the_thread_is_never_far_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, taken, wrote = threading.Event(), [], module._write
    monkeypatch.setattr(module, "_write", lambda handle, chunks: (gate.wait(60), wrote(handle, chunks)))
    monkeypatch.setattr(module, "BESIDE_BYTES", 0)

    def append_all() -> None:
        with (tmp_path / "0").open("wb", buffering=0) as file, appending(file, beside=True) as append:
            for chunk in content(8, BATCH_BYTES):
                append([chunk], False)
                taken.append(chunk)

    caller = threading.Thread(target=append_all)
    caller.start()
    caller.join(0.3)
    assert caller.is_alive()
    assert len(taken) <= 3  # one is being written, two wait
    gate.set()
    caller.join(60)
    assert (tmp_path / "0").read_bytes() == b"".join(taken)
    assert len(taken) == 8


@pytest.mark.parametrize("fails", [1, 5, 11])
def test_an_error_of_the_thread_is_raised_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    calls, wrote = [], module._write_all

    def write(handle: int, pieces: Any) -> None:
        calls.append(1)
        if len(calls) == fails:
            raise OSError(28, "No space left on device")
        wrote(handle, pieces)

    monkeypatch.setattr(module, "_write_all", write)
    values = np.random.default_rng(0).standard_normal((10, 2**17)).astype(np.float32)
    with pytest.raises(OSError, match="No space left"):
        write_shard(tmp_path / "0", enumerate(values), 10, ChunkCoder(LZ4))
    assert len(calls) == fails  # nothing is written after it
    assert not threads()
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_chunks_ends_the_thread_and_leaves_no_file(tmp_path: Path) -> None:
    def chunks() -> Iterator[tuple[int, Any]]:
        noise = np.random.default_rng(0)
        for place in range(10):
            yield place, noise.standard_normal(2**17).astype(np.float32)
        assert threads()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "0", chunks(), 20, ChunkCoder(LZ4))
    assert not threads()
    assert list(tmp_path.iterdir()) == []

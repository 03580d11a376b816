"""A check of a store finds every flipped bit, and says at which address."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dit_lens.testing import synthetic_store
from dit_lens_stores import (
    ArraySpec,
    Damaged,
    NotAStore,
    Report,
    Store,
    TraceWriter,
    UnknownTrace,
    create_store,
    open_store,
    verify,
)

DIMS = ("branch", "step", "layer", "token", "channel")
LABELS = {"branch": ("cond", "uncond"), "step": (0, 4), "layer": (1, 2, 5), "token": tuple(range(6)), "channel": (0, 1)}


@pytest.fixture
def sharded(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Shards of three layers, of two chunks each."""
    monkeypatch.setattr("dit_lens_stores.layout.CHUNK_BYTES", 24)
    specs = [ArraySpec("block.out.raw", DIMS, LABELS, DIMS[:3]), ArraySpec("energy", DIMS[:4], _first(4), DIMS[:3])]
    writer = store.begin("t0", specs, [], {"model": "tiny"})
    for spec in specs:
        for number, event in enumerate(spec.events()):
            writer.write(spec.name, event, np.random.default_rng(number).standard_normal(spec.event_shape).astype("f4"))
    writer.finish()
    return store


def _first(count: int) -> dict[str, tuple[int | str, ...]]:
    return {dim: LABELS[dim] for dim in DIMS[:count]}


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def addresses(report: Report) -> set[str]:
    return {problem.address for problem in report.problems}


def test_a_whole_store_is_whole(full: Store, specs: list[ArraySpec]) -> None:
    report = verify(full.path)
    assert report.ok
    assert report.problems == report.unfinished == report.leftovers == ()
    assert (report.traces, report.sums) == (1, 0)
    assert report.events == sum(len(spec.events()) for spec in specs)
    files = [file for file in full.path.rglob("c/**/*") if file.is_file() and any(s.name in file.parts for s in specs)]
    assert (report.files, report.bytes) == (len(files), sum(file.stat().st_size for file in files))
    report.require()


def test_it_needs_no_torch(full: Store) -> None:
    script = "import sys, dit_lens_stores as d; d.verify(sys.argv[1]).require(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script, str(full.path)], check=True)


@pytest.mark.parametrize("seed", range(120))
def test_a_flipped_bit_anywhere_in_a_shard_is_told_with_its_address(sharded: Store, seed: int) -> None:
    draw = random.Random(seed)
    branch, step = draw.randrange(2), draw.randrange(2)
    file = sharded.path / "t0" / "block.out.raw" / "c" / str(branch) / str(step) / "0" / "0" / "0"
    length = file.stat().st_size
    index = 16 * 6 + 4  # 3 layers of 2 chunks
    place = draw.randrange(8 * length)
    flip(file, place)
    report = verify(sharded.path)
    told = f"t0/block.out.raw[branch={LABELS['branch'][branch]}, step={LABELS['step'][step]}, layer="
    assert not report.ok
    if place // 8 < length - index:
        assert len(addresses(report)) == 1
    assert all(address.startswith(told) for address in addresses(report))
    assert {problem.file for problem in report.problems} == {file.relative_to(sharded.path).as_posix()}
    layer = int(next(iter(addresses(report))).rpartition("=")[2].rstrip("]"))
    assert layer in LABELS["layer"]
    if len(addresses(report)) == 1:  # reading just that address fails, the others are as they were
        trace = open_store(sharded.path)["t0"]
        for other in set(LABELS["layer"]) - {layer}:
            _ = (
                trace["block.out.raw"]
                .sel(branch=LABELS["branch"][branch], step=LABELS["step"][step], layer=other)
                .values
            )


def test_the_message_is_one_line_with_the_address(sharded: Store) -> None:
    flip(sharded.path / "t0" / "energy" / "c" / "1" / "0" / "0" / "0", 40)
    with pytest.raises(Damaged) as caught:
        verify(sharded.path).require()
    assert str(caught.value) == (
        f"verify found 1 problem in '{sharded.path}'; got t0/energy[branch=uncond, step=0, layer=1]: a crc32c that "
        f"does not fit, in 't0/energy/c/1/0/0/0', allowed none; trace it again, or copy the files again"
    )
    assert caught.value.exit_code == 1


Harm = Callable[[Path], object]
HARMS: list[tuple[Harm, str]] = [
    (lambda t: (t / "block.out.raw/c/0/0/0/0/0").unlink(), "the file is gone"),
    (lambda t: (t / "block.out.raw/c/0/0/0/0/0").write_bytes(b""), "does not fit"),
    (lambda t: _append(t / "block.out.raw/c/0/0/0/0/0", b"\0"), "does not fit"),
    (lambda t: (t / "energy/c/0/0/0/0").write_bytes(b"1234"), "does not fit"),
    (lambda t: (t / "energy/zarr.json").unlink(), "lacks a file"),
    (lambda t: (t / "energy/zarr.json").write_text("{"), "no JSON"),
    (lambda t: (t / "energy_done/c/0/0/0").unlink(), "lacks a file"),
    (lambda t: flip(t / "energy_done/c/0/0/0", 3), "does not fit"),
    (lambda t: flip(t / "step/c/0", 70), "energy"),
    (lambda t: (t / "branch/c/0").unlink(), "lacks a file"),
    (lambda t: (t / "energy/c/7").write_bytes(b"1"), "a file that no mark promises"),
    (lambda t: _attributes(t, status="done"), "status 'done'"),
    (lambda t: _attributes(t, manifest=[]), "manifest is [], allowed object"),
    (lambda t: _attributes(t, manifest={"seed": "3"}), "manifest.seed is '3', allowed integer"),
    (lambda t: _attributes(t, arrays=["energy"]), "the index says"),
    (lambda t: (t / "zarr.json").write_text("[]"), "a JSON list"),
]


def _append(file: Path, data: bytes) -> None:
    file.write_bytes(file.read_bytes() + data)


def _attributes(trace: Path, **changes: object) -> None:
    node = json.loads((trace / "zarr.json").read_text())
    node["attributes"] |= changes
    (trace / "zarr.json").write_text(json.dumps(node))


@pytest.mark.parametrize("number", range(len(HARMS)))
def test_every_harm_is_told(sharded: Store, number: int) -> None:
    harm, told = HARMS[number]
    harm(sharded.path / "t0")
    report = verify(sharded.path)
    assert not report.ok
    assert any(told in str(problem) for problem in report.problems), report.problems
    assert all(problem.trace == "t0" for problem in report.problems)


def test_a_mark_that_promises_what_is_not_there(sharded: Store) -> None:
    """Two chunks of a shard are cut out, the index and its checksum made anew."""
    import google_crc32c

    file = sharded.path / "t0/block.out.raw/c/0/1/0/0/0"
    data, length = file.read_bytes(), 16 * 6
    index = np.frombuffer(data[-length - 4 : -4], "<u8").reshape(6, 2).copy()
    start = int(index[4, 0])
    index[4:] = 2**64 - 1
    body = data[:start] + index.tobytes()
    file.write_bytes(body + google_crc32c.value(index.tobytes()).to_bytes(4, "little"))
    report = verify(sharded.path)
    assert addresses(report) == {"t0/block.out.raw[branch=cond, step=4, layer=5]"}
    assert {problem.what for problem in report.problems} == {"the chunk is not in the shard"}


def test_what_is_not_done_in_a_complete_trace(sharded: Store) -> None:
    import google_crc32c

    file = sharded.path / "t0/energy_done/c/0/0/0"
    marks = bytearray(file.read_bytes()[:-4])
    marks[0] = 0
    file.write_bytes(bytes(marks) + google_crc32c.value(bytes(marks)).to_bytes(4, "little"))
    (problem,) = verify(sharded.path).problems
    assert str(problem) == "t0/energy[branch=cond, step=0, layer=1]: not done in a complete trace"


def test_an_unfinished_trace_is_not_a_bad_one(
    store: Store, specs: list[ArraySpec], begin: Callable[..., TraceWriter], fill: Callable[..., None]
) -> None:
    writer = begin()
    fill(writer, specs, upto=3)
    writer.drain()
    (store.path / "t0" / "block.out.raw" / "c" / "9.partial").write_bytes(b"half")
    (store.path / "t0" / "latent.energy" / "c" / "9").write_bytes(b"late")
    (store.path / "notes.txt").write_text("mine")
    report = verify(store.path)
    assert report.ok
    assert report.unfinished == ("t0",)
    assert "t0/block.out.raw/c/9.partial" in report.leftovers
    assert "notes.txt" in report.leftovers


def test_hashes_that_lie_in_the_store_are_compared(sharded: Store) -> None:
    from dit_lens_stores.share.extras import sums_of
    from dit_lens_stores.share.files import store_files

    sums = sums_of(store_files(sharded))
    (sharded.path / sums.key).write_bytes(sums.data)
    assert verify(sharded.path).sums == len(sums.data.splitlines())
    node = sharded.path / "t0" / "energy" / "zarr.json"
    node.write_text(node.read_text().replace('"exact"', '"exact" '))
    (problem,) = verify(sharded.path).problems
    assert (problem.trace, problem.file, problem.what) == ("t0", "t0/energy/zarr.json", "another sha256 than it had")


def test_of_a_zip_as_of_a_folder(sharded: Store, tmp_path: Path) -> None:
    flip(sharded.path / "t0/block.out.raw/c/0/1/0/0/0", 99)
    packed = shutil.make_archive(str(tmp_path / "a"), "zip", sharded.path.parent, sharded.path.name)
    stored = tmp_path / "stored.zip"
    import zipfile

    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            inside = name.partition("/")[2]
            if inside and not name.endswith("/"):
                new.writestr(inside, old.read(name))
    assert addresses(verify(stored)) == addresses(verify(sharded.path)) != set()


def test_some_traces_only(sharded: Store) -> None:
    with pytest.raises(UnknownTrace) as caught:
        verify(sharded.path, traces=["t1"])
    assert str(caught.value) == (f"verify found no trace in '{sharded.path}'; got 't1', allowed t0; name one of them")
    assert verify(sharded.path, traces=["t0"]).traces == 1


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStore):
        verify(tmp_path / "nothing")
    assert verify(create_store(tmp_path / "a.zarr").path).ok


def test_sums_of_what_was_shared_go_when_a_trace_is_added(tmp_path: Path) -> None:
    """A store that was fetched brings the sums of its files; with another trace they would not be true any more."""
    synthetic_store(tmp_path / "a.zarr", traces=["a"])
    (tmp_path / "a.zarr" / "SHA256SUMS").write_text(f"{'0' * 64}  zarr.json\n")
    synthetic_store(tmp_path / "a.zarr", traces=["b"])
    assert not (tmp_path / "a.zarr" / "SHA256SUMS").exists()
    assert verify(tmp_path / "a.zarr").ok

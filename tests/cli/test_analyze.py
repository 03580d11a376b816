"""``dit-lens analyze`` over several stores, under dask and in parts; what it does alone stands in test_commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import xarray as xr

from dit_lens.probing import load_result
from dit_lens.testing import synthetic_store

ENERGY = ("--probe", "energy")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("stores")
    names = {"left": ("a", "b"), "right": ("b", "c")}
    made = [synthetic_store(folder / f"{name}.zarr", traces=traces, video=False) for name, traces in names.items()]
    return made[0].path, made[1].path


@pytest.fixture(scope="module")
def expected(stores: tuple[Path, Path]) -> xr.Dataset:
    from dit_lens.probing import analyze

    return analyze(stores, "energy")


def test_several_stores_are_one_analysis(dit_lens_command, tmp_path: Path, stores, expected) -> None:
    said = dit_lens_command("analyze", *stores, *ENERGY, "--out", tmp_path, "--json")
    assert said.code == 0, said.err
    assert said.json["stores"] == [str(store) for store in stores]
    (record,) = said.json["results"]
    assert record["traces"] == ["a", "left/b", "right/b", "c"]
    assert load_result(record["result"]).equals(expected)


def test_progress_is_in_bytes(dit_lens_command, tmp_path: Path, stores) -> None:
    said = dit_lens_command("analyze", *stores, *ENERGY, "--out", tmp_path)
    assert said.err.splitlines() == ["probe energy on 4 traces: 1.44 kB of 23 kB"]


def test_dask_reads_the_chunks(dit_lens_command, tmp_path: Path, stores, expected) -> None:
    said = dit_lens_command("analyze", *stores, *ENERGY, "--scheduler", "threads", "--out", tmp_path)
    assert said.code == 0, said.err
    assert load_result(tmp_path / "energy.zarr").equals(expected)


def test_parts_are_combined(dit_lens_command, tmp_path: Path, stores, expected) -> None:
    words = ("analyze", *stores, *ENERGY, "--out", tmp_path)
    for part, scheduler in (("2/3", ()), ("0/3", ("--scheduler", "threads")), ("1/3", ())):
        said = dit_lens_command(*words, "--shard", part, *scheduler, "--json")
        assert said.code == 0, said.err
        (record,) = said.json["shards"]
        assert record["shard"] == part
        assert Path(record["state"]).is_file()
        first = json.loads(said.err.splitlines()[0])
        assert (first["work"], first["done"]) == (f"probe energy on 4 traces, part {part}", 1440)
    assert not (tmp_path / "energy.zarr").exists()
    said = dit_lens_command(*words, "--combine")
    assert said.code == 0, said.err
    assert said.err == ""
    assert "result   " in said.out
    assert load_result(tmp_path / "energy.zarr").equals(expected)


def test_a_part_says_where_it_is(dit_lens_command, tmp_path: Path, stores) -> None:
    said = dit_lens_command("analyze", *stores, *ENERGY, "--out", tmp_path, "--shard", "1/2")
    assert said.out == f"part     {tmp_path / 'energy.shard-1-of-2.state'}  (energy 1.0, 1/2)\n"


BAD = {
    "no store": ("analyze --probe energy --out out", "STORES"),
    "a store twice": ("analyze LEFT LEFT --probe energy --out out", "a store was given twice; got '"),
    "a store that is none": ("analyze LEFT nothing.zarr --probe energy --out out", "nothing.zarr"),
    "an unknown trace": (
        "analyze LEFT RIGHT --probe energy --trace d --out out",
        "got 'd', allowed a, left/b, right/b, c",
    ),
    "a scheduler that is none": ("analyze LEFT --probe energy --scheduler theads --out out", "allowed threads, proce"),
    "a part that is none": (
        "analyze LEFT --probe energy --shard 2/2 --out out",
        "--shard cannot be used; got '2/2', allowed 0/N to N-1/N with N from 1 to 8, the number of chunks",
    ),
    "more parts than chunks": ("analyze LEFT --probe energy --shard 0/9 --out out", "N from 1 to 8"),
    "a part to combine": (
        "analyze LEFT --probe energy --shard 0/2 --combine --out out",
        "--combine reads no chunks; got --shard beside it, allowed one of the two; remove --shard, or --combine",
    ),
    "a scheduler to combine": (
        "analyze LEFT --probe energy --scheduler threads --combine --out out",
        "--combine reads no chunks; got --scheduler beside it",
    ),
    "nothing to combine": ("analyze LEFT --probe energy --combine --out out", "no part of probe 'energy' is in 'out'"),
}


@pytest.mark.parametrize(("words", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_leaves_nothing(words: str, says: str, dit_lens_command, empty: Path, stores) -> None:
    named = words.replace("LEFT", str(stores[0])).replace("RIGHT", str(stores[1]))
    said = dit_lens_command(*named.split())
    assert said.code == 2, said.err
    assert says in said.complaint
    assert list(empty.iterdir()) == []


def test_parts_of_other_parameters_are_refused(dit_lens_command, tmp_path: Path, stores) -> None:
    words = ("analyze", *stores, *ENERGY, "--out", tmp_path)
    assert dit_lens_command(*words, "--shard", "0/1", "--set", "energy.clip_low=2").code == 0
    said = dit_lens_command(*words, "--combine")
    assert said.code == 2
    assert "'energy.shard-0-of-1.state' is a part of another analysis; got params" in said.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["energy.shard-0-of-1.state"]


def test_a_missing_part_is_named(dit_lens_command, tmp_path: Path, stores) -> None:
    words = ("analyze", *stores, *ENERGY, "--out", tmp_path)
    assert dit_lens_command(*words, "--shard", "1/3").code == 0
    said = dit_lens_command(*words, "--combine")
    assert said.code == 2
    assert "got 1 of 3, allowed all; make them with --shard 0/3 2/3" in said.complaint


def test_without_dask_the_extra_is_named(dit_lens_command, empty: Path, stores, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    said = dit_lens_command("analyze", *stores, *ENERGY, "--scheduler", "threads", "--out", "out")
    assert said.code == 2
    assert said.complaint == (
        "the scheduler 'threads' needs dask; got no package 'dask', allowed an installed one; pip install "
        "'dit-lens[dask]'"
    )
    assert list(empty.iterdir()) == []

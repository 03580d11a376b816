"""``dit-lens store verify | merge | select | rechunk``, and ``trace --shard`` whose parts are merged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import dit_lens
from dit_lens.cli.failures import BadOption
from dit_lens.cli.numbers import part_of
from dit_lens_stores import ArraySpec, create_store, open_store, verify
from dit_lens_stores.share import pack


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def bad(store: Path, tmp_path: Path) -> Path:
    """A copy of the store in which one bit is flipped."""
    copy = tmp_path / "bad.zarr"
    shutil.copytree(store, copy)
    file = copy / "maze-3x3-0-seed-1" / "block.out.energy" / "c" / "1" / "0" / "0" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[30] ^= 4
    file.write_bytes(data)
    return copy


def test_verify_a_whole_store(dit_lens_command, store: Path) -> None:
    said = dit_lens_command("store", "verify", store)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0].split() == ["store", str(store)]
    assert said.out.splitlines()[-1] == "all is well"
    record = dit_lens_command("store", "verify", store, "--json").json
    assert (record["ok"], record["problems"], record["traces"]) == (True, [], 2)
    assert record["events"] == verify(store).events


def test_verify_names_the_bad_addresses_and_ends_with_1(dit_lens_command, bad: Path) -> None:
    said = dit_lens_command("store", "verify", bad)
    assert said.code == 1
    assert said.complaint.startswith("verify found 10 problems in")
    lines = [line for line in said.out.splitlines() if line.startswith("bad")]
    assert len(lines) == 10  # a chunk of energy holds all layers
    assert lines[3] == (
        "bad         maze-3x3-0-seed-1/block.out.energy[branch=uncond, step=0, layer=3]: a crc32c that does not fit, "
        "in 'maze-3x3-0-seed-1/block.out.energy/c/1/0/0/0/0'"
    )
    said = dit_lens_command("store", "verify", bad, "--json")
    assert said.code == 1
    assert said.json["problems"][3]["event"] == {"branch": "uncond", "step": 0, "layer": 3}
    assert dit_lens_command("store", "verify", bad, "--trace", "maze-3x3-0-seed-0").code == 0
    assert dit_lens_command("store", "verify", bad, "--trace", "maze").code == 2


def test_shards_are_merged_to_the_store_of_one_command(
    dit_lens_command, store: Path, model: Path, tmp_path: Path
) -> None:
    words = f"trace {model} --task maze --size 3 --seed 0:2 --steps 2 --frames 17 --for energy".split()
    parts = [tmp_path / f"{part}.zarr" for part in (0, 1)]
    for part, out in enumerate(parts):
        said = dit_lens_command(*words, "--shard", f"{part}/2", "--out", out, "--json")
        assert said.code == 0, said.err
        assert [unit["trace"] for unit in said.json["units"]] == [f"maze-3x3-0-seed-{part}"]
    said = dit_lens_command("store", "merge", *parts, "-o", tmp_path / "all.zarr")
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == f"store    {tmp_path / 'all.zarr'}"
    assert content(tmp_path / "all.zarr") == content(store)
    assert dit_lens_command("store", "merge", *parts, "-o", tmp_path / "all.zarr").code == 2
    again = dit_lens_command(*words, "--out", tmp_path / "all.zarr", "--json")
    assert [unit["status"] for unit in again.json["units"]] == ["skipped", "skipped"]


@pytest.mark.parametrize("shard", ["2/2", "0/8", "1", "a/2", "0/0", "-1/2"])
def test_a_shard_that_cannot_be(shard: str) -> None:
    with pytest.raises(BadOption) as caught:
        part_of([1, 2, 3], shard)
    assert str(caught.value) == (
        f"--shard cannot be used; got {shard!r}, allowed 0/N to N-1/N with N from 1 to 3, the number of traces; write "
        f"--shard 0/2 for the first part"
    )


def test_the_shards_hold_everything_once() -> None:
    for count in range(1, 8):
        parts = [part_of(range(7), f"{part}/{count}") for part in range(count)]
        assert sorted(number for part in parts for number in part) == list(range(7))


def test_select(dit_lens_command, store: Path, tmp_path: Path) -> None:
    words = ["--trace", "maze-3x3-0-seed-1", "--array", "block.out.energy", "--select", "step=1,layer=2:4"]
    out = tmp_path / "b.zarr"
    said = dit_lens_command("store", "select", store, "-o", out, *words, "--encoding", "bitround:10", "--json")
    assert said.code == 0, said.err
    assert said.json == {"store": str(out), "traces": ["maze-3x3-0-seed-1"]}
    trace = dit_lens.open(out)["maze-3x3-0-seed-1"]
    assert {dim: trace["block.out.energy"][dim].values.tolist() for dim in ("step", "layer")} == {
        "step": [1],
        "layer": [2, 3],
    }
    assert trace.manifest["lineage"] == [
        {
            "source": "maze.zarr",
            "encoding": "bitround:10",
            "trace": "maze-3x3-0-seed-1",
            "select": "step=1,layer=2:4",
            "arrays": ["block.out.energy"],
        }
    ]
    assert verify(out).ok
    assert dit_lens_command("store", "select", store, "-o", tmp_path / "c.zarr", "--select", "stp=1").code == 2
    assert not (tmp_path / "c.zarr").exists()


def test_rechunk(dit_lens_command, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.zarr"
    said = dit_lens_command("store", "rechunk", store, "-o", out, "--chunk", "4KiB", "--shard", "4KiB")
    assert said.code == 0, said.err
    before, after = (open_store(path)["maze-3x3-0-seed-0"] for path in (store, out))
    for name in before:
        assert before[name].load().equals(after[name].load())
    assert len(content(out)) > len(content(store))


def test_info_tells_the_size_of_a_zip_and_the_format_of_the_store(dit_lens_command, tmp_path: Path) -> None:
    store = create_store(tmp_path / "a.zarr")
    pack(store.path, tmp_path / "a.zip")
    record = dit_lens_command("store", "info", tmp_path / "a.zip", "--json").json
    assert record["bytes"] == (tmp_path / "a.zip").stat().st_size
    node = json.loads((store.path / "zarr.json").read_text())
    node["attributes"]["dit_lens_format"] = "1.7"
    (store.path / "zarr.json").write_text(json.dumps(node))
    assert dit_lens_command("store", "info", store.path, "--json").json["format"] == "1.7"
    said = dit_lens_command("store", "info", "memory://no-such/a.zarr")
    assert said.code == 2
    assert "'memory://no-such/a.zarr'" in said.complaint


def test_what_a_store_says_cannot_act_on_the_terminal(dit_lens_command, tmp_path: Path) -> None:
    prompt = "two\nlines \x1b[2J\x7f\u202eend \u3000 \U0001f469\u200d\U0001f680"
    store = create_store(tmp_path / "a.zarr")
    store.begin("t0", [ArraySpec("x", ("step",), {"step": (0,)}, ("step",))], [], {"prompt": prompt})
    said = dit_lens_command("store", "ls", store.path)
    assert "two\\nlines \\x1b[2J\\x7f\\u202eend \u3000 \U0001f469\u200d\U0001f680" in said.out
    assert "\x7f" not in dit_lens_command("store", "ls", store.path, "--json").out
    assert dit_lens_command("store", "ls", store.path, "--json").json["traces"]["t0"]["prompt"] == prompt

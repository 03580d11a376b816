"""``dit-lens store ls | pack | push | pull``: what they say, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from dit_lens_stores import ArraySpec, create_store, open_store

Command = Any
URL = "memory://command/a.zarr"


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    yield
    files = fsspec.filesystem("memory")
    if files.exists("/command"):
        files.rm("/command", recursive=True)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = create_store(tmp_path / "a.zarr")
    labels = {"step": (0, 1), "layer": (0, 3), "frame": (0,), "token": (0, 1, 2)}
    spec = ArraySpec("block.out.energy", tuple(labels), labels, ("step", "layer"))
    for seed in (0, 1):
        known = {"model": "tiny-wan", "licence": "Apache-2.0", "seed": seed, "steps": 2, "prompt": "Draw."}
        writer = made.begin(f"maze-{seed}", [spec], [], known)
        for event in spec.events():
            writer.write(spec.name, event, np.full((1, 3), seed, np.float32))
        writer.finish()
    return made.path


def test_ls_lists_traces_of_a_folder_a_zip_and_an_address(
    dit_lens_command: Command, store: Path, tmp_path: Path
) -> None:
    assert dit_lens_command("store", "pack", store, "-o", tmp_path / "a.zarr.zip").code == 0
    assert dit_lens_command("store", "push", store, URL, "--license", "MIT").code == 0
    for place in (store, tmp_path / "a.zarr.zip", URL):
        said = dit_lens_command("store", "ls", place)
        assert said.code == 0
        rows = [line.split() for line in said.out.splitlines()]
        assert rows[0] == ["trace", "status", "model", "seed", "steps", "prompt"]
        assert rows[1:] == [[f"maze-{seed}", "complete", "tiny-wan", str(seed), "2", "Draw."] for seed in (0, 1)]
    assert dit_lens_command("store", "ls", URL, "--json").json["traces"]["maze-1"]["seed"] == 1


def test_pack_says_where_and_how_large(dit_lens_command: Command, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zarr.zip"
    said = dit_lens_command("store", "pack", store, "-o", out, "--json")
    assert said.json == {"zip": str(out), "bytes": out.stat().st_size}
    again = dit_lens_command("store", "pack", store, "-o", out)
    assert (again.code, again.out) == (2, "")
    assert again.err.splitlines()[-1].startswith(f"pack refused '{out}'; got something that is there already")


def test_push_and_pull_and_the_same_again(dit_lens_command: Command, store: Path, tmp_path: Path) -> None:
    words = ("store", "push", store, URL, "--license", "CC-BY-4.0", "--json")
    first, second = dit_lens_command(*words), dit_lens_command(*words)
    assert (first.code, second.code) == (0, 0)
    assert first.json["sent_files"] == first.json["files"] > 10
    assert (second.json["sent_files"], second.json["sent_bytes"]) == (0, 0)
    card = fsspec.filesystem("memory").cat_file("/command/a.zarr/README.md").decode()
    assert "these probes need: `energy`" in card
    said = dit_lens_command("store", "pull", URL, tmp_path / "b.zarr")
    assert said.code == 0
    assert f"source         {URL}" in said.out
    assert open_store(tmp_path / "b.zarr").traces == ("maze-0", "maze-1")
    part = ("--select", "step=1,layer=3", "--trace", "maze-1", "--array", "block.out.energy", "--json")
    assert dit_lens_command("store", "pull", URL, tmp_path / "c.zarr", *part).json["traces"] == 1
    assert open_store(tmp_path / "c.zarr")["maze-1"]["block.out.energy"].values.tolist() == [[[[1.0] * 3]]]


def test_a_store_with_a_path_in_it_goes_out_only_knowingly(dit_lens_command: Command, store: Path) -> None:
    writer = create_store(store).begin(
        "t2", [ArraySpec("x", (), {})], [], {"model": "m", "licence": "MIT", "data": "/home/ada/x.png"}
    )
    writer.write("x", {}, np.float32(0))
    writer.finish()
    words = ("store", "push", store, URL, "--license", "MIT")
    refused = dit_lens_command(*words)
    assert refused.code == 2
    assert "got an absolute path '/home/...' in t2/zarr.json: attributes.manifest.data" in refused.complaint
    assert dit_lens_command(*words, "--allow-private").code == 0


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ("push {store} memory://command/x", 2, "push does not know the licence of the data in"),
        ("push {store} htp://x --license MIT", 2, "push cannot reach 'htp://x'; got Protocol not known: htp"),
        ("push {store}", 2, "is missing; got nothing, allowed one value; add"),
        ("push no.zarr memory://x --license MIT", 2, "open_store found no store at 'no.zarr'"),
        ("pull memory://command/none {store}2", 2, "pull found no store at 'memory://command/none'"),
        ("pull {store} {store}2 --select step=9", 2, "has no such step; got '9', allowed 0, 1"),
        ("pull {store} {store}", 0, ""),
        ("pack {store}", 2, "--out is missing"),
        ("ls no.zarr", 2, "open_store found no store at 'no.zarr'"),
    ],
)
def test_what_is_wrong_is_one_line(
    dit_lens_command: Command, empty: Path, store: Path, words: str, code: int, line: str
) -> None:
    said = dit_lens_command("store", *words.format(store=store).split())
    assert said.code == code, said.err
    if code:
        assert line in said.complaint


def test_what_is_not_complete_leaves_with_three(dit_lens_command: Command, store: Path, tmp_path: Path) -> None:
    create_store(store).begin("t2", [ArraySpec("x", (), {})], [], {"model": "m"})
    assert dit_lens_command("store", "push", store, URL, "--license", "MIT").code == 3
    assert dit_lens_command("store", "pack", store, "-o", tmp_path / "a.zip").code == 3
    assert dit_lens_command("store", "pack", store, "-o", tmp_path / "a.zip", "--partial").code == 0

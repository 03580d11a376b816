"""A check of a store compares what its attributes say with its marks and its folders, and misses no trace."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_lens_stores import (
    ArraySpec,
    Coordinate,
    Corrupt,
    NotDone,
    Store,
    StoreError,
    StoreExists,
    create_store,
    merge,
    open_store,
    select_into,
    verify,
)
from dit_lens_stores.nodes import read_array
from dit_lens_stores.places import place_of
from dit_lens_stores.share import check_structure, pack
from dit_lens_stores.share.files import is_part, store_files


@pytest.fixture
def small(tmp_path: Path) -> Store:
    """Two arrays of one trace, the second with fewer steps and frames."""
    store = create_store(tmp_path / "a.zarr")
    whole: dict[str, tuple[int | str, ...]] = {"step": (0, 1, 2), "frame": (0, 1)}
    specs = [
        ArraySpec("x", ("step", "frame"), whole, ("step",)),
        ArraySpec("y", ("step", "frame"), {"step": (1,), "frame": (1,)}, ("step",), encoding="bits"),
    ]
    writer = store.begin("t0", specs, [Coordinate("sigma", "step", {0: 1.0, 1: 0.5, 2: 0.25})], {"model": "tiny"})
    for spec in specs:
        for event in spec.events():
            writer.write(spec.name, event, np.ones(spec.event_shape, np.float32))
    writer.finish()
    return store


def change(file: Path, how: Callable[[dict[str, Any]], object]) -> None:
    node = json.loads(file.read_text())
    how(node)
    file.write_text(json.dumps(node))


@pytest.mark.parametrize(
    ("file", "how", "said"),
    [
        ("y", lambda node: node["attributes"].pop("own_labels"), "other own labels of 'step' than its marks tell"),
        ("y", lambda node: node["attributes"]["own_labels"].update(step=[1, 2]), "other own labels of 'step'"),
        ("x", lambda node: node["attributes"].update(own_labels={"step": [0]}), "other own labels of 'step'"),
        ("sigma", lambda node: node.update(dimension_names=["stop"]), "a coordinate along 'stop', which no array has"),
        ("", lambda node: node["attributes"].pop("coordinates"), "an array that the trace does not name"),
        ("y", lambda node: node["attributes"].update(encoding="exact"), "uint16 of encoding 'exact'"),
        ("x", lambda node: node["attributes"].update(encoding="bits"), "float32 of encoding 'bits'"),
        ("x", lambda node: node["attributes"].update(encoding="float16"), "float32 of encoding 'float16'"),
        ("x", lambda node: node.update(dimension_names=["step", "a\x1bb"]), "dimension names"),
        ("", lambda node: node["attributes"]["arrays"].append("a\nb"), "attribute 'arrays' of another form"),
    ],
)
def test_attributes_that_fit_nothing_else_are_told(
    small: Store, file: str, how: Callable[[dict[str, Any]], object], said: str
) -> None:
    assert verify(small.path).ok
    assert verify(small.path).leftovers == ()
    change(small.path / "t0" / file / "zarr.json", how)
    report = verify(small.path)
    assert any(said in problem.what for problem in report.problems), report.problems
    assert all("\n" not in str(problem) and "\x1b" not in str(problem) for problem in report.problems)


@pytest.mark.parametrize("gone", ["t0", "t0/zarr.json"])
def test_a_complete_trace_that_is_gone_is_told(small: Store, gone: str) -> None:
    path = small.path / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (problem,) = verify(small.path).problems
    assert problem.file == "t0/zarr.json"
    assert "the index calls the trace complete" in problem.what
    with pytest.raises(NotDone, match=r"found trace 't0' not whole; got no t0/zarr\.json, allowed"):
        check_structure(open_store(small.path))


def test_a_trace_that_the_index_does_not_name_is_told(small: Store, tmp_path: Path) -> None:
    change(small.path / "zarr.json", lambda node: node["attributes"]["traces"].clear())
    (problem,) = verify(small.path).problems
    assert str(problem) == "t0: a trace that the index does not name, in 't0/zarr.json'"
    pack_by_hand(small.path, tmp_path / "a.zip")
    assert [problem.trace for problem in verify(tmp_path / "a.zip").problems] == ["t0"]


def pack_by_hand(store: Path, out: Path) -> None:
    with zipfile.ZipFile(out, "w") as made:
        for file in store.rglob("*"):
            made.write(file, file.relative_to(store))


def test_files_that_nobody_reads_are_leftovers_and_are_not_copied(small: Store) -> None:
    files = [file.key for file in store_files(small)]
    strange = ("t0/notes/c/0", "t0/step/c/7", "t0/step/c/00", "t0/x_done/c/1/0", "t0/notes/zarr.json", "u/x/c/0")
    for name in strange:
        (small.path / name).parent.mkdir(parents=True, exist_ok=True)
        (small.path / name).write_text("secret")
    report = verify(small.path)
    assert report.ok
    assert sorted(report.leftovers) == sorted(strange)
    assert [file.key for file in store_files(small)] == files


def test_what_a_running_trace_has_of_its_files_is_copied(tmp_path: Path) -> None:
    store = create_store(tmp_path / "a.zarr")
    writer = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))], [], {})
    writer.write("x", {"step": 0}, np.float32(1))
    writer.drain()
    on_disk = {path.relative_to(store.path).as_posix() for path in store.path.rglob("*") if path.is_file()}
    assert {file.key for file in store_files(store)} == on_disk
    assert "t0/x/c/0" in on_disk


def test_a_zip_whose_members_share_bytes_is_refused(small: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("zarr.json", (small.path / "zarr.json").read_bytes())
        made.writestr("t0/x/c/0", b"\0" * 4096)
        again = copy(made.getinfo("t0/x/c/0"))
        again.filename = again.orig_filename = "t0/x/c/1"
        made.filelist.append(again)
    with pytest.raises(Corrupt, match="got members that share their bytes, allowed bytes of their own"):
        open_store(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("t0/q/c", "t0/q/c/0"), "got a file and a folder 't0/q/c', allowed one of the two"),
        (("t0/" + "q" * 256 + "/zarr.json",), "got a name that no disk holds, allowed at most 255 bytes"),
    ],
)
def test_a_zip_that_no_folder_can_hold_is_refused(
    small: Store, tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for name in ("zarr.json", *names):
            made.writestr(name, (small.path / "zarr.json").read_bytes())
    with pytest.raises(Corrupt, match=said):
        open_store(tmp_path / "a.zip")


@pytest.mark.parametrize("write", [merge, select_into, pack], ids=["merge", "select", "pack"])
def test_what_cannot_be_written_there_is_one_line(small: Store, tmp_path: Path, write: Callable[..., object]) -> None:
    source: Any = [small.path] if write is merge else small.path
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        StoreError, match=r"^(merge|select|pack) cannot make '.*file/x\.zip'; got [A-Z].*, allowed a place"
    ):
        write(source, tmp_path / "file" / "x.zip")
    with pytest.raises(
        StoreExists, match=r"got a path inside the store '.*a\.zarr', allowed one outside of every store"
    ):
        write(source, small.path / "inner" / "x.zip")
    assert verify(small.path).leftovers == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "a.zarr.log.jsonl", "file"]


def test_a_store_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"^create_store cannot make '.*file/x'; got Not a directory, allowed"):
        create_store(tmp_path / "file" / "x")


def test_an_address_that_fails_while_it_is_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^reading 'zarr.json' of 'zip://.*' failed; got .*, allowed an answer"):
        verify(f"zip://{tmp_path}")


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb", "a\x7f", "a\\b"])
def test_names_hold_no_control_characters(small: Store, name: str) -> None:
    with pytest.raises(StoreError, match=r"^ArraySpec refused its name"):
        ArraySpec(name, ("step",), {"step": (0,)})
    assert not is_part(f"t0/{name}/zarr.json")
    change(small.path / "t0" / "x" / "zarr.json", lambda node: node.update(dimension_names=["step", name]))
    with pytest.raises(Corrupt, match="dimension names"):
        read_array(place_of(small.path), "t0/x")

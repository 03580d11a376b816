"""Stores are joined by links, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dit_lens_stores import (
    ArraySpec,
    NotAStore,
    NotDone,
    Store,
    StoreError,
    StoreExists,
    create_store,
    merge,
    open_store,
    verify,
)

SPEC = ArraySpec("x", ("step", "token"), {"step": (0, 1), "token": (0, 1)}, ("step",))


def add(store: Store, trace_id: str, seed: int = 0) -> None:
    writer = store.begin(trace_id, [SPEC], [], {"model": "tiny", "seed": seed})
    for event in SPEC.events():
        writer.write("x", event, np.full(2, seed + event["step"], np.float32))
    writer.finish()


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def parts(tmp_path: Path, count: int = 3) -> list[Path]:
    """Seven traces, as ``--shard i/n`` splits them."""
    stores = [create_store(tmp_path / f"part-{number}.zarr") for number in range(count)]
    for seed in range(7):
        add(stores[seed % count], f"seed-{seed}", seed)
    return [store.path for store in stores]


def test_the_parts_of_a_run_become_the_store_of_one_run(tmp_path: Path) -> None:
    alone = create_store(tmp_path / "alone.zarr")
    for seed in range(7):
        add(alone, f"seed-{seed}", seed)
    sources = parts(tmp_path)
    before = [content(path) for path in sources]
    assert merge(sources, tmp_path / "new" / "all.zarr") == alone.traces
    assert content(tmp_path / "new" / "all.zarr") == content(alone.path)
    assert [content(path) for path in sources] == before
    assert verify(tmp_path / "new" / "all.zarr").ok
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["all.zarr", "all.zarr.log.jsonl"]


def test_no_array_is_written_again(tmp_path: Path) -> None:
    sources = parts(tmp_path, 1)
    merge(sources, tmp_path / "all.zarr")
    chunk = "seed-0/x/c/0/0"
    assert (sources[0] / chunk).stat().st_ino == (tmp_path / "all.zarr" / chunk).stat().st_ino


def test_where_links_are_not_possible_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    sources = parts(tmp_path)
    monkeypatch.setattr(os, "link", refuse)
    merge(sources, tmp_path / "all.zarr")
    assert verify(tmp_path / "all.zarr").ok
    assert (tmp_path / "all.zarr/seed-0/x/c/0/0").stat().st_nlink == 1


def test_a_store_that_is_added_to_leaves_the_merged_one_alone(tmp_path: Path) -> None:
    sources = parts(tmp_path)
    merge(sources, tmp_path / "all.zarr")
    before = content(tmp_path / "all.zarr")
    add(create_store(sources[0]), "late")
    assert content(tmp_path / "all.zarr") == before


def test_a_trace_in_two_stores_is_taken_once_if_it_is_the_same(tmp_path: Path) -> None:
    first, second = (create_store(tmp_path / name) for name in "ab")
    add(first, "t0", 1)
    add(second, "t0", 1)
    add(second, "t1", 2)
    assert merge([first.path, second.path], tmp_path / "c") == ("t0", "t1")


def test_different_traces_of_one_id_are_refused(tmp_path: Path) -> None:
    first, second = (create_store(tmp_path / name) for name in "ab")
    add(first, "t0", 1)
    add(second, "t0", 2)
    with pytest.raises(StoreError) as caught:
        merge([first.path, second.path], tmp_path / "c")
    assert str(caught.value) == (
        f"merge found two traces of one id; got 't0' in '{first.path}' and '{second.path}', which differ in "
        f"'t0/x/c/0/0', allowed one trace or equal ones; leave one of the stores out"
    )
    assert not (tmp_path / "c").exists()


def test_what_is_not_complete_is_refused(tmp_path: Path) -> None:
    store = create_store(tmp_path / "a")
    store.begin("t0", [SPEC], [], {}).fail("stopped")
    with pytest.raises(NotDone, match=r"merge refused .* got traces that are not complete \(t0\)"):
        merge([store.path], tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("there", ["a file", "a folder with something", "a store", "a link"])
def test_what_is_at_the_target_is_left_alone(tmp_path: Path, there: str) -> None:
    sources, out = parts(tmp_path), tmp_path / "out"
    if there == "a file":
        out.write_text("mine")
    elif there == "a store":
        create_store(out)
    elif there == "a link":
        out.symlink_to(tmp_path / "elsewhere")
    else:
        out.mkdir()
        (out / "notes").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(StoreExists) as caught:
        merge(sources, out)
    assert str(caught.value) == (f"merge refused '{out}'; got something there, allowed a new path; choose another path")
    assert content(tmp_path) == before


def test_a_merge_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, links = parts(tmp_path), []
    link = os.link

    def full(*names: Path) -> None:
        links.append(names)
        if len(links) > 9:
            raise KeyboardInterrupt
        link(*names)

    monkeypatch.setattr(os, "link", full)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        merge(sources, tmp_path / "all.zarr")
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_merged(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="merge got no store; got 0, allowed at least 1"):
        merge([], tmp_path / "a")
    with pytest.raises(NotAStore):
        merge([tmp_path / "nothing"], tmp_path / "a")
    with pytest.raises(StoreError, match="got no folder, allowed folders on this machine"):
        merge(["memory://a.zarr"], tmp_path / "a")
    assert len(open_store(parts(tmp_path)[0])) == 3

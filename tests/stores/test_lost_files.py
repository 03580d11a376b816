"""A file that a complete trace has lost is named; it does not read as NaN, black video or a label of -1."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dit_lens_stores import NotDone, Store, TraceWriter, open_store

SHARD = "t0/block.out.raw/c/0/1/0/0/0/0"
FRAME = "labels, marks or metadata"
LOST = [
    (SHARD, "block.out.raw[branch=cond, step=1, layer=1], block.out.raw[branch=cond, step=1, layer=3]"),
    ("t0/latent.energy/c/2/0", "latent.energy[step=2]"),
    ("t0/video/c/0/0/0/0", "video"),
    ("t0/step/c/0", FRAME),
    ("t0/sigma/c/0", FRAME),
    ("t0/expert/zarr.json", FRAME),
    ("t0/latent.energy_done/c/0", FRAME),
]


@pytest.mark.parametrize(("file", "held"), LOST)
def test_a_lost_file_is_named(full: Store, file: str, held: str) -> None:
    (full.path / file).unlink()
    with pytest.raises(NotDone) as caught:
        open_store(full.path)["t0"]
    assert str(caught.value) == (
        f"trace 't0' has lost files in '{full.path}'; got no '{file}', which held {held}, allowed every file that was "
        f"written; copy the store again, or read the rest with get('t0', partial=True)"
    )


def test_a_lost_array_is_named(full: Store) -> None:
    shutil.rmtree(full.path / "t0" / "video")
    with pytest.raises(NotDone, match=r"got no 't0/video/zarr\.json', which held labels, marks or metadata"):
        full["t0"]


def test_the_rest_is_read_on_demand_and_the_lost_events_are_missing(full: Store) -> None:
    (full.path / SHARD).unlink()
    trace = full.get("t0", partial=True)
    assert trace.lost() == (SHARD,)
    event = {"branch": "cond", "step": 1}
    assert trace.missing() == [("block.out.raw", event | {"layer": layer}) for layer in (1, 3)]
    there = trace["block.out.raw"].notnull().all(["layer", "frame", "token", "channel"])
    assert there.sel(branch="cond").values.tolist() == [True, False, True]


def test_what_was_never_written_is_not_lost(store: Store, begin: Callable[..., TraceWriter], full: Store) -> None:
    begin("t1").fail("stopped")
    assert (full["t0"].lost(), store.get("t1", partial=True).lost()) == ((), ())


def test_a_whole_copy_of_a_store_opens(full: Store, tmp_path: Path) -> None:
    shutil.copytree(full.path, tmp_path / "copy.zarr")
    assert open_store(tmp_path / "copy.zarr")["t0"].missing() == []


def test_a_temporary_file_of_a_killed_writer_does_not_warn(begin: Callable[..., TraceWriter], store: Store) -> None:
    begin()
    (store.path / "t0" / f"zarr.{'0a' * 16}.partial").write_text("{")
    assert len(store.get("t0", partial=True).missing()) == 34

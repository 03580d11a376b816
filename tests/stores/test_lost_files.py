"""A file that a complete trace has lost is named; it does not read as NaN, black video or a label of -1."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dit_lens_stores import NotDone, Store, TraceWriter, open_store

SHARD = "t0/block.out.raw/c/0/1/0/0/0/0"
RAW = "block.out.raw"
VALUES = [
    (SHARD, RAW, f"{RAW}[branch=cond, step=1, layer=1], {RAW}[branch=cond, step=1, layer=3]"),
    ("t0/latent.energy/c/2/0", "latent.energy", "latent.energy[step=2]"),
    ("t0/video/c/0/0/0/0", "video", "video"),
]
FRAME = ["step/c/0", "sigma/c/0", "expert/zarr.json", "latent.energy_done/c/0", "latent.energy/zarr.json"]


@pytest.mark.parametrize(("file", "array", "held"), VALUES)
def test_lost_values_are_named_when_they_are_read(full: Store, file: str, array: str, held: str) -> None:
    (full.path / file).unlink()
    trace = open_store(full.path)["t0"]
    with pytest.raises(NotDone) as caught:
        _ = trace[array].values
    assert str(caught.value) == (
        f"trace 't0' has lost what was written in '{full.path}'; got no values of {held} in '{file}', allowed every "
        f"event that is marked done; copy the store again, or open the rest with get('t0', partial=True)"
    )
    others = [name for name in trace if name != array]
    assert all(trace[name].load() is not None for name in others)


@pytest.mark.parametrize("file", FRAME)
def test_lost_labels_coordinates_marks_and_metadata_are_named(full: Store, file: str) -> None:
    (full.path / "t0" / file).unlink()
    trace = open_store(full.path)["t0"]
    with pytest.raises(NotDone) as caught:
        _ = trace["latent.energy"]
    assert str(caught.value) == (
        f"trace 't0' lacks a file in '{full.path}'; got status 'complete' and no 't0/{file}', allowed every file of a "
        f"trace; copy the store again, or trace it again"
    )
    assert trace.lost()[0] == f"t0/{file}"


def test_a_lost_array_is_named_and_its_siblings_are_read(full: Store) -> None:
    shutil.rmtree(full.path / "t0" / "video")
    trace = full["t0"]
    assert trace.lost() == ("t0/video/zarr.json",)
    assert trace["latent.energy"].values.shape == (3, 2)
    with pytest.raises(NotDone, match=r"no 't0/video/zarr\.json'"):
        _ = trace.dataset
    assert "video" not in full.get("t0", partial=True).dataset


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

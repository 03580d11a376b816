"""A smaller store holds what was selected, under its true labels, and says where it came from."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from dit_lens_stores import ArraySpec, NotDone, Store, StoreError, StoreExists, open_store, select_into, verify
from dit_lens_stores.schema import FORMAT_KEY


def test_a_copy_of_everything_has_the_same_values(full: Store, tmp_path: Path) -> None:
    assert select_into(full.path, tmp_path / "b.zarr") == ("t0",)
    copy = open_store(tmp_path / "b.zarr")["t0"]
    for name in full["t0"]:
        xr.testing.assert_identical(copy[name].load(), full["t0"][name].load())
    assert copy.manifest == full["t0"].manifest | {"lineage": [{"source": "a.zarr", "trace": "t0"}]}
    assert verify(tmp_path / "b.zarr").ok
    assert not list(tmp_path.glob(".*"))


def test_a_part_keeps_its_labels(full: Store, tmp_path: Path) -> None:
    select_into(full.path, tmp_path / "b.zarr", arrays=["block.out.energy"], selection="step=1:3,layer=3,y=1")
    copy, whole = open_store(tmp_path / "b.zarr")["t0"], full["t0"]["block.out.energy"]
    assert copy.arrays == ("block.out.energy",)
    part = copy["block.out.energy"]
    assert (part.step.values.tolist(), part.layer.values.tolist()) == ([1, 2], [3])
    assert part.token.values.tolist() == [3, 4, 5]
    xr.testing.assert_equal(part.load(), whole.sel(step=[1, 2], layer=[3], token=[3, 4, 5]).load())
    (lineage,) = copy.manifest["lineage"]
    assert lineage == {
        "source": "a.zarr",
        "trace": "t0",
        "select": "step=1:3,layer=3,y=1",
        "arrays": ["block.out.energy"],
    }


def test_a_copy_of_a_copy_says_both(full: Store, tmp_path: Path) -> None:
    select_into(full.path, tmp_path / "b.zarr", selection="step=0:2")
    select_into(tmp_path / "b.zarr", tmp_path / "c.zarr", selection="step=1", encoding="bitround:7")
    assert open_store(tmp_path / "c.zarr")["t0"].manifest["lineage"] == [
        {"source": "a.zarr", "trace": "t0", "select": "step=0:2"},
        {"source": "b.zarr", "encoding": "bitround:7", "trace": "t0", "select": "step=1"},
    ]


@pytest.mark.parametrize("encoding", ["bits", "bitround:7", "bitround:3"])
def test_in_another_encoding(full: Store, tmp_path: Path, encoding: str) -> None:
    """The values are bfloat16, which 7 bits of mantissa hold exactly."""
    select_into(full.path, tmp_path / "b.zarr", encoding=encoding)
    copy = open_store(tmp_path / "b.zarr")["t0"]
    for name in full["t0"]:
        before, after = full["t0"][name].values, copy[name].values
        if name == "video" or encoding != "bitround:3":
            assert np.array_equal(before, after, equal_nan=True)
        else:
            assert not np.array_equal(before, after, equal_nan=True)
            assert np.allclose(before, after, rtol=2**-4, equal_nan=True)
    assert copy["block.out.raw"].attrs["encoding"] == encoding
    assert copy["video"].attrs["encoding"] == "exact"


def test_what_an_encoding_cannot_hold_is_refused_and_leaves_nothing(full: Store, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match="is too large for float16"):
        select_into(full.path, tmp_path / "b.zarr", encoding="float16")
    with pytest.raises(StoreError, match="got 'bit', allowed exact, bits"):
        select_into(full.path, tmp_path / "b.zarr", encoding="bit")
    assert sorted(tmp_path.iterdir()) == before


def test_in_other_chunks(store: Store, tmp_path: Path) -> None:
    labels: dict[str, tuple[int, ...]] = {"step": (0, 1), "layer": tuple(range(8)), "token": tuple(range(1024))}
    spec = ArraySpec("x", tuple(labels), labels, ("step", "layer"))
    writer = store.begin("t0", [spec], [], {})
    for number, event in enumerate(spec.events()):
        writer.write("x", event, np.full(1024, number, np.float32))
    writer.finish()
    select_into(store.path, tmp_path / "b.zarr", chunk_bytes=4096, shard_bytes=16384)
    copy = open_store(tmp_path / "b.zarr")["t0"]
    assert np.array_equal(copy["x"].values, store["t0"]["x"].values)
    files = {path.relative_to(tmp_path / "b.zarr").as_posix() for path in (tmp_path / "b.zarr/t0/x/c").rglob("*/*/*")}
    assert files == {f"t0/x/c/{step}/{part}/0" for step in (0, 1) for part in (0, 1)}
    assert copy.manifest["lineage"][0] == {"source": "a.zarr", "chunk_bytes": 4096, "shard_bytes": 16384, "trace": "t0"}
    assert verify(tmp_path / "b.zarr").ok
    with pytest.raises(StoreError, match="select got chunk_bytes; got 7, allowed 4096 or more"):
        select_into(store.path, tmp_path / "c.zarr", chunk_bytes=7)


def test_the_latents_of_the_run_stay_with_the_steps(store: Store, tmp_path: Path) -> None:
    from dit_lens_stores.latents import latent_coordinate

    spec = ArraySpec("x", ("step",), {"step": (0, 1, 2)}, ("step",))
    writer = store.begin("t0", [spec], [latent_coordinate()], {})
    for step in range(3):
        writer.note_latents(step, f"{step}a" * 32)
        writer.write("x", {"step": step}, np.float32(step))
    writer.note_latents(3, "3a" * 32)
    writer.finish()
    select_into(store.path, tmp_path / "b.zarr", selection="step=1:3")
    copy = open_store(tmp_path / "b.zarr")["t0"]
    assert copy["x"].latent_sha256.values.tolist() == ["1a" * 32, "2a" * 32]
    assert copy.manifest["latents"] == [f"{step}a" * 32 for step in range(4)]


def test_it_refuses_what_is_there_and_what_is_not_done(full: Store, begin: Any, tmp_path: Path) -> None:
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "notes").write_text("mine")
    with pytest.raises(StoreExists, match="select refused"):
        select_into(full.path, tmp_path / "b.zarr")
    begin("t1").fail("stopped")
    with pytest.raises(NotDone):
        select_into(full.path, tmp_path / "c.zarr")
    assert select_into(full.path, tmp_path / "c.zarr", traces=["t0"]) == ("t0",)
    assert FORMAT_KEY in open_store(tmp_path / "c.zarr").attributes


def test_memory_does_not_grow_with_the_store(store: Store, tmp_path: Path) -> None:
    labels: dict[str, tuple[int, ...]] = {"step": tuple(range(16)), "layer": (0, 1), "token": tuple(range(2**20))}
    spec = ArraySpec("x", tuple(labels), labels, ("step", "layer"))
    writer = store.begin("t0", [spec], [], {}, queue_bytes=2**24)
    for event in spec.events():
        writer.write("x", event, np.zeros(2**20, np.float32))
    writer.finish()
    select_into(store.path, tmp_path / "warm.zarr", selection="step=0:4")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    select_into(store.path, tmp_path / "b.zarr")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # of 134 MB

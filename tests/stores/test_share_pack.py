"""A store becomes one zip: the same bytes each time, read in place, whole or not there."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from dit_lens_stores import NotDone, StoreError, StoreExists, create_store, open_store
from dit_lens_stores.share import pack, pull

from .shared import ENERGY, LICENCE, RAW, add_trace, content, make_store, of_store


def test_the_same_store_gives_the_same_zip(tmp_path: Path) -> None:
    for name in ("a.zarr", "b.zarr"):  # made twice, so times of files differ
        make_store(tmp_path / name)
    for store, out in (("a.zarr", "1.zip"), ("a.zarr", "2.zip"), ("b.zarr", "3.zip")):
        pack(tmp_path / store, tmp_path / out)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes() == (tmp_path / "3.zip").read_bytes()
    assert not list(tmp_path.glob("*.partial"))
    with zipfile.ZipFile(tmp_path / "1.zip") as packed:
        assert packed.namelist() == sorted(content(tmp_path / "a.zarr"))
        assert {info.compress_type for info in packed.infolist()} == {zipfile.ZIP_STORED}
        assert packed.testzip() is None


def test_a_zip_is_read_in_place_by_us_by_zarr_and_by_xarray(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.zarr")
    pack(store.path, tmp_path / "a.zarr.zip")
    ours = open_store(tmp_path / "a.zarr.zip")
    assert all(ours[trace][name].identical(store[trace][name]) for trace in store for name in store[trace])
    with zarr.storage.ZipStore(tmp_path / "a.zarr.zip", mode="r") as plain:
        group = zarr.open_group(plain, mode="r", path="t1")
        assert np.array_equal(group[ENERGY][...], store["t1"].dataset[ENERGY].values)
        dataset = xr.open_zarr(plain, group="t1", consolidated=False)
        assert np.array_equal(dataset[ENERGY].values, store["t1"].dataset[ENERGY].values)
        assert dataset[RAW].dtype == np.uint16


def test_nothing_is_replaced_and_nothing_half_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "a.zarr", 1)
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(StoreExists, match=r"^pack refused '.*a\.zip'; got something that is there already, allowed"):
        pack(store.path, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_text() == "mine"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dit_lens_stores.share.zip_files.shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        pack(store.path, tmp_path / "b.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "a.zarr.log.jsonl", "a.zip"]


def test_traces_that_are_not_complete_are_refused_unless_asked_for(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.zarr", 1)
    add_trace(store, "t1", 1, upto=12)
    with pytest.raises(
        NotDone, match=r"not complete \(t1\), allowed complete ones; trace them again, or add --partial"
    ):
        pack(store.path, tmp_path / "a.zip")
    pack(store.path, tmp_path / "a.zip", partial=True)
    packed = open_store(tmp_path / "a.zip")
    assert packed.status("t1") == "running"
    assert packed["t1"].missing() == store["t1"].missing() != []


def test_leftovers_are_not_packed_and_links_are_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.zarr", 1)
    before = set(content(store.path))
    for left in ("t0/notes.txt", f"t0/{ENERGY}/c/0/0.partial", f"t0/{ENERGY}/.zarr.json.swp", "secret.txt"):
        (store.path / left).write_text("x")
    pack(store.path, tmp_path / "a.zip")
    assert set(zipfile.ZipFile(tmp_path / "a.zip").namelist()) == before
    (store.path / "t0" / "link").symlink_to("/etc/hostname")
    with pytest.raises(StoreError, match=r"refused 't0/link'; got a link, allowed files"):
        pack(store.path, tmp_path / "b.zip")


def test_with_a_licence_a_card_goes_along(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.zarr")
    pack(store.path, tmp_path / "a.zarr.zip", license=LICENCE)
    with zipfile.ZipFile(tmp_path / "a.zarr.zip") as packed:
        assert {"README.md", "croissant.json", "SHA256SUMS"} < set(packed.namelist())
        assert json.loads(packed.read("croissant.json"))["license"].endswith("CC-BY-4.0.html")
        assert b'dit_lens.open("a.zarr.zip")["t0"]' in packed.read("README.md")
    pull(tmp_path / "a.zarr.zip", tmp_path / "b.zarr")
    assert of_store(content(tmp_path / "b.zarr")) == content(store.path)
    pack(tmp_path / "b.zarr", tmp_path / "a2" / "a.zarr.zip")  # the licence is known from before
    assert (tmp_path / "a2" / "a.zarr.zip").read_bytes() == (tmp_path / "a.zarr.zip").read_bytes()


def test_another_ending_and_what_is_no_store_are_refused(tmp_path: Path) -> None:
    create_store(tmp_path / "a.zarr")
    with pytest.raises(StoreError, match=r"got another ending, allowed \.zip, .* call it 'a\.tar\.zip'$"):
        pack(tmp_path / "a.zarr", tmp_path / "a.tar")
    with pytest.raises(StoreError, match="open_store found no store"):
        pack(tmp_path / "none.zarr", tmp_path / "a.zip")
    with pytest.raises(StoreError, match="got no folder of this machine, allowed a store in one; pull it first"):
        pack("memory://a.zarr", tmp_path / "a.zip")

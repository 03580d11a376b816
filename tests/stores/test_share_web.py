"""From a plain web server, which cannot list: the hashes that were pushed with a store name its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dit_lens_stores import Corrupt, Store, StoreError, open_store
from dit_lens_stores.share import pack, pull, push

from .shared import ENERGY, LICENCE, content, make_store, of_store
from .test_remote import Web, serve


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with serve(tmp_path) as web:
        yield web


@pytest.fixture
def made(tmp_path: Path) -> Store:
    return make_store(tmp_path / "a.zarr")


def test_all_of_a_store_that_was_pushed_comes(web: Web, made: Store, tmp_path: Path) -> None:
    push(made.path, f"file://{tmp_path}/site/a.zarr", license=LICENCE)
    pull(f"{web.url}/site/a.zarr", tmp_path / "b.zarr")
    assert content(tmp_path / "b.zarr") == content(tmp_path / "site/a.zarr")
    assert pull(f"{web.url}/site/a.zarr", tmp_path / "b.zarr").fetched_files == 0


def test_of_one_that_was_not_only_a_part_comes(web: Web, made: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^pull cannot list '.*a\.zarr'; got no 'SHA256SUMS' .* --select") as caught:
        pull(f"{web.url}/a.zarr", tmp_path / "b.zarr")
    assert caught.value.exit_code == 2
    web.forget()
    pull(f"{web.url}/a.zarr", tmp_path / "b.zarr", select="step=1,branch=cond", traces=["t0"], arrays=[ENERGY])
    assert open_store(tmp_path / "b.zarr")["t0"][ENERGY].sizes["step"] == 1
    values = {path for path, _ in web.asked if f"{ENERGY}/c/" in path}
    assert values == {f"/a.zarr/t0/{ENERGY}/c/0/1/0/0/0"}


@pytest.mark.parametrize("licence", [None, LICENCE])
def test_a_zip_behind_an_address_is_unpacked(web: Web, made: Store, tmp_path: Path, licence: str | None) -> None:
    pack(made.path, tmp_path / "a.zip", license=licence)
    pulled = pull(f"{web.url}/a.zip", tmp_path / "b.zarr")
    assert of_store(content(tmp_path / "b.zarr")) == content(made.path)
    assert pulled.source == f"{web.url}/a.zip"


def test_a_changed_byte_is_seen(web: Web, made: Store, tmp_path: Path) -> None:
    push(made.path, f"file://{tmp_path}/site/a.zarr", license=LICENCE)
    file = tmp_path / "site/a.zarr/t1/sigma/c/0"
    other = bytearray(file.read_bytes())
    other[4] ^= 1
    file.write_bytes(other)
    with pytest.raises(Corrupt, match="stopped at 't1/sigma/c/0'; got other bytes than were pushed"):
        pull(f"{web.url}/site/a.zarr", tmp_path / "b.zarr")

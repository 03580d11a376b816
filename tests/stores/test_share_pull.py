"""A pull deletes nothing that no pull has written, and keeps nothing that was not asked for."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from dit_lens_stores import Store, StoreError, StoreExists, open_store
from dit_lens_stores.share import pull
from dit_lens_stores.share.slicing import Slice, copy_slice

from .shared import content, make_store, of_store

SELECTS = ("", "step=0")


@pytest.fixture
def made(tmp_path: Path) -> Store:
    return make_store(tmp_path / "a.zarr")


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / ".b.zarr.pull.partial"


@pytest.mark.parametrize("select", SELECTS)
def test_folders_of_the_user_beside_are_left_alone(made: Store, tmp_path: Path, select: str) -> None:
    (tmp_path / "b.zarr.partial").mkdir()
    (tmp_path / "b.zarr.partial/thesis.txt").write_text("mine")
    pull(made.path, tmp_path / "b.zarr", select=select)
    assert content(tmp_path / "b.zarr.partial") == {"thesis.txt": b"mine"}


@pytest.mark.parametrize("select", SELECTS)
def test_what_no_pull_has_written_stops_it(made: Store, tmp_path: Path, partial: Path, select: str) -> None:
    (partial / "t0").mkdir(parents=True)
    for name in ("t0/thesis.txt", "t0/zarr.json"):
        (partial / name).write_text("{}")
    before = content(partial)
    with pytest.raises(StoreExists, match=r"got 't0/thesis\.txt' in it, which no pull has written") as caught:
        pull(made.path, tmp_path / "b.zarr", select=select)
    assert "\n" not in str(caught.value)
    assert content(partial) == before


@pytest.mark.parametrize("select", SELECTS)
def test_a_link_is_not_followed(made: Store, tmp_path: Path, partial: Path, select: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "zarr.json").write_text("{}")
    partial.symlink_to(victim)
    with pytest.raises(StoreExists, match="got a link or a file of that name"):
        pull(made.path, tmp_path / "b.zarr", select=select)
    partial.unlink()
    partial.mkdir()
    (partial / "t0").symlink_to(victim)
    with pytest.raises(StoreExists, match="got 't0' in it"):
        pull(made.path, tmp_path / "b.zarr", select=select)
    assert content(victim) == {"zarr.json": b"{}"}


def test_a_store_of_its_own_is_not_deleted(made: Store, tmp_path: Path, partial: Path) -> None:
    make_store(partial, 1)
    before = content(partial)
    with pytest.raises(StoreExists, match="got a store of its own, which no pull has written"):
        pull(made.path, tmp_path / "b.zarr", select="step=0")
    assert content(partial) == before


def test_a_part_and_the_whole_follow_each_other(made: Store, tmp_path: Path, partial: Path) -> None:
    lineage = {"source": "a.zarr", "revision": None}
    copy_slice(made, _store(partial), Slice({"step": ("0",)}), lineage)
    pull(made.path, tmp_path / "b.zarr")
    assert content(tmp_path / "b.zarr") == content(made.path)
    shutil.copytree(made.path, tmp_path / ".c.zarr.pull.partial")
    (tmp_path / ".c.zarr.pull.partial/zarr.json").unlink()  # so a whole one stops, its root is the last
    pull(made.path, tmp_path / "c.zarr", select="step=0")
    assert open_store(tmp_path / "c.zarr")["t1"].manifest["lineage"][0]["select"] == "step=0"


@pytest.mark.parametrize("broken", [False, True])
def test_traces_that_were_not_asked_for_are_not_kept(made: Store, tmp_path: Path, partial: Path, broken: bool) -> None:
    whole = pull(made.path, tmp_path / "whole.zarr", select="step=0", traces=["t0"]).store
    copy_slice(made, _store(partial), Slice({"step": ("0",)}), {"source": "a.zarr", "revision": None})
    if broken:
        shutil.rmtree(partial / "t1" / "video" / "c")
    pull(made.path, tmp_path / "b.zarr", select="step=0", traces=["t0"])
    assert of_store(content(tmp_path / "b.zarr")) == of_store(content(whole))


def test_a_part_that_lost_a_file_does_not_get_its_name(made: Store, tmp_path: Path, partial: Path) -> None:
    copy_slice(made, _store(partial), Slice({"step": ("0",)}), {"source": "a.zarr", "revision": None})
    shutil.rmtree(partial / "t1" / "video" / "c")
    with pytest.raises(StoreError, match="found trace 't1' not whole"):
        pull(made.path, tmp_path / "b.zarr", select="step=0")
    assert not (tmp_path / "b.zarr").exists()


def test_nothing_stays_of_a_part_that_there_is_not(made: Store, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match="no such axis"):
        pull(made.path, tmp_path / "b.zarr", select="stp=0")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("select", SELECTS)
def test_a_path_that_cannot_be_made_is_one_line(made: Store, tmp_path: Path, select: str) -> None:
    (tmp_path / "file").write_text(json.dumps({}))
    for out, message in ((tmp_path / "file/b.zarr", "pull cannot make"), (made.path / "b", "inside the st")):
        with pytest.raises(StoreError, match=message) as caught:
            pull(made.path, out, select=select)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2


def _store(path: Path) -> Store:
    from dit_lens_stores import create_store

    return create_store(path)


def test_what_comes_is_told_as_it_comes(made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file counts while it comes, and one that is there already counts as well."""
    monkeypatch.setattr("dit_lens_stores.share.pulling.PART", 100)
    told: list[tuple[int, int]] = []
    done = pull(made.path, tmp_path / "b.zarr", tell=lambda *counts: told.append(counts))
    assert [count for count, _ in told] == sorted(count for count, _ in told)
    assert told[-1] == (done.size, done.size)
    assert max(now - before for (before, _), (now, _) in pairwise([(0, 0), *told])) <= 100
    assert len(told) > done.files

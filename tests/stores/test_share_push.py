"""Pushing and pulling over fsspec: whole, in order, twice, interrupted, and only a part."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dit_lens_stores.share.targets as targets
from dit_lens_stores import (
    Corrupt,
    Damaged,
    NotAStore,
    NotDone,
    Store,
    StoreError,
    StoreExists,
    Unreachable,
    create_store,
    open_store,
)
from dit_lens_stores.log import log_of
from dit_lens_stores.share import Target, check_structure, pull, push, target_of
from dit_lens_stores.share.files import File, phase_of
from dit_lens_stores.share.slicing import _events

from .shared import ENERGY, LICENCE, RAW, add_trace, content, make_store, of_store

URL = "memory://shared/a.zarr"


@pytest.fixture(autouse=True)
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    files = fsspec.filesystem("memory")
    yield files
    if files.exists("/shared"):
        files.rm("/shared", recursive=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_lens_stores.share.retrying._FIRST_PAUSE", 0)


@pytest.fixture
def made(tmp_path: Path) -> Store:
    return make_store(tmp_path / "a.zarr")


def remote(files: fsspec.AbstractFileSystem) -> dict[str, bytes]:
    return {path.removeprefix("/shared/a.zarr/"): files.cat_file(path) for path in files.find("/shared/a.zarr")}


def test_there_and_back_is_the_same(made: Store, tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    pushed = push(made.path, URL, license=LICENCE)
    assert of_store(remote(memory)) == content(made.path)
    assert pushed.files == pushed.sent_files == len(content(made.path)) + 3
    read = open_store(URL)
    assert all(read[trace][name].identical(made[trace][name]) for trace in made for name in made[trace])
    pulled = pull(URL, tmp_path / "b.zarr")
    assert content(tmp_path / "b.zarr") == remote(memory)
    assert (pulled.fetched_files, pulled.traces, pulled.revision) == (pushed.files, 2, None)
    assert pull(URL, tmp_path / "b.zarr").fetched_files == 0
    lines = [json.loads(line) for line in log_of(tmp_path / "b.zarr").read_text().splitlines()]
    assert [(line["event"], line["source"]) for line in lines] == [("pull", URL)]
    assert json.loads(log_of(made.path).read_text().splitlines()[-1])["target"] == URL


def test_a_file_address_is_a_target(made: Store, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/out/b.zarr"
    push(made.path, url, license=LICENCE)
    assert of_store(content(tmp_path / "out/b.zarr")) == content(made.path)
    assert str(tmp_path) not in (tmp_path / "out/b.zarr/README.md").read_text()
    assert push(made.path, url, license=LICENCE).sent_files == 0
    pull(url, tmp_path / "c.zarr")
    assert content(tmp_path / "c.zarr") == content(tmp_path / "out/b.zarr")


class Recorder(Target):
    """A target that notes the order of what it is sent, and stops after some files."""

    def __init__(self, inner: Target, stop_after: int = 10**6) -> None:
        self.inner, self.name, self.keys, self.left = inner, inner.name, [], stop_after
        self.files, self.read, self.holds = inner.files, inner.read, inner.holds  # type: ignore[method-assign]

    files = read = holds = None  # type: ignore[assignment]

    def send(self, files: Sequence[File], tell: Callable[[int], None]) -> None:
        for file in files:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.keys.append(file.key)
            self.inner.send([file], tell)


def test_what_points_to_something_comes_after_it(made: Store) -> None:
    target = Recorder(target_of(URL))
    push(made.path, target, license=LICENCE)
    phases = [phase_of(key) for key in target.keys]
    assert phases == sorted(phases)
    assert target.keys[-1] == "zarr.json"
    values = max(i for i, key in enumerate(target.keys) if re.match(r"t\d/[^/]+(?<!_done)/c/", key))
    marks = min(i for i, key in enumerate(target.keys) if "_done/c" in key)
    groups = min(i for i, key in enumerate(target.keys) if re.fullmatch(r"t\d/zarr\.json", key))
    assert values < marks < groups


def test_an_interrupted_push_goes_on_and_ends_the_same(
    made: Store, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    push(made.path, URL, license=LICENCE)
    whole, count = remote(memory), len(remote(memory))
    for stop_after in (0, 1, count // 3, count - 2, count - 1):
        memory.rm("/shared", recursive=True)
        with pytest.raises(KeyboardInterrupt):
            push(made.path, Recorder(target_of(URL), stop_after), license=LICENCE)
        with pytest.raises(NotAStore):
            open_store(URL)
        again = Recorder(target_of(URL))
        assert push(made.path, again, license=LICENCE).sent_files == count - stop_after
        assert remote(memory) == whole


def test_a_file_that_came_half_is_sent_again(made: Store, memory: fsspec.AbstractFileSystem) -> None:
    push(made.path, URL, license=LICENCE)
    whole = remote(memory)
    for key in ("zarr.json", "t0/zarr.json", "t1/zarr.json"):  # so far an interrupted push never comes
        memory.rm(f"/shared/a.zarr/{key}")
    memory.pipe(f"/shared/a.zarr/t0/{ENERGY}/c/0/0/0/0/0", b"half")
    other = bytearray(whole["t1/video/c/0/0/0"])
    other[3] ^= 1
    memory.pipe("/shared/a.zarr/t1/video/c/0/0/0", bytes(other))
    assert push(made.path, URL, license=LICENCE).sent_files == 5
    assert remote(memory) == whole


@pytest.mark.parametrize("key", ["t1/video/c/0/0/0", f"t0/{ENERGY}/c/0/0/0/0/0", "t0/sigma/zarr.json"])
def test_a_complete_trace_is_never_overwritten(made: Store, memory: fsspec.AbstractFileSystem, key: str) -> None:
    push(made.path, URL, license=LICENCE)
    memory.pipe(f"/shared/a.zarr/{key}", b"other")
    before = remote(memory)
    again = Recorder(target_of(URL))
    with pytest.raises(StoreExists) as caught:
        push(made.path, again, license=LICENCE)
    assert str(caught.value) == (
        f"push refused '{URL}'; got other bytes of the complete trace '{key[:2]}' in '{key}' there, allowed an empty "
        f"place or an earlier push of this store; choose another target"
    )
    assert again.keys == []
    assert remote(memory) == before
    memory.rm(f"/shared/a.zarr/{key}")  # what is lost there is sent again
    assert push(made.path, URL, license=LICENCE).sent_files == 1


def test_a_pulled_store_that_has_grown_gets_its_card_and_hashes_anew(
    made: Store, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    push(made.path, URL, license=LICENCE)
    pulled = pull(URL, tmp_path / "b.zarr").store
    add_trace(create_store(pulled), "t2", 2)
    stale = remote(memory)
    push(pulled, URL)
    fresh = remote(memory)
    assert all(fresh[key] != stale[key] for key in ("README.md", "croissant.json", "SHA256SUMS"))
    add_trace(made, "t2", 2)
    memory.rm("/shared", recursive=True)
    push(made.path, URL, license=LICENCE)
    assert remote(memory) == fresh


def test_a_target_that_cannot_be_made_is_one_line(made: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"^push cannot write to 'file://.*/file/x'; got Not a directory, ") as caught:
        push(made.path, f"file://{tmp_path}/file/x", license=LICENCE)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_store_that_has_grown_is_pushed_again(made: Store, memory: fsspec.AbstractFileSystem) -> None:
    push(made.path, URL, license=LICENCE)
    before = len(remote(memory))
    add_trace(made, "t2", 2)
    pushed = push(made.path, URL)  # its licence is not known here, the card lies at the target only
    assert open_store(URL).traces == ("t0", "t1", "t2")
    assert pushed.sent_files == len(remote(memory)) - before + 4  # the root, and what goes with a store


def test_a_passing_failure_is_asked_again_and_a_lasting_one_is_said(
    made: Store, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [ConnectionResetError("reset by peer")] * 3
    opened = type(memory).open

    def open_(self: fsspec.AbstractFileSystem, path: str, mode: str = "rb", **options: object) -> object:
        if mode == "wb" and failures:
            raise failures.pop()
        return opened(self, path, mode, **options)

    monkeypatch.setattr(type(memory), "open", open_)
    push(made.path, URL, license=LICENCE)
    assert not failures
    assert of_store(remote(memory)) == content(made.path)
    memory.rm("/shared", recursive=True)
    failures += [ConnectionResetError("reset by peer")] * 1000
    with pytest.raises(Unreachable) as caught:
        push(made.path, URL, license=LICENCE)
    assert str(caught.value) == (
        f"push to '{URL}' stopped; got reset by peer, allowed an answer; run the same command again, it goes on where "
        f"it stopped"
    )


def test_a_place_with_something_else_is_left_alone(
    made: Store, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    memory.pipe("/shared/a.zarr/thesis.pdf", b"mine")
    with pytest.raises(
        StoreExists, match=r"got 'thesis\.pdf' and 0 other files that are not of this store there, allow"
    ):
        push(made.path, URL, license=LICENCE)
    memory.rm("/shared", recursive=True)
    other = make_store(tmp_path / "other.zarr", 3)
    push(other.path, URL, license=LICENCE)
    before = remote(memory)
    with pytest.raises(StoreExists, match="other files that are not of this store"):
        push(made.path, URL, license=LICENCE)
    shutil.rmtree(tmp_path / "other.zarr")
    other = make_store(tmp_path / "other.zarr", 1)
    add_trace(other, "t1", 7)
    add_trace(other, "t2", 8)
    with pytest.raises(StoreExists, match="got another trace called 't1' there"):
        push(other.path, URL, license=LICENCE)
    assert remote(memory) == before


def test_a_card_of_their_own_is_kept(made: Store, memory: fsspec.AbstractFileSystem) -> None:
    push(made.path, URL, license=LICENCE)
    memory.pipe("/shared/a.zarr/README.md", b"# Our data\n")
    push(made.path, URL, license=LICENCE)
    assert memory.cat_file("/shared/a.zarr/README.md") == b"# Our data\n"


def test_what_is_not_whole_is_not_published(made: Store, memory: fsspec.AbstractFileSystem) -> None:
    add_trace(made, "t2", 2, upto=3)
    with pytest.raises(NotDone, match=r"push refused .* not complete \(t2\)") as caught:
        push(made.path, URL, license=LICENCE)
    assert caught.value.exit_code == 3
    push(made.path, URL, license=LICENCE, partial=True)
    assert open_store(URL).status("t2") == "running"
    (made.path / "t0" / ENERGY / "c/0/1/0/0/0").unlink()
    with pytest.raises(Damaged, match=r"verify found .* got t0/block\.out\.energy\[branch=cond, step=1"):
        push(made.path, URL, license=LICENCE, partial=True)
    with pytest.raises(NotDone, match=r"checking '.*' found trace 't0' not whole; got no t0/block\.out\.energy/c/0/1"):
        push(made.path, URL, license=LICENCE, partial=True, check=check_structure)

    def refuse(store: object) -> None:
        raise Corrupt("as the check says")

    with pytest.raises(Corrupt, match="as the check says"):
        push(made.path, URL, license=LICENCE, partial=True, check=refuse)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("owner/name", "got no scheme, allowed hf, s3, .*; write hf://datasets/OWNER/NAME"),
        ("memry://a", "got Protocol not known: memry, allowed .*did you mean 'memory'"),
        ("https://example.org/a.zarr", "got a web server, which is only read"),
        ("hf://datasets/me", r"got another form of address, allowed hf://datasets/OWNER/NAME\[@REVISION\]"),
        ("hf://models/me/x", "got another form of address"),
    ],
)
def test_a_target_that_cannot_be_is_one_line(made: Store, url: str, message: str) -> None:
    with pytest.raises(StoreError, match=f"^push cannot reach '{url}'; {message}") as caught:
        push(made.path, url, license=LICENCE)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_password_in_an_address_is_not_repeated(made: Store, memory: fsspec.AbstractFileSystem) -> None:
    assert target_of("memory://me:secret@shared/a.zarr").name == "memory://shared/a.zarr"
    with pytest.raises(StoreError) as caught:
        push(made.path, "memry://me:secret@shared/a.zarr", license=LICENCE)
    assert "secret" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(StoreError, match=r"got no package 'obstore'.*pip install 'dit-lens\[s3\]'"):
        target_of("s3://bucket/a.zarr")


class Killed(BaseException):
    """What nobody catches."""


def test_a_killed_pull_goes_on_and_ends_the_same(made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(made.path, URL, license=LICENCE)
    whole = content(pull(URL, tmp_path / "whole.zarr").store)
    fetch, left = __import__("dit_lens_stores.share.pulling", fromlist=["_fetch"])._fetch, 0

    def stop(source: object, key: str, path: Path, came: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f".{path.name}.1.part").write_bytes(b"half")
            raise Killed
        fetch(source, key, path, came)

    monkeypatch.setattr(
        "dit_lens_stores.share.pulling.side_by_side", lambda _, function, some: list(map(function, some))
    )
    monkeypatch.setattr("dit_lens_stores.share.pulling._fetch", stop)
    for stop_after in (0, 5, len(whole) - 1):
        left = stop_after
        with pytest.raises(Killed):
            pull(URL, tmp_path / "b.zarr")
        assert not (tmp_path / "b.zarr").exists()
        left = 10**6
        assert pull(URL, tmp_path / "b.zarr").fetched_files == len(whole) - stop_after
        assert content(tmp_path / "b.zarr") == whole
        assert not (tmp_path / ".b.zarr.pull.partial").exists()
        shutil.rmtree(tmp_path / "b.zarr")


def test_other_bytes_than_were_pushed_are_refused(
    made: Store, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    push(made.path, URL, license=LICENCE)
    key = f"/shared/a.zarr/t0/{ENERGY}/c/0/1/0/0/0"
    other = bytearray(memory.cat_file(key))
    other[5] ^= 1
    memory.pipe(key, bytes(other))
    with pytest.raises(
        Corrupt, match=r"stopped at 't0/block\.out\.energy/c/0/1/0/0/0'; got other bytes than were pushed"
    ):
        pull(URL, tmp_path / "b.zarr")
    memory.rm(key)
    with pytest.raises(Corrupt, match=r"got no 't0/block\.out\.energy/c/0/1/0/0/0', which 'SHA256SUMS' names"):
        pull(URL, tmp_path / "b.zarr")
    memory.pipe("/shared/a.zarr/SHA256SUMS", b"0" * 64 + b"  ../../etc/passwd\n")
    with pytest.raises(Corrupt, match=r"got the line '0+  \.\./\.\.', allowed|got the line '0+  \.\./"):
        pull(URL, tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_nothing_is_pulled_over_something_else(made: Store, tmp_path: Path) -> None:
    push(made.path, URL, license=LICENCE)
    (tmp_path / "b.zarr").mkdir()
    for select in ("", "step=0"):
        with pytest.raises(StoreExists, match=r"^pull refused '.*b\.zarr'; got something"):
            pull(URL, tmp_path / "b.zarr", select=select)
    with pytest.raises(NotAStore, match=r"^pull found no store at 'memory://shared/c\.zarr'; got nothing"):
        pull("memory://shared/c.zarr", tmp_path / "c.zarr")


def test_a_part_is_a_store_of_its_own_with_its_lineage(made: Store, tmp_path: Path) -> None:
    push(made.path, URL, license=LICENCE)
    pull(URL, tmp_path / "b.zarr", select="step=1:3,layer=5,y=1", traces=["t1"])
    part = open_store(tmp_path / "b.zarr")
    assert part.traces == ("t1",)
    trace, whole = part["t1"], made["t1"]
    assert (trace.status, trace.arrays, trace.missing()) == ("complete", (ENERGY, RAW, "video"), [])
    for name in (ENERGY, RAW):
        expected = whole[name].sel(step=[1, 2], layer=[5], token=[3, 4, 5])
        assert trace[name].drop_attrs().identical(expected.load().drop_attrs())
    assert trace[RAW].attrs == whole[RAW].attrs
    assert trace["video"].identical(whole["video"])
    lineage = trace.manifest.pop("lineage")
    assert lineage == [{"source": URL, "revision": None, "trace": "t1", "select": "step=1:3,layer=5,y=1"}]
    pull(tmp_path / "b.zarr", tmp_path / "c.zarr", arrays=[ENERGY])
    again = open_store(tmp_path / "c.zarr")["t1"]
    assert again.arrays == (ENERGY,)
    assert [step["source"] for step in again.manifest["lineage"]] == [URL, "b.zarr"]


def test_a_part_fetches_only_its_chunks(
    made: Store, tmp_path: Path, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(made.path, URL, license=LICENCE)
    asked: set[str] = set()
    cat = type(memory).cat_file

    def note(self: fsspec.AbstractFileSystem, path: str, **options: object) -> bytes:
        asked.add(path.removeprefix("/shared/a.zarr/"))
        return bytes(cat(self, path, **options))

    monkeypatch.setattr(type(memory), "cat_file", note)
    pull(URL, tmp_path / "b.zarr", select="step=2", traces=["t0"], arrays=[ENERGY])
    values = {key for key in asked if re.search(r"(energy|raw|video)/c/", key)}
    assert values == {f"t0/{ENERGY}/c/{branch}/2/0/0/0" for branch in (0, 1)}
    assert not any(key.startswith("t1/") for key in asked)


def test_a_killed_part_goes_on_and_ends_the_same(made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(made.path, URL, license=LICENCE)
    whole = content(pull(URL, tmp_path / "whole.zarr", select="step=1:3").store)
    count = 0

    def stop(array: object, spec: object) -> Iterator[object]:
        nonlocal count
        for pair in _events(array, spec):  # type: ignore[arg-type]
            count += 1
            if count == 30:  # in the second trace
                raise Killed
            yield pair

    with monkeypatch.context() as patch:
        patch.setattr("dit_lens_stores.share.slicing._events", stop)
        with pytest.raises(Killed):
            pull(URL, tmp_path / "b.zarr", select="step=1:3")
    assert not (tmp_path / "b.zarr").exists()
    assert open_store(tmp_path / ".b.zarr.pull.partial").status("t0") == "complete"
    pull(URL, tmp_path / "b.zarr", select="step=1:3")
    assert content(tmp_path / "b.zarr") == whole
    with monkeypatch.context() as patch:
        patch.setattr("dit_lens_stores.share.slicing._events", stop)
        count = 0
        with pytest.raises(Killed):
            pull(URL, tmp_path / "c.zarr", select="step=1:3")
    pull(URL, tmp_path / "c.zarr", select="step=0")  # another one: what is left of the first is not kept
    assert open_store(tmp_path / "c.zarr")["t0"][ENERGY].step.values.tolist() == [0]


def test_a_part_of_what_is_not_done_is_refused(made: Store, tmp_path: Path) -> None:
    add_trace(made, "t2", 2, upto=12)
    with pytest.raises(NotDone, match="found what is not done"):
        pull(made.path, tmp_path / "b.zarr", select="step=3", traces=["t2"])
    assert not (tmp_path / "b.zarr").exists()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"select": "setp=1"}, "has no such axis; got 'setp', allowed .*did you mean 'step'"),
        ({"select": "layer=3"}, "has no such layer; got '3', allowed 2, 5, 9; select what the trace holds"),
        ({"select": "layer=5:5"}, "has no such layer; got '5:5'"),
        ({"select": "step"}, "a selection cannot be read; got 'step', allowed AXIS=TERM"),
        ({"select": "step=1,step=2"}, "got 'step' twice"),
        ({"select": "y=0,token=4"}, "is empty; got y=0,token=4, allowed one token or more"),
        ({"select": "branch=uncond", "arrays": [RAW]}, "holds nothing of a selection"),
        ({"arrays": ["block.out.enrgy"]}, "did you mean 'block.out.energy'"),
        ({"traces": ["t9"]}, "holds no trace of that id; got 't9'"),
    ],
)
def test_a_part_that_there_is_not_is_one_line(
    made: Store, tmp_path: Path, part: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        pull(made.path, tmp_path / "b.zarr", **part)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "b.zarr").exists()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.sets(st.sampled_from(range(4)), min_size=1),
    layers=st.sets(st.sampled_from((2, 5, 9)), min_size=1),
    tokens=st.sets(st.sampled_from(range(6)), min_size=1),
)
def test_every_part_holds_the_very_values(
    tmp_path_factory: pytest.TempPathFactory, steps: set[int], layers: set[int], tokens: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("part")
    made = make_store(folder / "a.zarr", 1)
    terms = {"step": steps, "layer": layers, "token": tokens}
    select = ",".join(f"{axis}={'+'.join(map(str, some))}" for axis, some in terms.items())
    pull(made.path, folder / "b.zarr", select=select)
    part, whole = open_store(folder / "b.zarr")["t0"], made["t0"]
    for name in part:
        held = {dim: whole[name][dim].values.tolist() for dim in terms if dim in whole[name].dims}
        expected = whole[name].sel({dim: [one for one in held[dim] if one in terms[dim]] for dim in held})
        assert part[name].values.tobytes() == expected.values.tobytes()
        assert all(part[name][dim].equals(expected[dim]) for dim in expected.dims)


def test_the_hash_of_a_bucket_is_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "PART", 4)
    assert targets._etag(File("a", data=b"")) == "d41d8cd98f00b204e9800998ecf8427e"
    assert targets._etag(File("a", data=b"abcd")) == "e2fc714c4727ee9395f324cd2e7f331f"
    assert targets._etag(File("a", data=b"abcdabcdab")).endswith("-3")
    assert np.unique([targets._etag(File("a", data=bytes([n]) * 9)) for n in range(5)]).size == 5

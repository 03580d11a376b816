"""A store is read where it lies: over HTTP, in a zip, in a bucket, on the Hub; only what is touched is fetched."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import dit_lens
from dit_lens_stores import ArraySpec, NotAStore, Store, StoreError, TraceWriter, Unreachable, create_store, open_store

DIMS = ("step", "layer", "frame", "token", "channel")
LABELS = {"step": (0, 1), "layer": (4, 9), "frame": (0, 1, 2), "token": range(12), "channel": range(16)}
CHUNK = 12 * 16 * 4
RAW = "block.out.raw"
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Web:
    """A web server of one folder that answers range requests: what was asked, as (path, range), and what was given."""

    root: Path
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    given: int = 0
    ranges: bool = True
    failures: list[int] = field(default_factory=list)
    commit: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)

    def forget(self) -> None:
        self.asked.clear()
        self.given = 0


@contextmanager
def serve(root: Path) -> Iterator[Web]:
    web = Web(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            part = self.headers.get("Range", "")
            web.asked.append((self.path, part))
            web.headers.append({name.lower(): value for name, value in self.headers.items()})
            file = web.root / self.path.partition("?")[0].lstrip("/")
            if web.failures:
                return self._answer(web.failures.pop(0), b"")
            if not file.is_file():
                return self._answer(404, b"")
            content = file.read_bytes()
            if not (part and web.ranges):
                return self._answer(200, content)
            return self._part(content, *RANGE.fullmatch(part).groups())  # type: ignore[union-attr]

        def _part(self, content: bytes, first: str, last: str) -> None:
            start = int(first) if first else max(0, len(content) - int(last))
            end = min(len(content), int(last) + 1) if first and last else len(content)
            if start >= len(content):
                return self._answer(416, b"", f"bytes */{len(content)}")
            return self._answer(206, content[start:end], f"bytes {start}-{end - 1}/{len(content)}")

        def _answer(self, status: int, body: bytes, part: str = "") -> None:
            web.given += len(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if part:
                self.send_header("Content-Range", part)
            if web.commit:
                self.send_header("X-Repo-Commit", web.commit)
            self.send_header("ETag", f'"{len(body)}"')
            self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with serve(tmp_path) as web:
        yield web


@pytest.fixture
def raw(store: Store) -> dict[tuple[int, int], Any]:
    """A trace of raw values in the store ``a.zarr``; its events by step and layer."""
    spec = ArraySpec(RAW, DIMS, LABELS, DIMS[:2])
    writer = store.begin("t0", [spec], [], {"seed": 1})
    rng = np.random.default_rng(0)
    values = {(s, n): rng.standard_normal((3, 12, 16)).astype(np.float32) for s in (0, 1) for n in (4, 9)}
    for (step, layer), event in values.items():
        writer.write(RAW, {"step": step, "layer": layer}, event)
    writer.finish()
    return values


def pack(folder: Path, target: Path, prefix: str = "", kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(target, "w", kind) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packed.write(file, prefix + file.relative_to(folder).as_posix())
    return target


def same(read: Store, full: Store) -> bool:
    there, here = read["t0"], full["t0"]
    assert read.traces == full.traces
    assert there.manifest == here.manifest
    return all(there[name].identical(here[name]) for name in here)


def test_one_frame_fetches_only_its_chunk(web: Web, raw: dict[tuple[int, int], Any]) -> None:
    trace = dit_lens.open(f"{web.url}/a.zarr")["t0"]
    array = trace[RAW]
    web.forget()
    frame = array.sel(step=1, layer=9, frame=2).values
    assert frame.tobytes() == raw[1, 9][2].tobytes()
    assert [path for path, _ in web.asked] == [f"/a.zarr/t0/{RAW}/c/1/0/0/0/0"] * 2
    index, chunk = (part for _, part in web.asked)
    assert index == f"bytes=-{16 * 6 + 4}"
    first, last = map(int, chunk.removeprefix("bytes=").split("-"))
    assert last - first + 1 <= CHUNK + 32
    assert web.given == 16 * 6 + 4 + last - first + 1
    web.forget()
    assert array.sel(step=1, layer=9, frame=0).values.tobytes() == raw[1, 9][0].tobytes()
    assert len(web.asked) == 1  # the index is kept


def test_neighbouring_chunks_are_one_request(web: Web, raw: dict[tuple[int, int], Any]) -> None:
    array = open_store(f"{web.url}/a.zarr")["t0"][RAW]
    web.forget()
    whole = array.values
    assert all(whole[s, i].tobytes() == raw[s, n].tobytes() for s in (0, 1) for i, n in enumerate((4, 9)))
    assert len(web.asked) == 4  # an index and a run for each of two shards


def test_opening_takes_a_bounded_number_of_requests(web: Web, full: Store) -> None:
    store = open_store(f"{web.url}/a.zarr")
    assert (len(store), store.traces, store.index["t0"]["status"]) == (1, ("t0",), "complete")
    assert [path for path, _ in web.asked] == ["/a.zarr/zarr.json"]
    web.forget()
    trace = store["t0"]
    assert [path for path, _ in web.asked] == ["/a.zarr/t0/zarr.json"]
    _ = trace["latent.energy"]
    assert len(web.asked) == len({path for path, _ in web.asked}) <= 2 * (2 + 2 + 5) + 1
    assert not any("block.out" in path for path, _ in web.asked)


def many(path: Path, count: int) -> None:
    """Copy one group, and name the copies in the index."""
    store = create_store(path)
    spec = ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))
    writer = store.begin("t0", [spec], [], {"model": "tiny", "prompt": "Draw the way through the maze.", "seed": 0})
    for step in (0, 1):
        writer.write("x", {"step": step}, np.float32(step))
    writer.finish()
    node = json.loads((path / "zarr.json").read_text())
    entry = node["attributes"]["traces"]["t0"]
    for number in range(1, count):
        shutil.copytree(path / "t0", path / f"t{number}")
        node["attributes"]["traces"][f"t{number}"] = entry | {"seed": number}
    (path / "zarr.json").write_text(json.dumps(node))


def test_a_thousand_traces_are_listed_in_under_a_second_by_one_request(web: Web, tmp_path: Path) -> None:
    many(tmp_path / "many.zarr", 1000)
    for place, requests in ((tmp_path / "many.zarr", 0), (f"{web.url}/many.zarr", 1)):
        start = time.perf_counter()
        store = open_store(place)
        seeds = [entry["seed"] for entry in store.index.values()]
        assert (len(store), len(store.traces), len(seeds)) == (1000, 1000, 1000)
        head, *lines, more = repr(store).splitlines()
        assert (head, more) == (f"<dit-lens store '{store.url}': 1000 traces>", "  and 980 more")
        assert lines == [f"  t{number:<23} complete" for number in range(20)]
        assert time.perf_counter() - start < 1
        assert len(web.asked) == requests
    start = time.perf_counter()
    assert float(store["t977"]["x"].sel(step=1)) == 1
    assert len(web.asked) == 1 + 1 + 5 + 1
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("prefix", ["", "a.zarr/"])
def test_a_zip_is_read_in_place(full: Store, tmp_path: Path, web: Web, prefix: str) -> None:
    packed = pack(full.path, tmp_path / "a.zip", prefix)
    before = packed.read_bytes(), sorted(tmp_path.iterdir())
    assert same(open_store(packed), full)
    assert open_store(str(packed)).path == packed
    assert (packed.read_bytes(), sorted(tmp_path.iterdir())) == before
    assert same(open_store(f"{web.url}/a.zip"), full)


def test_one_frame_of_a_remote_zip_fetches_little(raw: dict[tuple[int, int], Any], tmp_path: Path, web: Web) -> None:
    pack(tmp_path / "a.zarr", tmp_path / "b.zip")
    array = open_store(f"{web.url}/b.zip")["t0"][RAW]
    web.forget()
    assert array.sel(step=0, layer=4, frame=1).values.tobytes() == raw[0, 4][1].tobytes()
    assert (len(web.asked), web.given < CHUNK + 300) == (3, True)  # the member's header, its index, the chunk


def test_a_store_in_memory_is_read_through_fsspec(full: Store) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(full.path), "/deep/a.zarr", recursive=True)
    assert same(open_store("memory://deep/a.zarr"), full)
    memory.rm("/deep", recursive=True)
    with pytest.raises(NotAStore, match=r"no store at 'memory://deep/a\.zarr'; got nothing"):
        open_store("memory://deep/a.zarr")


def test_a_file_address_is_a_folder(full: Store) -> None:
    assert same(open_store(f"file://{full.path}"), full)


def test_the_hub_is_read_at_the_commit_of_its_first_answer(
    full: Store, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    for revision in ("main", commit):
        shutil.copytree(full.path, tmp_path / "datasets/me/traces/resolve" / revision / "runs/a.zarr")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", web.url)
    template = web.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    web.commit = commit
    store = open_store("hf://datasets/me/traces/runs/a.zarr")
    assert same(store, full)
    paths = [path for path, _ in web.asked]
    assert paths[0] == "/datasets/me/traces/resolve/main/runs/a.zarr/zarr.json"
    assert all(path.startswith(f"/datasets/me/traces/resolve/{commit}/runs/a.zarr/") for path in paths[1:])
    assert {headers["authorization"] for headers in web.headers} == {"Bearer hf_secret"}


def test_other_servers_never_see_the_token(full: Store, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert same(open_store(f"{web.url}/a.zarr"), full)
    assert not any("authorization" in headers for headers in web.headers)


def test_a_busy_server_is_asked_again(full: Store, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_lens_stores.remote.time.sleep", lambda _: None)
    web.failures = [429, 503]
    assert open_store(f"{web.url}/a.zarr").traces == ("t0",)
    web.failures = [503] * 4
    with pytest.raises(Unreachable) as caught:
        open_store(f"{web.url}/a.zarr?token=secret")
    assert str(caught.value) == (
        f"reading 'zarr.json' of '{web.url}/a.zarr' failed; got HTTP status 503, allowed an answer; check the address "
        f"and your access, and try again"
    )


def test_what_cannot_be_read_is_said_in_one_line(full: Store, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_lens_stores.remote.time.sleep", lambda _: None)
    with pytest.raises(NotAStore, match=f"no store at '{web.url}/b.zarr'; got nothing"):
        open_store(f"{web.url}/b.zarr")
    web.failures = [403]
    with pytest.raises(Unreachable, match="HTTP status 403"):
        open_store(f"{web.url}/a.zarr")
    with pytest.raises(Unreachable, match=r"zarr\.json' of 'http://127\.0\.0\.1:1/a\.zarr' failed"):
        open_store("http://127.0.0.1:1/a.zarr")
    web.ranges = False
    with pytest.raises(Unreachable, match="the whole file from a server that does not know range requests"):
        _ = open_store(f"{web.url}/a.zarr")["t0"]["block.out.raw"].values
    for url in ("hf://datasets/me", "nosuchscheme://x/a.zarr"):
        with pytest.raises(StoreError, match="open_store cannot read"):
            open_store(url)


def test_a_remote_store_has_no_path_and_takes_no_trace(full: Store, web: Web) -> None:
    store = open_store(f"{web.url}/a.zarr")
    assert store.url == f"{web.url}/a.zarr"
    with pytest.raises(StoreError, match="has no path; got an address"):
        _ = store.path
    with pytest.raises(StoreError, match="got a store opened for reading"):
        store.begin("t1", [], [], {})


def test_a_store_that_grows_is_seen_to_grow(full: Store, begin: Callable[..., TraceWriter]) -> None:
    store = open_store(full.path)
    assert store.traces == ("t0",)
    begin("t1")
    assert store.traces == ("t0", "t1")


def test_lazy_arrays_travel_to_other_processes(full: Store, web: Web, tmp_path: Path) -> None:
    for url in (full.path, f"{web.url}/a.zarr", pack(full.path, tmp_path / "a.zip")):
        array = open_store(url)["t0"]["block.out.energy"]
        again = pickle.loads(pickle.dumps(array))
        assert again.identical(full["t0"]["block.out.energy"])


def test_a_bucket_is_read_through_obstore(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    obstore = pytest.importorskip("obstore")
    from obstore.store import LocalStore

    opened = LocalStore(str(full.path))
    monkeypatch.setattr("obstore.store.from_url", lambda url: opened if url == "s3://bucket/a.zarr" else None)
    store = open_store("s3://bucket/a.zarr")
    assert same(store, full)
    monkeypatch.setattr("obstore.store.from_url", lambda _: obstore.store.MemoryStore())
    with pytest.raises(NotAStore, match=r"no store at 's3://bucket/b\.zarr'"):
        open_store("s3://bucket/b.zarr")


def test_one_frame_of_a_bucket_fetches_only_its_chunk(
    raw: dict[tuple[int, int], Any], web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore's real S3 client, its endpoint pointed at this machine."""
    pytest.importorskip("obstore")
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "bucket" / "deep" / "a.zarr")
    settings = {"ENDPOINT_URL": web.url, "ALLOW_HTTP": "true", "SKIP_SIGNATURE": "true", "REGION": "us-east-1"}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    array = open_store("s3://bucket/deep/a.zarr")["t0"][RAW]
    web.forget()
    assert array.sel(step=1, layer=4, frame=1).values.tobytes() == raw[1, 4][1].tobytes()
    assert [path for path, _ in web.asked] == [f"/bucket/deep/a.zarr/t0/{RAW}/c/1/0/0/0/0"] * 2
    assert web.given < 16 * 6 + 4 + CHUNK + 32


def test_a_bucket_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(StoreError, match=r"got no package 'obstore'.*; pip install 'dit-lens\[s3\]'"):
        open_store("s3://bucket/a.zarr")

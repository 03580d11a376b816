"""Against a real S3 protocol server on this machine: push, read in place, resume, pull."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

from dit_lens_stores import ArraySpec, NotAStore, Store, StoreExists, Unreachable, create_store, open_store
from dit_lens_stores.share import pull, push, target_of
from dit_lens_stores.share.files import File

from .shared import ENERGY, LICENCE, content, make_store, of_store

moto = pytest.importorskip("moto.server")
pytest.importorskip("obstore")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An empty bucket, reached as users reach theirs: by the usual environment variables."""
    known = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "us-east-1", "ENDPOINT": server}
    for name, value in (known | {"ALLOW_HTTP": "true"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    urlopen(Request(f"{server}/{name}", method="PUT", headers={"Authorization": "AWS test:test"})).close()
    return name


@pytest.fixture
def made(tmp_path: Path) -> Store:
    return make_store(tmp_path / "a.zarr")


def test_there_and_back_is_the_same(made: Store, bucket: str, tmp_path: Path) -> None:
    url = f"s3://{bucket}/runs/a.zarr"
    pushed = push(made.path, url, license=LICENCE)
    assert pushed.sent_files == len(content(made.path)) + 3
    read = open_store(url)
    assert all(read[trace][name].identical(made[trace][name]) for trace in made for name in made[trace])
    pull(url, tmp_path / "b.zarr")
    assert of_store(content(tmp_path / "b.zarr")) == content(made.path)
    assert push(made.path, url).sent_files == 0


def test_a_part_of_a_bucket_is_a_store(made: Store, bucket: str, tmp_path: Path) -> None:
    url = f"s3://{bucket}/a.zarr"
    push(made.path, url, license=LICENCE)
    pull(url, tmp_path / "b.zarr", select="step=0:2,branch=cond", arrays=[ENERGY])
    part = open_store(tmp_path / "b.zarr")["t1"]
    expected = made["t1"][ENERGY].sel(step=[0, 1], branch=["cond"])
    assert part[ENERGY].drop_attrs().identical(expected.load().drop_attrs())
    assert part.manifest["lineage"][0]["source"] == url


def test_an_interrupted_push_goes_on(made: Store, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"s3://{bucket}/a.zarr"
    target, left = target_of(url), 20
    put = type(target).put

    def stop(self: object, file: File) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        put(self, file)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(target), "put", stop)
        with pytest.raises(KeyboardInterrupt):
            push(made.path, target, license=LICENCE)
    with pytest.raises(NotAStore):
        open_store(url)
    there = len(target_of(url).files())
    assert there == 20
    pushed = push(made.path, url, license=LICENCE)
    assert pushed.sent_files == pushed.files - there
    assert len(target_of(url).files()) == pushed.files


def test_large_files_go_in_parts_and_are_known_again(tmp_path: Path, bucket: str) -> None:
    store = create_store(tmp_path / "a.zarr")
    labels = {"step": (0,), "token": range(80), "channel": range(2**16)}
    spec = ArraySpec("x", tuple(labels), labels, ("step",), compressor="none")
    writer = store.begin("t0", [spec], [], {"model": "m", "licence": "MIT"})
    values = np.random.default_rng(0).standard_normal((80, 2**16), np.float32)
    writer.write("x", {"step": 0}, values)
    writer.finish()
    url = f"s3://{bucket}/a.zarr"
    push(store.path, url, license=LICENCE)
    (found,) = (found for key, found in target_of(url).files().items() if key.startswith("t0/x/c/"))
    assert found.size > 20 * 2**20
    assert str(found.digest).endswith("-2")
    assert push(store.path, url, license=LICENCE).sent_files == 0
    pull(url, tmp_path / "b.zarr")
    assert of_store(content(tmp_path / "b.zarr")) == content(store.path)


def test_a_bucket_with_something_else_is_left_alone(made: Store, bucket: str) -> None:
    target = target_of(f"s3://{bucket}/a.zarr")
    target.send([File("thesis.pdf", data=b"mine")], lambda size: None)
    with pytest.raises(StoreExists, match=r"got 'thesis\.pdf'"):
        push(made.path, target, license=LICENCE)
    assert list(target.files()) == ["thesis.pdf"]


def test_no_bucket_and_no_credentials_are_one_line(made: Store, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        Unreachable, match=r"^push to 's3://no-such-bucket-here/a' stopped; got no such bucket, "
    ) as caught:
        push(made.path, "s3://no-such-bucket-here/a", license=LICENCE)
    assert caught.value.exit_code == 2
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(
        Unreachable, match=r"has no access to .* got no credentials, .* set AWS_ACCESS_KEY_ID and AWS_SEC"
    ):
        push(made.path, f"s3://{bucket}/a.zarr", license=LICENCE)

"""Against a Hub of this machine, through the code of huggingface_hub: commits, resuming, revisions, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dit_lens_stores import NotAStore, Store, StoreError, Unreachable, open_store
from dit_lens_stores.log import log_of
from dit_lens_stores.share import pull, push, target_of

from .hub_server import Hub, serve_hub
from .shared import ENERGY, LICENCE, add_trace, content, make_store, of_store

pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"
)  # how huggingface_hub calls its client
REPO, URL = "me/traces", "hf://datasets/me/traces"


class Gone(ConnectionError):
    """Whoever asked is not there any more."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("dit_lens_stores.share.retrying._FIRST_PAUSE", 0)
        monkeypatch.setattr("dit_lens_stores.share.hub.COMMIT_FILES", 10)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        yield hub


@pytest.fixture
def made(tmp_path: Path) -> Store:
    return make_store(tmp_path / "a.zarr")


def tree(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    found = dict(hub.repos[REPO].tree(revision) or {})
    found.pop(".gitattributes")
    return found


def test_there_and_back_is_the_same(hub: Hub, made: Store, tmp_path: Path) -> None:
    pushed = push(made.path, URL, license=LICENCE)
    assert of_store(tree(hub)) == content(made.path)
    assert pushed.revision == hub.repos[REPO].branches["main"]
    assert not hub.repos[REPO].private
    assert b'dit_lens.open("hf://datasets/me/traces")["t0"]' in tree(hub)["README.md"]
    read = open_store(URL)
    assert all(read[trace][name].identical(made[trace][name]) for trace in made for name in made[trace])
    pulled = pull(URL, tmp_path / "b.zarr")
    assert content(tmp_path / "b.zarr") == tree(hub)
    assert pulled.revision == pushed.revision
    assert json.loads(log_of(tmp_path / "b.zarr").read_text())["revision"] == pushed.revision


def test_no_commit_shows_a_trace_that_is_not_whole(hub: Hub, made: Store) -> None:
    push(made.path, URL, license=LICENCE)
    commits = list(hub.repos[REPO].commits.values())
    assert len(commits) > 5
    whole = of_store(tree(hub))
    for commit in commits:
        for trace in made:
            if f"{trace}/zarr.json" in commit:
                assert {key for key in whole if key.startswith(f"{trace}/")} <= set(commit)
    assert ["zarr.json" in commit for commit in commits] == [False] * (len(commits) - 1) + [True]


def test_nothing_new_is_nothing_sent(hub: Hub, made: Store) -> None:
    first = push(made.path, URL, license=LICENCE)
    commits, hub.sent[:] = len(hub.repos[REPO].commits), []
    again = push(made.path, URL)
    assert (again.sent_files, again.revision, hub.sent) == (0, first.revision, [])
    assert len(hub.repos[REPO].commits) == commits
    add_trace(made, "t2", 2)
    grown = push(made.path, URL)
    assert grown.revision != first.revision
    assert of_store(tree(hub)) == content(made.path)


def test_a_push_that_stops_goes_on_after_its_last_commit(hub: Hub, made: Store) -> None:
    sizes: list[int] = []

    def stop(done: int, size: int) -> None:
        sizes.append(done)
        if len(sizes) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(made.path, URL, license=LICENCE, tell=stop)
    with pytest.raises(NotAStore):
        open_store(URL)
    there = len(tree(hub))
    assert there == 30
    hub.sent.clear()
    pushed = push(made.path, URL, license=LICENCE)
    assert pushed.sent_files == pushed.files - there
    assert of_store(tree(hub)) == content(made.path)


def test_a_killed_push_goes_on_in_another_process(hub: Hub, made: Store) -> None:
    """Values that were sent and not committed are known to the Hub, and not sent again."""
    reached, go_on = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 2 and not reached.is_set():
            reached.set()
            go_on.wait(60)
            raise Gone

    hub.before_commit = hold
    code = (
        "import dit_lens_stores.share.hub as hub; hub.COMMIT_FILES = 10; from dit_lens_stores.share import push;"
        f"push({str(made.path)!r}, {URL!r}, license={LICENCE!r})"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        assert reached.wait(60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        go_on.set()
    sent = set(hub.sent)
    hub.sent.clear()
    assert len(hub.repos[REPO].commits) == 2  # the empty one, and the first
    assert sent
    push(made.path, URL, license=LICENCE)
    assert not sent & set(hub.sent)
    assert of_store(tree(hub)) == content(made.path)


def test_a_pull_stays_at_one_commit(hub: Hub, made: Store, tmp_path: Path) -> None:
    first = push(made.path, URL, license=LICENCE)
    before = tree(hub)
    add_trace(made, "t2", 2)
    push(made.path, URL)
    pull(f"{URL}@{first.revision}", tmp_path / "b.zarr")
    assert content(tmp_path / "b.zarr") == before
    pulled = pull(f"{URL}@{first.revision}", tmp_path / "c.zarr", select="step=0", arrays=[ENERGY])
    lineage = open_store(tmp_path / "c.zarr")["t0"].manifest["lineage"]
    assert lineage[0]["revision"] == pulled.revision == first.revision
    assert pull(URL, tmp_path / "d.zarr").traces == 3


def test_a_branch_and_a_folder_are_places_of_their_own(hub: Hub, made: Store, tmp_path: Path) -> None:
    url = f"{URL}@v2/runs/a.zarr"
    push(made.path, url, license=LICENCE)
    assert list(tree(hub)) == []
    assert of_store({key.removeprefix("runs/a.zarr/"): value for key, value in tree(hub, "v2").items()}) == content(
        made.path
    )
    pull(url, tmp_path / "b.zarr")
    assert of_store(content(tmp_path / "b.zarr")) == content(made.path)
    assert push(made.path, url).sent_files == 0


def test_a_private_repository_is_made_on_request(hub: Hub, made: Store) -> None:
    push(made.path, target_of(URL, private=True), license=LICENCE)
    assert hub.repos[REPO].private


def test_a_busy_hub_is_asked_again_and_its_limit_is_said(hub: Hub, made: Store) -> None:
    hub.faults = [
        ("/commit/", 503, {}),
        ("/commit/", 429, {"Retry-After": "0"}),
        ("/tree/", 500, {}),
        ("/tree/", 502, {}),
    ]
    push(made.path, URL, license=LICENCE)
    assert not hub.faults
    assert of_store(tree(hub)) == content(made.path)
    add_trace(made, "t2", 2)
    hub.faults = [("/commit/", 429, {"Retry-After": "0"})] * 50
    with pytest.raises(Unreachable) as caught:
        push(made.path, URL)
    assert str(caught.value) == (
        f"push to '{URL}' stopped; got the Hub's rate limit, allowed fewer requests; wait 300 seconds and run the same "
        f"command again, it goes on where it stopped"
    )


def test_without_a_token_nothing_is_pushed(hub: Hub, made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(Unreachable, match=f"^push has no access to '{URL}'; got HTTP status 401, .* run hf auth login"):
        push(made.path, URL, license=LICENCE)
    assert not hub.repos
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unreachable, match="got HF_HUB_OFFLINE in the environment, allowed none; unset it") as caught:
        push(made.path, URL, license=LICENCE)
    assert caught.value.exit_code == 2


def test_another_store_there_is_left_alone(hub: Hub, made: Store, tmp_path: Path) -> None:
    push(make_store(tmp_path / "b.zarr", 3).path, URL, license=LICENCE)
    before = tree(hub)
    with pytest.raises(StoreError, match="push refused"):
        push(made.path, URL, license=LICENCE)
    assert tree(hub) == before


def test_a_part_fetches_only_its_chunks(hub: Hub, made: Store, tmp_path: Path) -> None:
    push(made.path, URL, license=LICENCE)
    hub.asked.clear()
    pull(URL, tmp_path / "b.zarr", select="step=2", traces=["t0"], arrays=[ENERGY])
    values = {path for _, path in hub.asked if f"{ENERGY}/c/" in path or "raw/c/" in path or "video/c/" in path}
    commit = hub.repos[REPO].branches["main"]
    assert values == {f"/datasets/{REPO}/resolve/{commit}/t0/{ENERGY}/c/{b}/2/0/0/0" for b in (0, 1)}

"""The card says what is there, its three lines work, and the Croissant metadata are valid."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from dit_lens_stores import Store, StoreError
from dit_lens_stores.share import pull, push

from .shared import ENERGY, LICENCE, RAW, add_trace, content, make_store, of_store

URL = "memory://cards/a.zarr"


@pytest.fixture
def pulled(tmp_path: Path) -> Path:
    store = make_store(tmp_path / "a.zarr")
    push(store.path, URL, license=LICENCE, probes=["energy"])
    return pull(URL, tmp_path / "b.zarr").store


def front_matter(card: str) -> dict[str, object]:
    yaml = pytest.importorskip("yaml")
    return dict(yaml.safe_load(card.split("---\n")[1]))


def test_the_card_says_what_is_there(pulled: Path) -> None:
    card = (pulled / "README.md").read_text()
    front = front_matter(card)
    assert (front["license"], front["configs"], front["size_categories"]) == ("cc-by-4.0", [], ["n<1K"])
    assert {"zarr", "dit-lens", "dit-lens-v1"} <= set(front["tags"])  # type: ignore[call-overload]
    assert "2 traces of `tiny-wan`" in card
    assert f"| `{ENERGY}` | branch 2 × step 4 × layer 3 × frame 2 × token 6 | float32 | 2 |" in card
    assert f"| `{RAW}` |" in card
    assert "(values of bfloat16)" in card
    assert "| `tiny-wan` |  | Apache-2.0 |" in card
    assert "these probes need: `energy`" in card
    size = sum(map(len, of_store(content(pulled)).values()))
    assert f"{size / 1000:.1f} kB in {len(of_store(content(pulled)))} files" in card


def test_its_three_lines_open_the_store(pulled: Path, tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)\n```", (pulled / "README.md").read_text(), re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) == 3
    names: dict[str, object] = {}
    exec(code[1], names)
    from dit_lens_stores import open_store

    assert names["values"].identical(open_store(pulled)["t0"][ENERGY].load())  # type: ignore[attr-defined]


def test_the_hashes_are_those_that_coreutils_check(pulled: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=pulled, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(of_store(content(pulled)))


def test_croissant_has_every_required_field(pulled: Path) -> None:
    known = json.loads((pulled / "croissant.json").read_text())
    assert known["@type"] == "sc:Dataset"
    assert known["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert known["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert {"@context", "name", "description", "url", "distribution"} <= set(known)
    for file in known["distribution"]:
        assert {"@id", "@type", "name", "contentUrl", "encodingFormat", "sha256"} <= set(file)
        line = f"{file['sha256']}  {file['contentUrl']}\n"
        assert file["@id"] == "SHA256SUMS" or line in (pulled / "SHA256SUMS").read_text()
    assert set(known["variableMeasured"]) == {ENERGY, RAW, "video"}


@pytest.mark.filterwarnings("ignore")
def test_croissant_is_valid_for_its_own_checker(pulled: Path) -> None:
    checker = pytest.importorskip("mlcroissant")
    dataset = checker.Dataset(jsonld=str(pulled / "croissant.json"))
    assert dataset.metadata.name == "a.zarr"
    assert not dataset.metadata.issues.errors
    assert {one.id for one in dataset.metadata.distribution} == {"zarr.json", "SHA256SUMS"}


def test_a_licence_without_a_name_on_the_hub_is_named_in_words(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.zarr", 1)
    push(store.path, "memory://cards/b.zarr", license='"our" lab: only')
    pull("memory://cards/b.zarr", tmp_path / "b.zarr")
    front = front_matter((tmp_path / "b.zarr" / "README.md").read_text())
    assert (front["license"], front["license_name"]) == ("other", '"our" lab: only')
    assert json.loads((tmp_path / "b.zarr/croissant.json").read_text())["license"] == '"our" lab: only'


def test_licences_that_nobody_named_are_asked_for(tmp_path: Path) -> None:
    store: Store = make_store(tmp_path / "a.zarr", 1)
    with pytest.raises(StoreError, match=r"the licence of the data in '.*'; got none, .*; add --license$") as caught:
        push(store.path, "memory://cards/c.zarr")
    assert caught.value.exit_code == 2
    add_trace(store, "t1", 1, model="their/model", licence=None)
    with pytest.raises(StoreError, match=r"got none in the manifests of 'their/model', .* add --model-license$"):
        push(store.path, "memory://cards/c.zarr", license=LICENCE)
    push(store.path, "memory://cards/c.zarr", license=LICENCE, model_license="MIT")
    card = (pull("memory://cards/c.zarr", tmp_path / "c.zarr").store / "README.md").read_text()
    assert "| `their/model` |  | MIT |" in card

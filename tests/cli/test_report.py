"""``dit-lens report``: one line for what is wrong, before anything is written; and what it says of what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from dit_lens.probing import analyze, save_result
from dit_lens.testing import synthetic_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for name, traces in (("s", ["a", "b"]), ("other", ["c"])):
        store = synthetic_store(folder / f"{name}.zarr", ["block.out:energy"], traces=traces)
        save_result(analyze(store, "energy"), folder / f"{name}-energy.zarr")
    (folder / "notes.txt").write_text("keep me", encoding="utf-8")
    return folder


BAD = {
    "no result at all": ("-o r.html", "RESULTS is missing"),
    "no out": ("s-energy.zarr", "a report has one place; got neither of --out and --bundle"),
    "a path that is not there": ("none.zarr -o r.html", "no result of a probe is at 'none.zarr'; got nothing"),
    "a store for a result": ("s.zarr -o r.html", "no result of a probe is at 's.zarr'; got something else"),
    "a result twice": ("s-energy.zarr ./s-energy.zarr -o r.html", "a result was given twice; got 's-energy.zarr'"),
    "different traces": (
        "s-energy.zarr other-energy.zarr -o r.html",
        "energy (s-energy): a, b; energy (other-energy): c",
    ),
    "somebody's file": ("s-energy.zarr -o notes.txt", "got something that is no report"),
    "a folder for the page": ("s-energy.zarr -o s.zarr", "got something that is no report"),
    "a folder that is missing": ("s-energy.zarr -o deep/r.html", "got a folder that is not there"),
    "a file for the folder": ("s-energy.zarr -o notes.txt/r.html", "got a folder that is not there"),
    "two places": ("s-energy.zarr -o r.html --bundle r", "a report has one place; got both"),
    "a cap for a bundle": ("s-energy.zarr --bundle r --cap 10MB", "a bundle has no cap; got --bundle and --cap 10MB"),
    "a bundle over a store": ("s-energy.zarr --bundle s.zarr", "got something that is no bundle"),
    "a bundle over a file": ("s-energy.zarr --bundle notes.txt", "got something that is no bundle"),
    "a bundle nowhere": ("s-energy.zarr --bundle deep/r", "got a folder that is not there"),
    "a cap that is no size": ("s-energy.zarr --cap much -o r.html", "a size cannot be read; got 'much'"),
    "a cap below the page itself": ("s-energy.zarr --cap 1kB -o r.html", "the page cannot be made so small; got 1 kB"),
    "a store of others": (
        "s-energy.zarr --store other.zarr -o r.html",
        "holds none of the traces of the results; got c",
    ),
    "no store": ("s-energy.zarr --store none.zarr -o r.html", "open_store found no store at 'none.zarr'"),
}


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    words: str, said: str, dit_lens_command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir())
    done = dit_lens_command("report", *words.split())
    assert done.code == 2, done.err
    assert said in done.complaint
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "keep me"


def test_it_says_what_it_wrote(dit_lens_command, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    words = [folder / "s-energy.zarr", "--store", folder / "s.zarr", "-o", out]
    said = dit_lens_command("report", *words)
    assert said.code == 0, said.err
    assert said.out.startswith(f"report   {out}  (")
    assert "4 maps" in said.out
    assert "note     energy: energy is stored in two bytes a value" in said.out
    again = dit_lens_command("report", *words, "--json")
    assert again.json["bytes"] == out.stat().st_size
    assert again.json["traces"] == ["a", "b"]
    assert again.json["panels"] == {"maps": 4, "matrices": 0, "films": 0, "curves": 0}


def test_a_bundle_has_its_data_in_files(dit_lens_command, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    for _ in range(2):  # the second replaces the first
        said = dit_lens_command("report", folder / "s-energy.zarr", "--store", folder / "s.zarr", "--bundle", out)
        assert said.code == 0, said.err
        assert said.out.splitlines()[-1] == f"serve    python -m http.server --directory {out}"
    page = (out / "index.html").read_text(encoding="utf-8")
    files = sorted(path.name for path in (out / "blobs").iterdir())
    assert files == [f"{number}.bin" for number in range(len(files))]
    assert all(f'data-file="blobs/{name}"' in page for name in files)
    assert "connect-src 'self'" in page
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]

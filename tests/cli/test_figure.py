"""``dit-lens figure``: the figures of a saved result from the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dit_lens.probing import analyze, save_result
from dit_lens.testing import synthetic_store


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    store = synthetic_store(folder / "s.zarr", ["block.out:energy"])
    return save_result(analyze(store, "energy", {"max_rows": 2, "max_columns": 1}), folder / "energy.zarr")


def test_without_a_name_the_figures_are_listed(dit_lens_command, result):
    said = dit_lens_command("figure", result)
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].split() == ["name", "formats", "inches", "shows"]
    assert [line.split()[0] for line in lines[1:]] == ["layers_by_frames", "layer_over_steps"]
    found = dit_lens_command("figure", result, "--json").json
    assert found["probe"] == "energy"
    assert found["figures"][0]["shows"] == ["robust"]


def test_a_figure_its_data_and_its_record_are_written(dit_lens_command, result, empty):
    words = ("--name", "layers_by_frames", "--set", "energy.step=1", "--set", "scale=raw", "--style", "screen")
    said = dit_lens_command("figure", result, *words, "-o", "figs/energy.svg", "--json")
    assert said.code == 0, said.err
    assert said.json == {
        "figure": "figs/energy.svg",
        "data": "figs/energy.svg.csv",
        "record": "figs/energy.svg.json",
        "command": "dit-lens figure energy.zarr --name layers_by_frames --format svg --style screen --set step=1 "
        "--set scale=raw -o figs/energy.svg",
    }
    rows = list(csv.DictReader(Path("figs/energy.svg.csv").read_text().splitlines()))
    assert {(row["variable"], row["step"]) for row in rows} == {("energy", "1")}
    assert json.loads(Path("figs/energy.svg.json").read_text())["params"]["scale"] == "raw"
    again = dit_lens_command("figure", result, *words, "-o", "figs/energy.svg")
    assert again.out.split() == [
        *("picture", "figs/energy.svg", "data", "figs/energy.svg.csv", "record", "figs/energy.svg.json")
    ]


def test_the_recorded_command_makes_the_same_figure(dit_lens_command, result, empty):
    import shlex

    save_result(analyze(synthetic_store("s.zarr", ["block.out:energy"]), "energy", {"max_columns": 1}), "r.zarr")
    first = dit_lens_command("figure", "r.zarr", "--name", "layer_over_steps", "-o", "a.pdf", "--json")
    before = [Path(name).read_bytes() for name in ("a.pdf", "a.pdf.csv", "a.pdf.json")]
    for name in ("a.pdf", "a.pdf.csv", "a.pdf.json"):
        Path(name).unlink()
    assert dit_lens_command(*shlex.split(first.json["command"])[1:]).code == 0
    assert [Path(name).read_bytes() for name in ("a.pdf", "a.pdf.csv", "a.pdf.json")] == before


WRONG = {
    "a misspelt name": ("--name layer_by_frames -o a.pdf", "did you mean 'layers_by_frames'?"),
    "no file": (
        "--name layers_by_frames",
        "--out is missing; got nothing beside --name, allowed one file; add -o FILE",
    ),
    "no name": ("-o a.pdf", "--name is missing; got --out without it"),
    "a format of a list": (
        "--format svg",
        "--name is missing; got --format without it, allowed the name of one figure",
    ),
    "a width of a list": ("--width column", "--name is missing; got --width without it"),
    "a style of a list": ("--style paper", "got --style without it, allowed the name of one figure; leave out --style"),
    "an unknown format": ("--name x -o a.pdf --format pfd", "--format cannot be used; got 'pfd', allowed pdf, svg"),
    "a film of a figure": ("--name layers_by_frames -o a.gif", "cannot have that format; got 'gif', allowed pdf, svg"),
    "no films": ("--name films -o a --format gif", "has no figure 'films'; got 'films', allowed layers_by_frames"),
    "an unknown width": ("--name x -o a.pdf --width wide", "--width cannot be used; got 'wide', allowed column, page"),
    "a width on a screen": ("--name x -o a.pdf --width page --style screen", "a width is for figures on paper"),
    "an unknown parameter": ("--name layers_by_frames -o a.pdf --set stepp=1", "did you mean 'step'?"),
    "a parameter of numbers": ("--name layers_by_frames -o a.pdf --set clip_low=1", "'clip_low' changes no figure"),
    "a bad parameter": ("--name layers_by_frames -o a.pdf --set max_rows=x", "got 'x', allowed"),
    "an unreadable parameter": ("--name layers_by_frames -o a.pdf --set step", "--set cannot be read; got 'step'"),
    "another probe": ("--name layers_by_frames -o a.pdf --probe cka", "another probe; got 'cka', allowed 'energy'"),
    "an unknown probe": ("--name layers_by_frames -o a.pdf --probe enrgy", "did you mean 'energy'?"),
    "a file as a folder": ("--name layers_by_frames -o notes.txt/a.pdf", "('notes.txt' is a file)"),
    "what is no figure": ("--name layers_by_frames -o keep.pdf", "got something that was not made by figure"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_line_and_writes_nothing(dit_lens_command, result, empty, case):
    for name in ("notes.txt", "keep.pdf"):
        (empty / name).write_text("keep me")
    words, told = WRONG[case]
    said = dit_lens_command("figure", result, *words.split())
    assert said.code == 2
    assert told in said.complaint
    assert sorted(path.name for path in empty.iterdir()) == ["keep.pdf", "notes.txt"]
    assert (empty / "keep.pdf").read_text() == "keep me"


def test_what_is_no_result_is_refused(dit_lens_command, empty):
    assert "no result of a probe is at 'nothing.zarr'" in dit_lens_command("figure", "nothing.zarr").complaint

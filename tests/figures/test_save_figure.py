"""A saved figure: its name, its size, its bytes, its data and its record."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from dit_lens.errors import DitLensError
from dit_lens.figures import BadFigure, FigureInTheWay, UnknownFigure, list_figures, ready_probe, save_figure
from dit_lens.probing import BadParams, NotAResult, UnknownProbe, analyze, load_result, result_sha256, save_result
from dit_lens.testing import synthetic_store

FEW = {"clip_low": 2, "max_rows": 2, "max_columns": 1}
"""Panels take time to lay out."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    result = analyze(synthetic_store(folder / "s.zarr", ["block.out:energy"]), "energy", FEW)
    return save_result(result, folder / "energy.zarr")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_figures_of_a_result_are_listed(saved):
    result = load_result(saved)
    listed = list_figures(result, ready_probe(result))
    assert [one.name for one in listed] == ["layers_by_frames", "layer_over_steps"]
    assert listed[0].formats == ("pdf", "svg", "png")
    assert listed[0].shows == ("robust",)


@pytest.mark.parametrize("format_", ["pdf", "svg", "png"])
def test_the_same_result_gives_the_same_bytes(saved, here, format_, monkeypatch):
    """On another day, with other preferences of the user, and in another place."""
    look = {"style": "paper" if format_ == "pdf" else "screen"}
    first = save_figure(saved, "layer_over_steps", here / f"a.{format_}", **look)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    import matplotlib

    with matplotlib.rc_context({"font.family": "monospace", "pdf.fonttype": 3, "lines.linewidth": 9}):
        again = save_figure(saved, "layer_over_steps", here / "deeper" / f"a.{format_}", **look)
    assert again.figure.read_bytes() == first.figure.read_bytes()
    assert again.data.read_bytes() == first.data.read_bytes()
    records = [json.loads(one.record.read_text(encoding="utf-8")) for one in (first, again)]
    assert records[0].pop("command") != records[1].pop("command")
    assert records[0] == records[1]


def streams(pdf: bytes) -> bytes:
    """A PDF with its compressed parts unpacked."""
    parts = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, flags=re.DOTALL)
    unpacked = []
    for part in parts:
        try:
            unpacked.append(zlib.decompress(part))
        except zlib.error:
            unpacked.append(part)
    return pdf + b"\n".join(unpacked)


def test_a_pdf_embeds_its_fonts_as_truetype_and_has_no_date(saved, here):
    pdf = streams(save_figure(saved, "layers_by_frames", here / "a.pdf", width="column").figure.read_bytes())
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"/CreationDate" not in pdf
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert float(box[0]) == 3.25 * 72


def test_an_svg_holds_its_letters_as_paths_and_no_date(saved, here):
    svg = save_figure(saved, "layers_by_frames", here / "a.svg").figure.read_text(encoding="utf-8")
    assert "<text" not in svg
    assert "<dc:date>" not in svg
    assert 'width="486pt"' in svg  # 6.75 inches


def test_sizes_are_those_of_the_paper_and_of_the_probe(saved, here):
    widths = {}
    for name, options in {
        "column": {"width": "column"},
        "usual": {},
        "screen": {"style": "screen"},
    }.items():
        path = save_figure(saved, "layers_by_frames", here / f"{name}.png", **options).figure
        with Image.open(path) as image:
            widths[name] = image.width / image.info["dpi"][0]
    result = load_result(saved)
    drawn = list_figures(result, ready_probe(result))[0].inches[0]
    assert widths == pytest.approx({"column": 3.25, "usual": 6.75, "screen": drawn}, abs=0.02)


def test_the_table_is_what_is_drawn(saved, here):
    params = {"step": 1, "max_columns": 9, "scale": "raw"}
    made = save_figure(saved, "layers_by_frames", here / "a.pdf", params=params, style="screen")
    rows = list(csv.DictReader(made.data.read_text(encoding="utf-8").splitlines()))
    result = load_result(saved)
    drawn = result["energy"].sel(trace="a", branch="cond", step=1).isel(layer=[0, -1])
    assert len(rows) == drawn.size
    assert {row["variable"] for row in rows} == {"energy"}
    for row in rows:
        at = {dim: int(row[dim]) for dim in ("layer", "frame", "y", "x")}
        assert np.float32(row["value"]) == drawn.sel(at).values
        assert (row["step"], row["expert"]) == ("1", str(result["expert"].sel(step=1).item()))
        assert float(row["sigma"]) == float(result["sigma"].sel(step=1))


def test_a_long_table_is_a_zarr(saved, here, monkeypatch):
    monkeypatch.setattr("dit_lens.figures.sidecar.ROWS_AT_MOST", 10)
    made = save_figure(saved, "layers_by_frames", here / "a.png", style="screen")
    assert made.data.name == "a.png.zarr"
    kept = xr.open_zarr(made.data, consolidated=False, chunks=None)
    drawn = load_result(saved)["robust"].sel(trace="a", branch="cond", step=kept["step"].item())
    np.testing.assert_array_equal(kept["robust"], drawn.sel(layer=kept["layer"], frame=kept["frame"]))
    monkeypatch.undo()
    assert save_figure(saved, "layers_by_frames", here / "a.png", style="screen").data.name == "a.png.csv"
    assert not made.data.exists()


def test_the_record_names_command_result_and_versions(saved, here):
    made = save_figure(saved, "layers_by_frames", "figs/a b.pdf", width="column", params={"step": 1, "scale": "raw"})
    record = json.loads(Path("figs/a b.pdf.json").read_text(encoding="utf-8"))
    assert (
        record["command"]
        == made.command
        == (
            "dit-lens figure energy.zarr --name layers_by_frames --format pdf --style paper --width column "
            "--set step=1 --set scale=raw -o 'figs/a b.pdf'"
        )
    )
    assert record["result_sha256"] == result_sha256(load_result(saved))
    assert record["params"]["clip_low"] == 2
    assert record["result"]["traces"] == ["a", "b"]
    assert {"python", "dit-lens", "matplotlib"} <= set(record["versions"])
    for name, digest in record["sha256"].items():
        assert hashlib.sha256((here / "figs" / name).read_bytes()).hexdigest() == digest
    assert str(here) not in (here / "figs/a b.pdf.json").read_text(encoding="utf-8")


def test_a_result_in_memory_gives_the_same_figure(saved, here):
    result = analyze(synthetic_store(here / "s.zarr", ["block.out:energy"]), "energy", FEW)
    by_memory, by_file = (
        save_figure(each, "layers_by_frames", name, style="screen")
        for each, name in ((result, "m.svg"), (saved, "f.svg"))
    )
    assert by_memory.figure.read_bytes() == by_file.figure.read_bytes()
    hashes = [json.loads(one.record.read_text())["result_sha256"] for one in (by_memory, by_file)]
    assert hashes[0] == hashes[1]
    assert by_memory.command == ""


PROBE = """
from typing import ClassVar
import xarray as xr
from matplotlib.figure import Figure
from pydantic import BaseModel
from dit_lens import Capture

class Mine:
    name, version, api_version, summary, access = "mine", "1", 1, "Nothing much.", "trace"
    class Params(BaseModel):
        height: float = 2.0
    def __init__(self, params=None):
        self.params = params or self.Params()
    def captures(self):
        return [Capture("block.out", "energy")]
    def map(self, chunk):
        return [float(chunk["block.out.energy"].sum())]
    def combine(self, states):
        return sorted(sum(states, []))
    def finish(self, state):
        return xr.Dataset({"total": ("trace", state)})
    def draw(self, result):
        figure = Figure(figsize=(4, self.params.height))
        figure.subplots().plot(result["total"].values)
        return {"totals": figure}
"""


def test_a_probe_in_a_file_is_named_again_and_never_by_the_result(here):
    (here / "mine.py").write_text(PROBE)
    result = analyze(synthetic_store(here / "s.zarr", ["block.out:energy"]), "./mine.py:Mine")
    path = save_result(result, here / "mine.zarr")
    with pytest.raises(BadFigure, match=r"by what it names; got probe 'mine' of a file, allowed .* --probe \./FILE"):
        save_figure(path, "totals", "a.svg")
    evil = result.assign_attrs(probe="./mine.py:Mine", probe_package="dit-lens 1")
    with pytest.raises(BadFigure, match="of a file"):
        save_figure(evil, "totals", "a.svg")
    with pytest.raises(BadFigure, match="made by another probe; got 'energy', allowed 'mine'"):
        save_figure(path, "totals", "a.svg", probe="energy")
    made = save_figure(path, "totals", "a.svg", probe="./mine.py:Mine", params={"height": 3})
    record = json.loads(made.record.read_text())
    assert record["data_is"] == "the whole result: the probe does not say"
    assert record["command"].endswith("--set height=3 --probe ./mine.py:Mine -o a.svg")
    assert len(made.data.read_text().splitlines()) == 1 + 2


WRONG = [
    (
        {"name": "layers_by_frame"},
        UnknownFigure,
        "allowed layers_by_frames, layer_over_steps; did you mean 'layers_",
    ),
    ({"name": "films", "path": "a"}, BadFigure, "films cannot have that format; got none, allowed gif, mp4"),
    ({"name": "films", "path": "a", "format": "gif"}, UnknownFigure, "has no figure 'films'"),
    ({"path": "a.gif"}, BadFigure, "a figure cannot have that format; got 'gif', allowed pdf, svg, png"),
    ({"path": "a"}, BadFigure, "got none, allowed pdf, svg, png; choose one with --format"),
    ({"path": "a.png", "format": "pdf"}, BadFigure, "name of the file and the format differ; got 'a.png' and pdf"),
    ({"style": "papre"}, BadFigure, "no such style; got 'papre', allowed paper, screen; did you mean 'paper'?"),
    ({"width": "colum"}, BadFigure, "no such width; got 'colum', allowed column, page; did you mean 'column'?"),
    ({"width": "page", "style": "screen"}, BadFigure, "got width page beside style screen, allowed one of the two"),
    ({"params": {"clip_low": 5}}, BadParams, "'clip_low' changes no figure of probe 'energy'; got 'clip_low', allowed"),
    ({"params": {"stepp": 5}}, BadParams, "did you mean 'step'?"),
    ({"params": {"step": 99}}, BadParams, "finds no step 99"),
    ({"result": "nothing.zarr"}, NotAResult, "no result of a probe is at 'nothing.zarr'; got nothing"),
]


@pytest.mark.parametrize(("given", "error", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_bad_input_is_one_line_and_writes_nothing(saved, here, given, error, words):
    asked = {"result": saved, "name": "layers_by_frames", "path": "a.pdf"} | given
    with pytest.raises(error, match=re.escape(words)) as caught:
        save_figure(asked.pop("result"), asked.pop("name"), asked.pop("path"), **asked)
    assert isinstance(caught.value, DitLensError)
    assert "\n" not in str(caught.value)
    assert not list(here.iterdir())


def test_results_that_cannot_be_drawn_are_refused(saved, here):
    result = load_result(saved)
    for attrs, error, words in (
        ({"probe": ""}, BadFigure, "names no probe"),
        ({"probe": "enrgy"}, UnknownProbe, "did you mean 'dit-lens:energy'"),
        ({"params": "[]"}, BadFigure, "parameters of the result cannot be read"),
        ({"params": "{"}, BadFigure, "parameters of the result cannot be read"),
    ):
        with pytest.raises(error, match=re.escape(words)):
            save_figure(result.assign_attrs(attrs), "layers_by_frames", "a.svg")


def test_what_is_no_figure_is_left_alone(saved, here):
    (here / "a.png").write_text("keep me")
    with pytest.raises(FigureInTheWay, match=r"a figure cannot be saved at 'a.png'; got something that was not made"):
        save_figure(saved, "layers_by_frames", "a.png")
    (here / "a.png.json").write_text("[]")
    with pytest.raises(FigureInTheWay):
        save_figure(saved, "layers_by_frames", "a.png")
    assert (here / "a.png").read_text() == "keep me"


@pytest.mark.parametrize("name", ["a.svg.csv", "a.svg.zarr", "a.svg.json"])
def test_what_lies_where_a_companion_would_is_left_alone(saved, here, name):
    kept = here / name / "keep.txt" if name.endswith("zarr") else here / name
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("{}")
    with pytest.raises(
        FigureInTheWay, match=rf"cannot be saved at '{name}'; got something that was not made by figure"
    ):
        save_figure(saved, "layer_over_steps", "a.svg", style="screen")
    assert kept.read_text() == "{}"
    assert [path.name for path in here.iterdir()] == [name]


def test_a_companion_that_the_record_does_not_name_is_left_alone(saved, here):
    first = save_figure(saved, "layer_over_steps", "a.svg", style="screen")
    assert save_figure(saved, "layer_over_steps", "a.svg", style="screen") == first
    (here / "a.svg.zarr").mkdir()
    (here / "a.svg.zarr" / "keep.txt").write_text("keep me")
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    with pytest.raises(
        FigureInTheWay, match=r"at 'a.svg.zarr'; got .*, allowed a free path or what an earlier 'a.svg."
    ):
        save_figure(saved, "layer_over_steps", "a.svg", style="screen")
    assert (here / "a.svg.zarr" / "keep.txt").read_text() == "keep me"
    assert {path: path.read_bytes() for path in here.iterdir() if path.is_file()} == before


def test_no_folder_of_the_machine_is_in_the_command_or_the_record(saved, here):
    elsewhere = here.parent / f"{here.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.py").write_text(
        PROBE.replace("height: float = 2.0", "height: float = 2.0\n        table: str = ''")
    )
    probe, table = f"{elsewhere}/mine.py:Mine", str(elsewhere / "table.csv")
    path = save_result(analyze(synthetic_store(here / "s.zarr", ["block.out:energy"]), probe), elsewhere / "mine.zarr")
    made = save_figure(path, "totals", here / "a.svg", probe=probe, params={"table": table}, style="screen")
    assert made.command == (
        "dit-lens figure mine.zarr --name totals --format svg --style screen --set table=table.csv "
        "--probe mine.py:Mine -o a.svg"
    )
    assert str(elsewhere) not in made.record.read_text()

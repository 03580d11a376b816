"""The other commands, end to end on an untrained model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import dit_lens
from dit_lens.cli.picture import chosen_steps
from dit_lens.probing import load_result
from dit_lens_stores import ArraySpec, create_store

MINE = """
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from pydantic import BaseModel
from dit_lens import Capture


class Mine:
    name, version, api_version, summary, access = "mine", "1", 1, "Mean energy of every layer.", "step"

    class Params(BaseModel):
        pass

    def __init__(self, params=None):
        self.params = params or self.Params()

    def captures(self):
        return [Capture("block.out", "energy")]

    def map(self, chunk):
        return [chunk["block.out.energy"].mean([dim for dim in chunk["block.out.energy"].dims if dim != "layer"])]

    def combine(self, states):
        return [mean for state in states for mean in state]

    def finish(self, state):
        return xr.Dataset({"mean": sum(state) / len(state)})

    def draw(self, result):
        return {}
"""


@pytest.mark.slow  # the README's examples run it every time
def test_demo_ends_with_where_everything_is(dit_lens_command, tmp_path: Path, model: Path) -> None:
    said = dit_lens_command("demo", "--model", model, "--size", 3, "--steps", 3, "--out", tmp_path / "demo")
    assert said.code == 0, said.err
    lines = [line.split(maxsplit=1) for line in said.out.splitlines()]
    paths = {word: [Path(rest.split("  (")[0]) for first, rest in lines if first == word] for word, _ in lines}
    assert dit_lens.open(paths["store"][0]).traces == ("maze-3x3-0-seed-0", "fork-3x3-0-seed-0")
    energy, trajectory = map(load_result, paths["result"])
    assert energy["energy"].sizes["trace"] == trajectory["film"].sizes["trace"] == 2
    assert said.out.splitlines()[2].startswith(f"report   {tmp_path / 'demo' / 'report.html'}")
    assert paths["report"][0].stat().st_size < 5_000_000
    assert len(paths["picture"]) == 3
    for picture in paths["picture"]:
        with Image.open(picture) as opened:
            assert min(opened.size) > 300
    again = dit_lens_command("demo", "--model", model, "--size", 3, "--steps", 3, "--out", tmp_path / "demo", "--json")
    assert [unit["status"] for unit in again.json["run"]["units"]] == ["skipped", "skipped"]
    shutil.rmtree(paths["store"][0])  # what a refusal of other settings tells to do
    anew = dit_lens_command("demo", "--model", model, "--size", 3, "--steps", 2, "--out", tmp_path / "demo", "--json")
    assert [unit["status"] for unit in anew.json["run"]["units"]] == ["complete", "complete"]
    works = {json.loads(line)["work"] for line in anew.err.splitlines()}
    assert works == {"trace", "probe energy on 2 traces", "probe trajectory on 2 traces"}


@pytest.mark.parametrize(("steps", "rows"), [(20, 8), (20, 20), (9, 8), (2, 8), (1, 8), (50, 3)])
def test_the_picture_shows_first_and_last_step_and_none_twice(steps: int, rows: int) -> None:
    chosen = chosen_steps(steps, rows)
    assert len(set(chosen)) == min(rows, steps)
    assert (chosen[0], chosen[-1]) == (0, steps - 1)
    assert list(chosen) == sorted(chosen)


def test_analyze_saves_results_and_figures(dit_lens_command, tmp_path: Path, store: Path) -> None:
    words = ["--probe", "energy", "--set", "energy.scale=raw", "--set", "energy.step=1", "--figures", "svg"]
    said = dit_lens_command("analyze", store, *words, "--out", tmp_path / "results", "--json")
    assert said.code == 0, said.err
    (record,) = said.json["results"]
    assert record["traces"] == ["maze-3x3-0-seed-0", "maze-3x3-0-seed-1"]
    assert '"scale":"raw"' in load_result(record["result"]).attrs["params"].replace(" ", "")
    assert record["figures"]
    assert all(Path(figure).suffix == ".svg" and Path(figure).stat().st_size > 1000 for figure in record["figures"])


def test_analyze_reads_the_traces_that_are_named(dit_lens_command, tmp_path: Path, store: Path) -> None:
    words = ["--probe", "energy", "--trace", "maze-3x3-0-seed-1", "--out", tmp_path]
    assert dit_lens_command("analyze", store, *words).code == 0
    assert list(load_result(tmp_path / "energy.zarr")["trace"].values) == ["maze-3x3-0-seed-1"]


def test_a_probe_from_a_file(dit_lens_command, tmp_path: Path, store: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    said = dit_lens_command("analyze", store, "--probe", f"{tmp_path / 'mine.py'}:Mine", "--out", tmp_path / "out")
    assert said.code == 0, said.err
    mean = load_result(tmp_path / "out" / "mine.zarr")["mean"]
    expected = dit_lens.open(store)["maze-3x3-0-seed-0"]["block.out.energy"].mean(["branch", "step", "frame", "token"])
    other = dit_lens.open(store)["maze-3x3-0-seed-1"]["block.out.energy"].mean(["branch", "step", "frame", "token"])
    assert mean.values == pytest.approx((expected.values + other.values) / 2, rel=1e-5)


def test_store_info(dit_lens_command, store: Path) -> None:
    record = dit_lens_command("store", "info", store, "--json").json
    assert [trace["status"] for trace in record["traces"]] == ["complete", "complete"]
    arrays = {array["name"]: array["dims"] for array in record["traces"][0]["arrays"]}
    assert arrays["block.out.energy"] == {"branch": 2, "step": 2, "layer": 10, "frame": 5, "token": 64}
    assert record["bytes"] == sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    said = dit_lens_command("store", "info", store)
    assert "branch 2 x step 2 x layer 10 x frame 5 x token 64" in said.out


def test_store_info_shows_the_arrays_of_a_trace_that_is_not_complete(dit_lens_command, tmp_path: Path) -> None:
    writer = create_store(tmp_path / "s.zarr")
    writer.begin("late", [ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))], [], {})
    (trace,) = dit_lens_command("store", "info", tmp_path / "s.zarr", "--json").json["traces"]
    assert trace == {
        "id": "late",
        "status": "running",
        "arrays": [{"name": "x", "dims": {"step": 2}, "dtype": "float32"}],
        "loras": [],
    }


def test_store_info_names_each_lora(dit_lens_command, tmp_path: Path) -> None:
    high = {"name": "high", "component": "transformer", "strength": 0.5, "on": True, "fused": False, "rank": 32}
    gone = {"name": "maze", "component": None, "strength": None, "on": True, "fused": True, "rank": None}
    writer = create_store(tmp_path / "s.zarr")
    arrays = [ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))]
    writer.begin("late", arrays, [], {"loras": [{**high, "modules": 20}, gone, "no such thing"]})
    (trace,) = dit_lens_command("store", "info", tmp_path / "s.zarr", "--json").json["traces"]
    assert trace["loras"] == [{**high, "modules": 20}, gone]
    said = dit_lens_command("store", "info", tmp_path / "s.zarr").out.splitlines()
    assert "lora high in transformer: on, strength 0.5, rank 32, modules 20" in said
    assert "lora maze: fused" in said


def test_an_analysis_again_replaces_its_own_result_and_figures(dit_lens_command, tmp_path: Path, store: Path) -> None:
    words = ["analyze", store, "--probe", "energy", "--out", tmp_path, "--json"]
    (first,) = dit_lens_command(*words).json["results"]
    before = Path(first["figures"][0]).read_bytes()
    (again,) = dit_lens_command(*words, "--set", "energy.step=0").json["results"]
    assert again["figures"] == first["figures"]
    assert Path(first["figures"][0]).read_bytes() != before


def test_probes_list(dit_lens_command) -> None:
    probes = {probe["name"]: probe for probe in dit_lens_command("probes", "list", "--json").json["probes"]}
    assert probes["energy"]["status"] == "ok"
    assert probes["energy"]["dist"] == "dit-lens"
    assert "energy" in dit_lens_command("probes", "list").out


def test_models_list(dit_lens_command) -> None:
    record = dit_lens_command("models", "list", "--json").json
    (tiny,) = record["models"]
    assert tiny["name"] == "tiny-wan"
    assert tiny["size"] == {"height": 64, "width": 64, "frames": 17}
    families = {family["name"]: family for family in record["families"]}
    assert families["wan"]["experts"] == ["transformer", "transformer_2"]
    assert "WanImageToVideoPipeline" in families["wan"]["pipelines"]
    assert {"attn1.frames", "x0"} <= set(families["wan"]["sites"])
    assert families["mochi"]["denoiser"] == "MochiTransformer3DModel"
    assert "attn1.frames" not in families["mochi"]["sites"]
    assert not {"x0", "x0.guided"} & set(families["cosmos-2"]["sites"])
    said = dit_lens_command("models", "list").out
    assert "tiny-wan" in said
    assert "MochiTransformer3DModel" in said


def test_models_show_names_every_site(dit_lens_command, model: Path) -> None:
    from dit_lens.captures import SITES

    record = dit_lens_command("models", "show", model, "--json").json
    sites = {row["site"]: row for row in record["sites"]}
    assert set(sites) == set(SITES)
    assert sites["block.out"]["events"]["layer"] == 10
    assert [(row["expert"], row["stack"], row["first"], row["last"]) for row in record["layers"]] == [
        ("transformer", "blocks", 0, 9),
        ("transformer_2", "blocks", 0, 9),
    ]
    said = dit_lens_command("models", "show", model).out
    assert "layer 10" in said
    assert "WanTransformerBlock" in said
    assert SITES["attn1.out"].place[:60] in said


def test_models_show_needs_no_weights(dit_lens_command, model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    assert dit_lens_command("models", "show", tmp_path / "bare").out == dit_lens_command("models", "show", model).out

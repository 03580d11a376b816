"""``dit-lens trace``: what it writes is what was asked, and the same command goes on where it stopped."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import dit_lens
from dit_lens.captures import Capture
from dit_lens.cli import records
from dit_lens.cli.records import RunRecord, UnitRecord, show_units
from dit_lens.cli.runs import gather_captures
from dit_lens.cli.samples import Unit, puzzle_sample
from dit_lens.errors import DitLensError
from dit_lens.puzzles import TASKS, unseen

PART = """
from dit_lens import Capture
from dit_lens_probes.energy import Energy


class Part(Energy):
    name = "part"

    def captures(self):
        return [Capture.parse("block.out:energy[layer=2]")]
"""
TASK = "--task fork --size 3 --steps 2 --frames 17"
WORDS = f"{TASK} --capture latent --capture block.out:energy[layer=2:4]"


def test_it_writes_what_was_asked(dit_lens_command, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "deep" / "fork.zarr"
    said = dit_lens_command("trace", model, *WORDS.split(), "--puzzle", "1", "--seed", "0:2", "--out", out, "--json")
    assert said.code == 0, said.err
    units = said.json["units"]
    assert [unit["trace"] for unit in units] == ["fork-3x3-1-seed-0", "fork-3x3-1-seed-1"]
    assert all(unit["status"] == "complete" and unit["solved"] is False and unit["seconds"] > 0 for unit in units)
    assert said.json["store"] == str(out)
    traces = dit_lens.open(out)
    assert list(traces["fork-3x3-1-seed-0"]["block.out.energy"].layer.values) == [2, 3]
    first, second = (traces[unit["trace"]]["latent.raw"].isel(step=0).values for unit in units)
    assert not np.array_equal(first, second)
    assert traces["fork-3x3-1-seed-1"].manifest["prompt"] == unseen("fork", 1, size=3).prompt


@pytest.mark.parametrize(
    ("words", "trace", "dimensions"),
    [
        (
            "fork --variant cue",
            "fork-cue-5x5-0-seed-0",
            {"path", "single", "valid", "walls", "marks", "kept", "choice"},
        ),
        pytest.param(
            *("maze --variant long", "maze-long-6x6-0-seed-0", {"path", "single", "valid", "walls", "marks", "kept"}),
            marks=pytest.mark.slow,
        ),
        pytest.param("grounding", "grounding-0-seed-0", set(TASKS["grounding"].weights), marks=pytest.mark.slow),
        ("occlusion --frames 17", "occlusion-0-seed-0", set(TASKS["occlusion"].weights)),
    ],
)
def test_every_task_is_traced_and_scored(
    dit_lens_command, tmp_path: Path, model: Path, words: str, trace: str, dimensions: set[str]
) -> None:
    given = ["--steps", 1, "--guidance", 1, "--capture", "latent", "--out", tmp_path / "x.zarr", "--json"]
    said = dit_lens_command("trace", model, "--task", *words.split(), *given)
    assert said.code == 0, said.err
    (unit,) = said.json["units"]
    assert (unit["trace"], unit["solved"], set(unit["dimensions"])) == (trace, False, dimensions)
    assert 0 <= unit["score"] < 1


def test_a_video_of_another_size_is_no_answer_and_has_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that takes no picture, any size can be asked."""
    unit = Unit(puzzle_sample("maze", 0, size=3), seed=0)
    assert unit.sample.puzzle is not None
    for side, solved in ((32, None), (64, True)):
        video = unit.sample.puzzle.clip()[:, :side, :side]
        monkeypatch.setattr(records, "open_trace", lambda *_, video=video: {"video": xr.DataArray(video)})
        assert records.judge(unit, Path("x.zarr"), None, None).solved is solved


def test_plain_xarray_opens_it(store: Path) -> None:
    dataset = xr.open_zarr(store, group="maze-3x3-0-seed-0", consolidated=False)
    assert dataset["block.out.energy"].dims == ("branch", "step", "layer", "frame", "token")
    assert np.isfinite(dataset["block.out.energy"].values).all()


def test_the_same_command_goes_on(dit_lens_command, tmp_path: Path, model: Path) -> None:
    words = ["trace", model, *WORDS.split(), "--out", tmp_path / "x.zarr", "--json"]
    assert dit_lens_command(*words).code == 0
    again = dit_lens_command(*words, "--seed", "0:2")
    assert [unit["status"] for unit in again.json["units"]] == ["skipped", "complete"]


def test_other_settings_under_the_same_name_are_refused(dit_lens_command, tmp_path: Path, model: Path) -> None:
    words = ["trace", model, *WORDS.split(), "--out", tmp_path / "x.zarr"]
    assert dit_lens_command(*words).code == 0
    before = sorted(tmp_path.rglob("*"))
    said = dit_lens_command(*words, "--guidance", "2")
    assert said.code == 2
    assert "guidance 2.0, allowed 1.5" in said.complaint
    assert said.complaint.endswith("; choose another --out, or remove the store to trace again")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_capture_of_everything_serves_a_probe_that_needs_a_part(tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text(PART, encoding="utf-8")
    part = f"{tmp_path / 'part.py'}:Part"
    assert gather_captures(["block.out:energy"], [part]) == (Capture("block.out", "energy"),)
    assert gather_captures(["latent"], [part]) == (Capture("latent"), Capture.parse("block.out:energy[layer=2]"))
    with pytest.raises(DitLensError, match=r"--for energy and --for .* write --capture block\.out:energy to record"):
        gather_captures([], ["energy", part])
    assert gather_captures(["block.out:energy"], ["energy", part]) == (Capture("block.out", "energy"),)


def test_a_picture_of_ones_own(dit_lens_command, tmp_path: Path, model: Path) -> None:
    image = tmp_path / "My maze.png"
    Image.fromarray(unseen("maze", 0, size=3).first_frame()).save(image)
    words = ["--image", image, "--prompt", "Draw.", "--steps", 2, "--frames", 17, "--out", tmp_path / "x.zarr"]
    said = dit_lens_command("trace", model, *words)
    assert said.code == 0, said.err
    assert f"store    {tmp_path / 'x.zarr'}" in said.out.splitlines()
    assert dit_lens.open(tmp_path / "x.zarr").traces == ("my-maze-seed-0",)


def test_an_interrupt_ends_with_130_and_resumes(
    dit_lens_command, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["trace", model, *WORDS.split(), "--out", tmp_path / "x.zarr", "--json"]
    real = dit_lens.Lens.trace

    def interrupted(self, request, captures, out, *, on_step=None, **options):  # as if Ctrl-C came after a step
        def stop(done: int, total: int) -> None:
            raise KeyboardInterrupt

        return real(self, request, captures, out, on_step=stop, **options)

    with monkeypatch.context() as patch:
        patch.setattr(dit_lens.Lens, "trace", interrupted)
        said = dit_lens_command(*words)
    assert said.code == 130
    assert said.complaint == "interrupted; the same command resumes"
    assert dit_lens.open(tmp_path / "x.zarr").status("fork-3x3-0-seed-0") != "complete"
    assert dit_lens_command(*words).json["units"][0]["status"] == "complete"


def test_an_incomplete_trace_ends_with_3(
    dit_lens_command, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import WanTransformer3DModel

    real = WanTransformer3DModel.forward

    def skips_a_layer(self, *args, **options):
        blocks = self.blocks
        self.blocks = blocks[:-1]
        try:
            return real(self, *args, **options)
        finally:
            self.blocks = blocks

    monkeypatch.setattr(WanTransformer3DModel, "forward", skips_a_layer)
    said = dit_lens_command("trace", model, *WORDS.split()[:8], "--for", "energy", "--out", tmp_path / "x.zarr")
    assert said.code == 3
    assert "layer 9" in said.err.splitlines()[-1]
    assert dit_lens.open(tmp_path / "x.zarr").status("fork-3x3-0-seed-0") == "failed"


def test_seconds_and_waiting_are_told(dit_lens_command, tmp_path: Path, model: Path) -> None:
    words = ["trace", model, *WORDS.split(), "--out", tmp_path / "x.zarr"]
    said = dit_lens_command(*words)
    (line,) = (line for line in said.out.splitlines() if line.startswith("trace"))
    assert re.fullmatch(r"trace    fork-3x3-0-seed-0  \(\d+\.\d s, \d+\.\d s of it waiting for the writer, .*\)", line)
    (unit,) = dit_lens_command(*words, "--json").json["units"]
    assert (unit["status"], unit["seconds"], unit["waited"]) == ("skipped", None, None)
    (unit,) = dit_lens_command(*words[:-1], tmp_path / "y.zarr", "--json").json["units"]
    assert 0 <= unit["waited"] <= unit["seconds"]


@pytest.mark.slow
def test_units_run_in_batches(dit_lens_command, tmp_path: Path, model: Path) -> None:
    """Three seeds of two puzzles, two at a time: a picture of its own never shares a call."""
    words = ["--puzzle", "0:2", "--seed", "0:3", "--batch", 2, "--out", tmp_path / "x.zarr", "--json"]
    units = dit_lens_command("trace", model, *WORDS.split(), *words).json["units"]
    first, second, alone = {"size": 2, "row": 0}, {"size": 2, "row": 1}, None
    assert [unit["batch"] for unit in units] == [first, second, alone] * 2
    assert units[0]["seconds"] == units[1]["seconds"] != units[2]["seconds"]
    store = dit_lens.open(tmp_path / "x.zarr")
    assert [store[unit["trace"]].manifest["batch"] for unit in units] == [first, second, alone] * 2
    assert store["fork-3x3-1-seed-1"].manifest["prompt"] == unseen("fork", 1, size=3).prompt
    rows = [store[f"fork-3x3-0-seed-{seed}"]["latent.raw"].values for seed in (0, 1)]
    assert not np.array_equal(*rows)


def test_a_batch_of_which_a_row_is_missing(dit_lens_command, tmp_path: Path, model: Path) -> None:
    """All rows run again, and only what is missing is written."""
    words = ["trace", model, *WORDS.split(), "--seed", "0:2", "--batch", 2, "--out", tmp_path / "x.zarr", "--json"]
    assert dit_lens_command(*words).code == 0
    lost, kept = (tmp_path / "x.zarr" / f"fork-3x3-0-seed-{seed}" for seed in (0, 1))
    before = dit_lens.open(tmp_path / "x.zarr")[lost.name]["latent.raw"].values
    shutil.rmtree(lost)
    dates = {file: file.stat().st_mtime_ns for file in kept.rglob("*")}
    said = dit_lens_command(*words)
    assert said.code == 0, said.err
    assert [unit["status"] for unit in said.json["units"]] == ["complete", "skipped"]
    assert {file: file.stat().st_mtime_ns for file in kept.rglob("*")} == dates
    after = dit_lens.open(tmp_path / "x.zarr")[lost.name]
    assert after.manifest["batch"] == {"size": 2, "row": 0}
    assert np.array_equal(after["latent.raw"].values, before)


def test_another_batch_is_another_setting(dit_lens_command, tmp_path: Path, model: Path) -> None:
    words = ["trace", model, *WORDS.split(), "--seed", "0:2", "--out", tmp_path / "x.zarr"]
    assert dit_lens_command(*words, "--batch", 2).code == 0
    said = dit_lens_command(*words)
    assert said.code == 2
    assert "got batch None, allowed {'size': 2, 'row': 0}" in said.complaint


def test_a_setting_reaches_the_pipeline(dit_lens_command, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "x.zarr"
    words = ["trace", model, *TASK.split(), "--capture", "attn2.k[step=0,layer=0]", "--out", out]
    assert dit_lens_command(*words, "--set", "max_sequence_length=64").code == 0
    trace = dit_lens.open(out)["fork-3x3-0-seed-0"]
    assert trace["attn2.k.raw"].sizes["text_token"] == 64
    assert trace.manifest["extra"] == {"max_sequence_length": 64}
    said = dit_lens_command(*words)
    assert said.code == 2
    assert "got extra {}, allowed {'max_sequence_length': 64}" in said.complaint


def test_a_recording_that_was_dropped_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    unit = UnitRecord(trace="a", seed=0, status="complete", seconds=1.25, waited=0.5, anew="got other latents")
    show_units(RunRecord(store="x.zarr", units=(unit,)))
    assert capsys.readouterr().out.splitlines() == [
        "trace    a  (1.2 s, 0.5 s of it waiting for the writer)",
        "anew     a  (got other latents)",
    ]


@pytest.mark.parametrize(("solved", "said"), [(True, ", solved"), (False, ", not solved, score 0.25"), (None, "")])
def test_the_verdict_is_told(solved: bool | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    score = None if solved is None else 1.0 if solved else 0.25
    unit = UnitRecord(trace="a", seed=0, status="skipped", seconds=None, solved=solved, score=score)
    show_units(RunRecord(store="x.zarr", units=(unit,)))
    assert capsys.readouterr().out == f"trace    a  (already there{said})\n"

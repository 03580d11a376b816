"""``dit-lens plan`` says what ``trace`` will write, and both refuse what would not fit."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

import dit_lens
from dit_lens.cli.options import RequestOptions, settings_of, units_of_options
from dit_lens.engine import disk

TASK = ("--task", "fork", "--size", "3", "--steps", "2", "--frames", "17")
WORDS = (*TASK, "--capture", "latent", "--capture", "block.out:energy[layer=2:4]")
ENERGY = 2 * 2 * 2 * 5 * 64 * 4  # branches, steps, layers, frames, tokens
LATENT = 2 * 16 * 5 * 8 * 8 * 4
VIDEO = 17 * 64 * 64 * 3
ONE = ENERGY + LATENT + VIDEO
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="session")
def bare(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model without its weights."""
    folder = tmp_path_factory.mktemp("bare") / "untrained"
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    assert not list(folder.rglob("*.safetensors"))
    return folder


def test_it_counts_what_a_trace_writes(dit_lens_command, tmp_path: Path, model: Path, bare: Path) -> None:
    words = [*WORDS, "--seed", "0:2", "--out", tmp_path / "x.zarr", "--json"]
    planned = dit_lens_command("plan", bare, *words)
    assert planned.code == 0, planned.err
    assert list(tmp_path.iterdir()) == []
    record = planned.json
    assert (record["traces"], record["calls"], record["bytes"]) == (2, 2, 2 * ONE)
    assert {array["name"]: array["bytes"] for array in record["arrays"]} == {
        "latent.raw": LATENT,
        "block.out.energy": ENERGY,
        "video": VIDEO,
    }
    assert record["events"] == 2 * (2 * 2 * 2 + 2 + 1)
    assert record["slow_down"]["factor"] > 1
    assert record["memory"]["total"] >= ONE
    assert dit_lens_command("trace", model, *words).code == 0
    there = [file for file in tmp_path.glob("x.zarr/*/**/*") if file.is_file()]
    assert record["files"] == len(there)


def test_it_says_so_in_words(dit_lens_command, empty: Path, bare: Path) -> None:
    said = dit_lens_command("plan", bare, *WORDS, "--seed", "0:3", "--batch", 2)
    assert said.code == 0, said.err
    assert said.err == ""
    assert "block.out.energy" in said.out
    assert "3 traces in 2 calls of untrained (wan)" in said.out
    assert f"{disk.format_size(3 * ONE)} before compression, which makes it smaller" in said.out
    assert "times as long as without a trace, as an estimate" in said.out
    assert "assumed  the model computes at the rate of a plain transformer layer" in said.out
    assert list(empty.iterdir()) == []


def test_a_plan_over_its_budget_is_shown_and_ends_with_4(dit_lens_command, empty: Path, bare: Path) -> None:
    said = dit_lens_command("plan", bare, *WORDS, "--budget", f"{ONE - 1}", "--json")
    assert said.code == 4
    assert "the plan is over its budget" in said.complaint
    assert said.json["bytes"] == ONE
    assert dit_lens_command("plan", bare, *WORDS, "--budget", f"{ONE}").code == 0


def test_a_trace_over_its_budget_is_refused(dit_lens_command, empty: Path, model: Path) -> None:
    """The budget is that of all traces together."""
    words = [*WORDS, "--seed", "0:2", "--out", "x.zarr"]
    said = dit_lens_command("trace", model, *words, "--budget", f"{2 * ONE - 1}")
    assert said.code == 4
    assert said.complaint.startswith("the plan is over its budget; got ")
    assert list(empty.iterdir()) == []


def test_what_is_complete_takes_nothing_of_the_budget(dit_lens_command, empty: Path, model: Path) -> None:
    words = [*WORDS, "--out", "x.zarr", "--budget", f"{ONE}", "--json"]
    assert dit_lens_command("trace", model, *words).code == 0
    again = dit_lens_command("trace", model, *words, "--seed", "0:2")
    assert [unit["status"] for unit in again.json["units"]] == ["skipped", "complete"]
    assert dit_lens_command("trace", model, *words, "--seed", "0:4").code == 4


def test_a_disk_that_is_too_small(dit_lens_command, empty: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: Usage(10**9, 10**9, ONE - 1))
    said = dit_lens_command("trace", model, *WORDS, "--out", "x.zarr")
    assert said.code == 4
    assert "the plan does not fit on the disk of 'x.zarr'" in said.complaint
    assert list(empty.iterdir()) == []


def test_a_disk_that_fills_up_on_the_way(
    dit_lens_command, empty: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for the plan at first; then another program takes it, and the guard ends the run."""
    words = ["trace", model, *WORDS, "--out", "x.zarr", "--json"]
    looks = []

    def usage(path: Path) -> Usage:
        looks.append(path)
        return Usage(10**12, 0, 10**12 if len(looks) < 3 else 1000)

    with monkeypatch.context() as patch:
        patch.setattr(disk.shutil, "disk_usage", usage)
        said = dit_lens_command(*words)
    assert said.code == 3
    assert "what is recorded stays readable" in said.err.splitlines()[-1]
    store = dit_lens.open("x.zarr")
    assert store.status("fork-3x3-0-seed-0") == "failed"
    assert set(store.get("fork-3x3-0-seed-0", partial=True).arrays) == {"latent.raw", "block.out.energy", "video"}
    assert dit_lens_command(*words).json["units"][0]["status"] == "complete"


BAD_WORDS = {
    "unreadable budget": ("--budget 20GX", "a size cannot be read; got '20GX'"),
    "no batch": ("--batch 0", "--batch cannot be used; got"),
    "setting without value": ("--set strength", "allowed NAME=VALUE; write it as strength=0.6"),
    "setting twice": ("--set a=1 --set a=2", "--set names a more than once"),
    "setting with an option": ("--set height=3", "--set names what has an option; got 'height=3', allowed --height"),
    "setting of nothing": ("--set max_sequence_lenth=3", "did you mean 'max_sequence_length'?"),
    "setting of ours": ("--set output_type=pil", "--set names what a trace decides itself; got 'output_type'"),
    "no place": ("--out taken/x.zarr", "--out cannot be used"),
    "task and video": ("--video a.mp4", "--task brings its own picture and prompt; got --task fork with --video"),
}


@pytest.mark.parametrize(("words", "expected"), BAD_WORDS.values(), ids=BAD_WORDS)
def test_bad_words(words: str, expected: str, dit_lens_command, empty: Path, bare: Path) -> None:
    (empty / "taken").write_text("keep me", encoding="utf-8")
    said = dit_lens_command("plan", bare, *WORDS, *words.split())
    assert said.code == 2, said.err
    assert expected in said.complaint
    assert said.out == ""
    assert [path.name for path in empty.iterdir()] == ["taken"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio leaves a pipe open
@pytest.mark.parametrize(("name", "reason"), [("no.mp4", "no such file"), ("bad.mp4", "not a video that can be read")])
def test_a_video_that_is_none(name: str, reason: str, dit_lens_command, empty: Path, bare: Path) -> None:
    (empty / "bad.mp4").write_text("no video", encoding="utf-8")
    said = dit_lens_command("plan", bare, "--prompt", "Draw.", "--video", name)
    assert said.code == 2
    assert f"--video cannot be used; got '{name}' ({reason}), allowed an MP4, WebM or GIF file" in said.complaint


def test_a_video_for_a_model_that_takes_none(dit_lens_command, empty: Path, bare: Path) -> None:
    Image.new("RGB", (64, 64)).save("a.gif")
    said = dit_lens_command("plan", bare, "--prompt", "Draw.", "--video", "a.gif")
    assert said.code == 2
    assert "--video names no argument of WanImageToVideoPipeline; got 'video'" in said.complaint


@pytest.fixture
def from_video(bare: Path, tmp_path: Path) -> Path:
    """The same parts as a pipeline that starts from a video."""
    folder = tmp_path / "from-video"
    shutil.copytree(bare, folder)
    for file, changes in {
        "model_index.json": {"_class_name": "WanVideoToVideoPipeline", "transformer_2": [None, None]},
        "transformer/config.json": {"in_channels": 16},
    }.items():
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio leaves a pipe open
@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_video_to_start_from(ending: str, dit_lens_command, empty: Path, from_video: Path) -> None:
    """Its size is that of the run, and its strength decides how many steps there are."""
    imageio.mimwrite(f"a.{ending}", [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(9)])
    words = ["--prompt", "Draw.", "--video", f"a.{ending}", "--steps", 10, "--capture", "latent", "--json"]
    record = dit_lens_command("plan", from_video, *words, "--set", "strength=0.6").json
    arrays = {array["name"]: array["dims"] for array in record["arrays"]}
    assert arrays["latent.raw"] == {"step": 6, "latent_channel": 16, "frame": 3, "h": 6, "w": 8}
    record = dit_lens_command("plan", from_video, *words, "--set", "strength=1.0").json
    assert record["arrays"][0]["dims"]["step"] == 10


def test_pictures_of_a_setting_reach_the_request_as_they_are(empty: Path) -> None:
    imageio.mimwrite("a.gif", [np.full((16, 24, 3), 20 * number, np.uint8) for number in range(3)])
    options = RequestOptions(prompt="Draw.", video=Path("a.gif"), set_=("strength=0.5", "mode=fast", "on=true"))
    request = settings_of(options).request(units_of_options(options)[0])
    assert (request.width, request.height, request.frames) == (24, 16, 3)
    assert [frame.size for frame in request.extra["video"]] == [(24, 16)] * 3
    assert all(isinstance(frame, Image.Image) for frame in request.extra["video"])
    assert {name: request.extra[name] for name in ("strength", "mode", "on")} == {
        "strength": 0.5,
        "mode": "fast",
        "on": True,
    }

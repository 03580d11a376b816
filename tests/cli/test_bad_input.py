"""Whatever is wrong is said on one line, the command ends with 2, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr
from PIL import Image

import dit_lens
from dit_lens.cli.failures import naming_pipeline
from dit_lens.cli.places import check_result
from dit_lens.engine.errors import BadRequest
from dit_lens.probing import ResultExists, save_result

TASK = "--task maze --size 3 --steps 2 --frames 17 --out out.zarr"

BEFORE_THE_MODEL = {
    "unknown model": (f"trace tiny-wna {TASK}", "did you mean 'tiny-wan'?"),
    "unknown site": (f"trace MODEL {TASK} --capture blok.out:raw", "did you mean 'block.out'?"),
    "unknown reduction": (f"trace MODEL {TASK} --capture block.out:enrgy", "did you mean 'energy'?"),
    "unreadable capture": (f"trace MODEL {TASK} --capture block.out[step", "'block.out[step'"),
    "unknown axis": (f"trace MODEL {TASK} --capture block.out:raw[stp=0]", "did you mean 'step'?"),
    "unknown probe": (f"trace MODEL {TASK} --for enrgy", "did you mean 'energy'?"),
    "no steps": ("trace MODEL --task maze --steps 0 --out out.zarr", "--steps cannot be used; got"),
    "steps that are no number": ("trace MODEL --task maze --steps many --out out.zarr", "--steps cannot be used"),
    "a seed twice": (f"trace MODEL {TASK} --seed 3 --seed 3", "--seed names 3 more than once"),
    "a seed in two ranges": (f"trace MODEL {TASK} --seed 0:4 --seed 2", "--seed names 2 more than once"),
    "an empty range": (f"trace MODEL {TASK} --seed 4:4", "--seed names nothing"),
    "an unreadable seed": (f"trace MODEL {TASK} --seed -1", "--seed cannot be read"),
    "seeds beyond number": (
        f"trace MODEL {TASK} --seed 0:100000000000",
        "--seed names too many; got 100000000000, allowed 1000000 at most",
    ),
    "seeds of several ranges": (f"trace MODEL {TASK} --seed 0:999999 --seed 10000000:10000009", "got 1000008"),
    "a range longer than a word": (f"trace MODEL {TASK} --seed 0:{10**30}", f"got {10**30}, allowed 1000000"),
    "a seed of too many digits": (f"trace MODEL {TASK} --seed {'9' * 5000}", "--seed cannot be read"),
    "a seed in other digits": (f"trace MODEL {TASK} --seed ٣", "--seed cannot be read; got '٣'"),
    "puzzles beyond number": (f"trace MODEL {TASK} --puzzle 0:10001", "--puzzle names too many; got 10001, allowed"),
    "traces beyond number": (
        f"trace MODEL {TASK} --puzzle 0:2 --seed 0:600000",
        "--puzzle and --seed name too many traces; got 2 x 600000, allowed 1000000 at most",
    ),
    "components beyond number": (
        f"trace MODEL {TASK} --capture block.out:project:3000000000",
        "got '3000000000', allowed a number from 1 to 65536",
    ),
    "a puzzle twice": (f"trace MODEL {TASK} --puzzle 1 --puzzle 0:2", "--puzzle names 1 more than once"),
    "a size without mazes": (
        "trace MODEL --task maze --size 9 --out out.zarr",
        "a maze ('plain') has no such size; got 9, allowed 3, 4, 5, 6, 7; choose one of them",
    ),
    "a size that is no number": (
        "trace MODEL --task maze --size x --out out.zarr",
        "--size cannot be used; got 'x', allowed a whole number",
    ),
    "a size where there are none": (
        "trace MODEL --task grounding --size 5 --out out.zarr",
        "has no such size; got 5, allowed none, this puzzle has no sizes",
    ),
    "a size of another variant": (
        "trace MODEL --task fork --variant three --size 3 --out out.zarr",
        "a fork ('three') has no such size; got 3, allowed 5, 6, 7; choose one of them",
    ),
    "an unknown variant": (
        "trace MODEL --task maze --variant lage --out out.zarr",
        "unknown variant of maze; got 'lage', allowed plain, large, long; did you mean 'large'?",
    ),
    "an unknown task": (
        "trace MODEL --task mase --out out.zarr",
        "--task cannot be used; got 'mase', allowed maze, fork, grounding, occlusion; did you mean 'maze'?",
    ),
    "a guidance that is no number": (f"trace MODEL {TASK} --guidance x", "got 'x', allowed a number; write one"),
    "an option without its value": ("trace MODEL --out out.zarr --size --json", "--size has no value; got nothing"),
    "no model": ("models show", "MODEL is missing; got nothing, allowed one value; add MODEL"),
    "nothing to trace": ("trace MODEL --out out.zarr", "neither --task nor --prompt"),
    "task and prompt": (f"trace MODEL {TASK} --prompt x", "--task brings its own"),
    "puzzle without task": ("trace MODEL --prompt x --puzzle 3 --out out.zarr", "--puzzle stands without --task"),
    "variant without task": ("trace MODEL --prompt x --variant cue --out out.zarr", "--variant stands without --task"),
    "size without task": ("trace MODEL --prompt x --size 3 --out out.zarr", "--size stands without --task"),
    "no such image": ("trace MODEL --prompt x --image no.png --out out.zarr", "no such file"),
    "no place": ("trace MODEL --task maze", "--out is missing; got nothing, allowed one value or more; add --out"),
    "no place to train in": ("models train tiny-wan", "--out is missing; got nothing, allowed one value; add --out"),
    "an unknown format": (
        "analyze STORE --probe energy --figures gif --out results",
        "--figures cannot be used; got 'gif', allowed png, svg, pdf; choose one of those",
    ),
    "parts that a probe cannot use": (
        f"trace MODEL {TASK} --capture block.out:energy[layer=2] --for energy",
        "allowed one selection; write --capture block.out:energy to record all of it",
    ),
    "unknown option": (f"trace MODEL {TASK} --stps 3", "Did you mean --steps?"),
    "unknown command": ("trac MODEL", 'Did you mean "trace"?'),
    "unknown subcommand": ("store inf", 'Did you mean "info"?'),
    "no store to look at": ("store info nothing.zarr", "nothing.zarr"),
    "no store to analyze": ("analyze nothing.zarr --probe energy --out results", "nothing.zarr"),
    "unknown probe to run": ("analyze STORE --probe enrgy --out results", "did you mean 'energy'?"),
    "no probe": ("analyze STORE --out results", "--probe"),
    "a probe twice": ("analyze STORE --probe energy --probe energy --out results", "more than once"),
    "unknown parameter": ("analyze STORE --probe energy --set energy.scal=raw --out results", "did you mean 'scale'?"),
    "bad parameter": (
        "analyze STORE --probe energy --set energy.scale=loud --out results",
        "allowed robust, raw; choose",
    ),
    "unreadable parameter": ("analyze STORE --probe energy --set scale=raw --out results", "PROBE.KEY=VALUE"),
    "parameter of another": (
        "analyze STORE --probe energy --set enrgy.scale=raw --out results",
        "did you mean 'energy'?",
    ),
    "a layer that is not there": (
        "analyze STORE --probe energy --set energy.layer=99 --out results",
        "; choose a layer",
    ),
    "unknown trace": ("analyze STORE --probe energy --trace maze-3x3-0-seed-7 --out results", "maze-3x3-0-seed-"),
    "a model that cannot be trained": ("models train tiny-wna --out run", "did you mean 'tiny-wan'?"),
    "a device that is not here": ("models train tiny-wan --device cdua --out run", "allowed cpu"),
    "an unknown model to show": ("models show tiny-wna", "did you mean 'tiny-wan'?"),
    "a demo of no steps": ("demo --steps 0 --out out", "--steps cannot be used"),
}
MINE = """
import xarray as xr
from pydantic import BaseModel
from dit_lens import Capture


class Mine:
    name, version, api_version, summary, access = "mine", "1", 1, "Counts chunks.", "step"

    class Params(BaseModel):
        pass

    def __init__(self, params=None):
        {__init__}

    def captures(self):
        return {captures}

    def map(self, chunk):
        return 1

    def combine(self, states):
        return sum(states)

    def finish(self, state):
        return xr.Dataset({{"chunks": state}})

    def draw(self, result):
        return {{}}
"""


def mine(**changed: str) -> str:
    """The file of a probe, with other code in some of its methods."""
    return MINE.format(**{"__init__": "pass", "captures": "[Capture('block.out', 'energy')]", **changed})


AGAINST_THE_MODEL = {
    "unknown layer": ("--capture block.out:energy[layer=10]", "0 to 9"),
    "unknown step": ("--capture block.out:energy[step=2]", "0 to 1"),
    "unknown branch": ("--capture block.out:energy[branch=condd]", "did you mean 'cond'?"),
    "a branch that guidance would make": ("--capture block.out:energy[branch=uncond] --guidance 1", "cond"),
    "unknown expert": ("--capture block.out:energy[expert=transformer_3]", "transformer_2"),
    "unknown frame": ("--capture block.out:energy[frame=5]", "0 to 4"),
    "tokens that are no number": (
        "--set max_sequence_length=zz",
        "--set has no such max_sequence_length; got 'zz', allowed 1 to 65536 tokens",
    ),
    "embeddings that are none": ("--set prompt_embeds=3", "--set has no such prompt_embeds; got int, allowed a tensor"),
    "arguments that are none": ("--set attention_kwargs=3", "--set has no such attention_kwargs; got 3, allowed a map"),
    "a picture that is text": ("--set last_image=/nope", "--set has no such last_image; got '/nope', allowed a PIL"),
    "copies": ("--set num_videos_per_prompt=2", "--set names what a trace decides itself; got 'num_videos_per_prompt'"),
    "guidance": (
        "--set guidance_scale=1",
        "--set names what the generation says itself; got 'guidance_scale', allowed",
    ),
    "frames that do not fit": ("--frames 16", "16"),
}


@pytest.mark.parametrize(("words", "expected"), BEFORE_THE_MODEL.values(), ids=BEFORE_THE_MODEL)
def test_bad_words(words: str, expected: str, dit_lens_command, empty: Path, request: pytest.FixtureRequest) -> None:
    if "MODEL" in words:
        words = words.replace("MODEL", str(request.getfixturevalue("model")))
    if "STORE" in words:
        words = words.replace("STORE", str(request.getfixturevalue("store")))
    said = dit_lens_command(*words.split())
    assert said.code == 2, said.err
    assert expected in said.complaint
    assert said.out == ""
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(("words", "expected"), AGAINST_THE_MODEL.values(), ids=AGAINST_THE_MODEL)
def test_words_that_the_model_refuses(words: str, expected: str, dit_lens_command, empty: Path, model: Path) -> None:
    task = TASK.replace("--frames 17 ", "" if "--frames" in words else "--frames 17 ")
    said = dit_lens_command("trace", model, *task.split(), *words.split())
    assert said.code == 2, said.err
    assert expected in said.complaint
    assert list(empty.iterdir()) == []


def test_what_only_the_pipeline_refuses(
    dit_lens_command, empty: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found when it runs: one line, and the trace that was begun is marked failed."""
    from diffusers import WanImageToVideoPipeline

    def refuse(*_args: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr(WanImageToVideoPipeline, "check_inputs", refuse)
    said = dit_lens_command("trace", model, *TASK.split())
    assert said.code == 3, said.err
    assert "the pipeline failed while it was traced; got ValueError: two lines, " in said.err.splitlines()[-1]
    assert "Traceback" not in said.err
    store = dit_lens.open("out.zarr")
    assert [store.status(name) for name in store.index] == ["failed"]


def test_an_error_of_our_own_keeps_its_traceback() -> None:
    def ours() -> None:
        raise TypeError("a mistake")

    with pytest.raises(TypeError), naming_pipeline():
        ours()
    with pytest.raises(BadRequest), naming_pipeline():
        raise BadRequest("a refusal")


def test_an_image_of_the_wrong_size(dit_lens_command, empty: Path, tmp_path: Path, model: Path) -> None:
    image = tmp_path / "first.png"
    Image.new("RGB", (60, 64)).save(image)
    words = ["--image", image, "--prompt", "Draw.", "--steps", "2", "--frames", "17", "--out", "out.zarr"]
    said = dit_lens_command("trace", model, *words)
    assert said.code == 2
    assert "60" in said.complaint
    assert list(empty.iterdir()) == []


def test_an_image_that_is_none(dit_lens_command, empty: Path, tmp_path: Path, model: Path) -> None:
    image = tmp_path / "first.png"
    image.write_text("no picture", encoding="utf-8")
    said = dit_lens_command("trace", model, "--image", image, "--prompt", "Draw.", "--out", "out.zarr")
    assert said.code == 2
    assert "not a picture that can be read" in said.complaint


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_output_that_is_not_ours(kind: str, dit_lens_command, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "taken"
    kept = out if kind == "file" else out / "kept.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("keep me", encoding="utf-8")
    said = dit_lens_command("trace", model, *TASK.split()[:-1], out)
    assert said.code == 2
    assert "taken" in said.complaint
    assert kept.read_text(encoding="utf-8") == "keep me"
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


FILE_IN_THE_WAY = {
    "trace": "trace tiny-wan --task maze --size 3 --steps 2",
    "demo": "demo --size 3 --steps 2",
    "analyze": "analyze STORE --probe energy",
    "models train": "models train tiny-wan --quick",
}


@pytest.mark.parametrize("below", ["taken", "taken/deep/er"])
@pytest.mark.parametrize("words", FILE_IN_THE_WAY.values(), ids=FILE_IN_THE_WAY)
def test_a_file_where_a_folder_should_be(
    words: str, below: str, dit_lens_command, empty: Path, request: pytest.FixtureRequest
) -> None:
    if "STORE" in words:
        words = words.replace("STORE", str(request.getfixturevalue("store")))
    taken = empty / "taken"
    taken.write_text("keep me", encoding="utf-8")
    said = dit_lens_command(*words.split(), "--out", below)
    assert said.code == 2, said.err
    assert "taken" in said.complaint
    assert "allowed" in said.complaint
    assert taken.read_text(encoding="utf-8") == "keep me"
    assert list(empty.iterdir()) == [taken]


def test_a_result_does_not_replace_what_is_not_ours(dit_lens_command, tmp_path: Path, store: Path) -> None:
    kept = tmp_path / "energy.zarr"
    kept.write_text("keep me", encoding="utf-8")
    said = dit_lens_command("analyze", store, "--probe", "energy", "--out", tmp_path)
    assert said.code == 2
    assert "energy.zarr" in said.complaint
    assert kept.read_text(encoding="utf-8") == "keep me"


@pytest.mark.parametrize("name", ["energy-layers_by_frames.png", "energy-thesis.png"])
def test_a_figure_does_not_replace_what_is_not_ours(name: str, dit_lens_command, tmp_path: Path, store: Path) -> None:
    (tmp_path / name).write_text("keep me", encoding="utf-8")
    said = dit_lens_command("analyze", store, "--probe", "energy", "--out", tmp_path)
    assert said.code == 2
    assert f"got '{name}'" in said.complaint
    assert (tmp_path / name).read_text(encoding="utf-8") == "keep me"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_figures_of_other_formats_and_of_other_probes_are_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "energy-a.pdf").write_text("", encoding="utf-8")
    (tmp_path / "energies.png").write_text("", encoding="utf-8")
    (tmp_path / "energy-x-a.png").write_text("", encoding="utf-8")
    result = xr.Dataset({"a": 1})
    save_result(result, tmp_path / "energy-x.zarr")
    assert check_result(tmp_path, "energy", ["png"]) == tmp_path / "energy.zarr"
    (tmp_path / "energy-x-b.png").mkdir()
    with pytest.raises(ResultExists, match=r"energy-x-b\.png"):
        check_result(tmp_path, "energy", ["png"])


def test_the_demo_does_not_replace_a_picture_that_is_not_its_own(dit_lens_command, tmp_path: Path, model: Path) -> None:
    (tmp_path / "x0.png").write_text("keep me", encoding="utf-8")
    said = dit_lens_command("demo", "--model", model, "--size", 3, "--steps", 2, "--out", tmp_path)
    assert said.code == 2
    assert "got 'x0.png'" in said.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["x0.png"]


@pytest.mark.parametrize(("taken", "capture"), [("mine.zarr", "latent"), (None, "velocity")])
def test_no_probe_runs_if_a_later_one_is_refused(
    taken: str | None, capture: str, dit_lens_command, tmp_path: Path, store: Path
) -> None:
    """The second probe's place is taken, or the store lacks what it needs: the first one has saved nothing."""
    (tmp_path / "mine.py").write_text(mine(captures=f"[Capture('{capture}')]"), encoding="utf-8")
    out = tmp_path / "results"
    if taken:
        out.mkdir()
        (out / taken).write_text("keep me", encoding="utf-8")
    words = ["--probe", "energy", "--probe", f"{tmp_path / 'mine.py'}:Mine", "--out", out]
    said = dit_lens_command("analyze", store, *words)
    assert said.code == 2
    assert (taken or f"{capture}.raw") in said.complaint
    assert [path.name for path in out.iterdir()] == [taken] if taken else not out.exists()


@pytest.mark.parametrize("method", ["__init__", "captures"])
def test_a_probe_that_raises_is_named_before_anything_is_traced(
    method: str, dit_lens_command, empty: Path, tmp_path: Path
) -> None:
    broken = {"__init__": "raise KeyError('lost')"} if method == "__init__" else {"captures": "1 / 0"}
    (tmp_path / "mine.py").write_text(mine(**broken), encoding="utf-8")
    said = dit_lens_command("trace", "tiny-wan", *TASK.split(), "--for", f"{tmp_path / 'mine.py'}:Mine")
    assert said.code == 1
    assert said.complaint.startswith("probe 'mine' 1 ")
    assert ("lost" if method == "__init__" else "ZeroDivisionError") in said.complaint
    assert list(empty.iterdir()) == []


def test_a_store_without_the_captures_names_the_one_to_add(dit_lens_command, empty: Path, model: Path) -> None:
    assert dit_lens_command("trace", model, *TASK.split(), "--capture", "latent").code == 0
    said = dit_lens_command("analyze", "out.zarr", "--probe", "energy", "--out", "results")
    assert said.code == 2
    assert "block.out:energy" in said.err.splitlines()[-1]
    assert not Path("results").exists()

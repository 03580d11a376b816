"""Whatever is wrong is said on one line, the command ends with 2, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

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
    "a puzzle twice": (f"trace MODEL {TASK} --puzzle 1 --puzzle 0:2", "--puzzle names 1 more than once"),
    "a size without mazes": ("trace MODEL --task maze --size 9 --out out.zarr", "--size cannot be used; got '9'"),
    "an unknown task": ("trace MODEL --task mase --out out.zarr", "maze"),
    "nothing to trace": ("trace MODEL --out out.zarr", "neither --task nor --prompt"),
    "task and prompt": (f"trace MODEL {TASK} --prompt x", "--task brings its own"),
    "puzzle without task": ("trace MODEL --prompt x --puzzle 3 --out out.zarr", "--puzzle stands without --task"),
    "no such image": ("trace MODEL --prompt x --image no.png --out out.zarr", "no such file"),
    "no place": ("trace MODEL --task maze", "--out"),
    "unknown option": (f"trace MODEL {TASK} --stps 3", "Did you mean --steps?"),
    "unknown command": ("trac MODEL", 'Did you mean "trace"?'),
    "unknown subcommand": ("store inf", 'Did you mean "info"?'),
    "no store to look at": ("store info nothing.zarr", "nothing.zarr"),
    "no store to analyze": ("analyze nothing.zarr --probe energy --out results", "nothing.zarr"),
    "unknown probe to run": ("analyze STORE --probe enrgy --out results", "did you mean 'energy'?"),
    "no probe": ("analyze STORE --out results", "--probe"),
    "a probe twice": ("analyze STORE --probe energy --probe energy --out results", "more than once"),
    "unknown parameter": ("analyze STORE --probe energy --set energy.scal=raw --out results", "did you mean 'scale'?"),
    "bad parameter": ("analyze STORE --probe energy --set energy.scale=loud --out results", "'robust' or 'raw'"),
    "unreadable parameter": ("analyze STORE --probe energy --set scale=raw --out results", "PROBE.KEY=VALUE"),
    "parameter of another": (
        "analyze STORE --probe energy --set enrgy.scale=raw --out results",
        "did you mean 'energy'?",
    ),
    "a layer that is not there": ("analyze STORE --probe energy --set energy.layer=99 --out results", "99"),
    "unknown trace": ("analyze STORE --probe energy --trace maze-3x3-0-seed-7 --out results", "maze-3x3-0-seed-"),
    "a model that cannot be trained": ("models train tiny-wna --out run", "did you mean 'tiny-wan'?"),
    "an unknown recipe": ("models train tiny-wan --recipe shiped --out run", "did you mean 'shipped'?"),
    "an unknown model to show": ("models show tiny-wna", "did you mean 'tiny-wan'?"),
    "a demo of no steps": ("demo --steps 0 --out out", "--steps cannot be used"),
}
AGAINST_THE_MODEL = {
    "unknown layer": ("--capture block.out:energy[layer=10]", "0 to 9"),
    "unknown step": ("--capture block.out:energy[step=2]", "0 to 1"),
    "unknown branch": ("--capture block.out:energy[branch=condd]", "did you mean 'cond'?"),
    "a branch that guidance would make": ("--capture block.out:energy[branch=uncond] --guidance 1", "cond"),
    "unknown expert": ("--capture block.out:energy[expert=transformer_3]", "transformer_2"),
    "unknown frame": ("--capture block.out:energy[frame=5]", "0 to 4"),
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


def test_a_result_does_not_replace_what_is_not_ours(dit_lens_command, tmp_path: Path, store: Path) -> None:
    kept = tmp_path / "energy.zarr"
    kept.write_text("keep me", encoding="utf-8")
    said = dit_lens_command("analyze", store, "--probe", "energy", "--out", tmp_path)
    assert said.code == 2
    assert "energy.zarr" in said.err.splitlines()[-1]
    assert kept.read_text(encoding="utf-8") == "keep me"


def test_a_store_without_the_captures_names_the_one_to_add(dit_lens_command, empty: Path, model: Path) -> None:
    assert dit_lens_command("trace", model, *TASK.split(), "--capture", "latent").code == 0
    said = dit_lens_command("analyze", "out.zarr", "--probe", "energy", "--out", "results")
    assert said.code == 2
    assert "block.out:energy" in said.err.splitlines()[-1]
    assert not Path("results").exists()

"""``dit-lens intervene`` from the outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dit_lens.probing import load_result

FEW = "--probe noise --steps 3 --set max_sequence_length=32 --set noise.at=step --set noise.steps=2"
FEWER = f"{FEW} --set noise.kind=dose --set noise.noise_seeds=1 --set noise.layers=none"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dit_lens.testing.pipeline import small_lens

    folder = tmp_path_factory.mktemp("models") / "small"
    small_lens().pipeline.save_pretrained(folder)
    return folder


def test_the_same_command_goes_on(dit_lens_command, small, tmp_path):
    out = tmp_path / "noise"
    words = f"intervene {small} --task maze:plain --size 3 {FEWER} --out {out} --json".split()
    first = dit_lens_command(*words, "--n", 1)
    assert first.code == 0
    (record,) = first.json["results"]
    assert (record["questions"], record["seeds"], record["units"], record["already_there"]) == (1, 1, 1, 0)
    assert record["result"] == str(out / "noise.zarr")
    assert record["calls"] == 18
    assert record["controls"][:2] == ["clean: clean_score", "sham: sham_identical"]
    assert {Path(name).name for name in record["figures"]} == {
        "noise-scores_at_step.png",
        "noise-injection_by_observation.png",
    }
    assert all(Path(name).is_file() for name in record["figures"])
    result = load_result(out / "noise.zarr")
    assert result.attrs["params"].startswith('{"kind":["dose"]')
    second = dit_lens_command(*words, "--n", 2)
    (record,) = second.json["results"]
    assert (record["units"], record["already_there"]) == (2, 1)
    other = dit_lens_command(*words, "--n", 2, "--set", "noise.strength=0.5")
    assert other.code == 2
    assert "was begun with other settings; got params" in other.complaint


def test_a_picture_of_ones_own_is_measured_without_a_score(dit_lens_command, small, tmp_path):
    Image.new("RGB", (64, 64), (200, 40, 90)).save(tmp_path / "first.png")
    words = f"intervene {small} --image {tmp_path / 'first.png'} --frames 17 {FEWER} --out {tmp_path / 'out'}".split()
    said = dit_lens_command(*words, "--prompt", "Draw the path.")
    assert said.code == 0, said.err
    assert "control  sham: sham_identical" in said.out
    result = load_result(tmp_path / "out" / "noise.zarr")
    assert result["score_at_step"].isnull().all()
    assert (result["final_distance_at_step"] > 0).all()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--task maze", "--probe"),
        ("--probe noise", "nothing was named to ask; got neither --task nor --prompt"),
        ("--probe noise --task maz", "unknown task; got 'maz'"),
        ("--probe noise --task maze --prompt x", "several things were named to ask; got --task and --prompt"),
        ("--probe noise --image first.png", "--image has no prompt"),
        ("--probe noise --prompt x", "--prompt has no first frame"),
        ("--probe noise --prompt x --image first.png", "--image cannot be used; got 'first.png' (no such file)"),
        ("--probe noise --prompt x --size 3", "--size is that of puzzles"),
        ("--probe nose --task maze", "no probe is called 'nose'; got 'nose'"),
        ("--probe noise --task maze --seeds 3:1", "--seeds names nothing"),
        ("--probe noise --task maze --set noise.stps=1", "knows no parameter 'stps'"),
        ("--probe noise --task maze --set nois.steps=1", "--set names a probe that does not run; got 'nois'"),
        ("--probe noise --task maze --set noise.steps=99", "probe 'noise'"),
        ("--probe energy --task maze", "probe 'energy' reads traces and changes no run"),
        ("--probe noise --task maze --steps 0", "--steps"),
    ],
)
def test_bad_input_is_one_line(dit_lens_command, small, empty, words, complaint):
    said = dit_lens_command("intervene", small, *words.split(), "--out", "out")
    assert said.code == 2
    assert complaint in said.complaint
    assert not (empty / "out").exists()


@pytest.mark.slow
def test_noise_on_the_shipped_model(dit_lens_command, tmp_path):
    """Both noises are one at step 0; late, unit noise destroys what the run knows, and the matched one does not."""
    words = "intervene tiny-wan --probe noise --task maze:plain --size 3 --n 2 --steps 4 --set noise.at=step"
    few = "--set noise.steps=0+3 --set noise.noise_seeds=1 --set noise.layers=0+9"
    said = dit_lens_command(*words.split(), *few.split(), "--out", tmp_path / "noise")
    assert said.code == 0, said.err
    result = load_result(tmp_path / "noise" / "noise.zarr")
    assert result["sham_identical"].values.all()
    assert result["late_start_identical"].values.all()
    assert result["clean_score"].notnull().all()
    over = ["question", "seed", "level", "noise_seed"]
    end, dose = (result[f"{name}_at_step"].mean(over) for name in ("final_distance", "dose"))
    first, last = ({kind: float(end.sel(kind=kind, step=step)) for kind in ("paper", "dose")} for step in (0, 3))
    assert first["paper"] == pytest.approx(first["dose"], rel=1e-3)  # there is nothing but noise at step 0
    assert last["paper"] > 3 * last["dose"]
    assert float(dose.sel(kind="paper", step=3)) > float(dose.sel(kind="dose", step=3))
    assert (result["layer_distance_at_step"].sel(step=3, observed=[0, 1, 2]) == 0).all()

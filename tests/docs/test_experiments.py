"""The pages on the paper: of the weights in the package, with the numbers that were found, and nothing else."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from dit_lens.cli.app import app
from experiments.catalogue import EXPERIMENTS
from experiments.found import Found, read_found
from experiments.page import TEMPLATES, render, write_pages
from experiments.running import measure, weights_sha256
from experiments.texts import PAGES

PAPER = Path(__file__).parents[2] / "docs" / "paper"
COMMANDS = [
    line
    for path in sorted(PAPER.glob("*.md"))
    for line in path.read_text(encoding="utf-8").splitlines()
    if line.startswith("dit-lens ")
]


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    return read_found(PAPER)


def test_what_was_found_is_of_the_weights_in_the_package(found: dict[str, Found]) -> None:
    assert {each.document["weights_sha256"] for each in found.values()} == {weights_sha256()}


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_what_was_found(page: str, found: dict[str, Found]) -> None:
    template = (TEMPLATES / f"{page}.md.in").read_text(encoding="utf-8")
    assert (PAPER / f"{page}.md").read_text(encoding="utf-8") == render(page, template, found)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_is_large_enough_and_took_no_longer_than_it_may(name: str, found: dict[str, Found]) -> None:
    puzzles, seeds = found[name].sizes
    assert puzzles >= 32
    assert seeds >= 3
    assert (found[name].document["seconds"] or 0) <= 30 * 60
    assert not found[name].document["quick"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_controls_held_in_every_unit(name: str, found: dict[str, Found]) -> None:
    identical = {control: held for control, held in found[name].controls.items() if control.endswith("identical")}
    assert identical
    for held in identical.values():
        number, _, every = held.partition(" of ")
        assert number == every


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_command_of_the_page_is_the_one_that_runs(name: str, found: dict[str, Found]) -> None:
    words = EXPERIMENTS[name].words(f"runs/paper/{name}", 2)
    assert found[name].document["command"] == " ".join(["dit-lens", *words])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_pages_can_be_read(command: str) -> None:
    app.parse_args(shlex.split(command)[1:], print_error=False, exit_on_error=False)


@pytest.mark.parametrize("page", PAGES)
def test_templates_hold_no_result_of_ours(page: str) -> None:
    """Between placeholders there are no decimals but those of the paper and of names."""
    text = (TEMPLATES / f"{page}.md.in").read_text(encoding="utf-8")
    words = re.sub(r"\$\{\w+\}|```.*?```|\(http[^)]*\)|arXiv [\d.]+|0\.685 to 0\.716", "", text, flags=re.DOTALL)
    assert re.findall(r"\d+\.\d+", re.sub(r"[Ss]ection [\d.]+", "", words)) == []


def test_pages_need_every_experiment_and_every_placeholder(found: dict[str, Found], tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"^the pages cannot be written from paper; got no swap, noise, .*--only"
    ):
        write_pages(tmp_path)
    with pytest.raises(ValueError, match=r"^page noise cannot be filled; got .* differ in strange, allowed the same"):
        render("noise", (TEMPLATES / "noise.md.in").read_text(encoding="utf-8") + "${strange}", found)


def test_a_small_one_runs_from_its_command_to_its_files(tmp_path: Path) -> None:
    image = tmp_path / "docs" / "images" / "paper-swap-effect_by_layer.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"of an earlier run, without a record")
    path = measure(EXPERIMENTS["swap"], tmp_path / "runs", tmp_path / "docs", 1, quick=True)
    document = json.loads(path.read_text(encoding="utf-8"))
    small = Found(document)
    assert small.sizes == (1, 1)
    assert small.controls["sham_identical"] == "2 of 2"
    assert small.interval("effect", direction="forward", source="donor", layer=9).mean == pytest.approx(1, abs=1e-4)
    drawn = tmp_path / "runs" / "swap" / "figures" / "effect_by_layer.png"
    assert image.read_bytes() == drawn.read_bytes()
    assert drawn.stat().st_size > 1000
    assert {path.suffix for path in image.parent.iterdir()} == {".png"}
    assert {"effect_by_layer.png.csv", "effect_by_layer.png.json"} <= {path.name for path in drawn.parent.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["noise", "ensemble"])
def test_the_others_run_as_well(name: str, tmp_path: Path) -> None:
    path = measure(EXPERIMENTS[name], tmp_path / "runs", tmp_path / "docs", 1, quick=True)
    assert all(
        held.split(" of ")[0] == held.split(" of ")[1]
        for control, held in Found(json.loads(path.read_text())).controls.items()
        if "identical" in control
    )

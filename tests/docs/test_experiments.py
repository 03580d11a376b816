"""The pages on the paper: of the weights in the package, with the numbers that were found, and nothing else."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from dit_lens.cli.app import app
from experiments.catalogue import EXPERIMENTS, Intervention, Recording
from experiments.found import Found, read_found
from experiments.page import TEMPLATES, render, write_pages
from experiments.running import measure, weights_sha256
from experiments.texts import PAGES, texts_of

PAPER = Path(__file__).parents[2] / "docs" / "paper"
CAUSAL = [name for name, one in EXPERIMENTS.items() if isinstance(one, Intervention)]
TRACED = [name for name, one in EXPERIMENTS.items() if isinstance(one, Recording)]
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
def test_it_took_no_longer_than_it_may(name: str, found: dict[str, Found]) -> None:
    assert (found[name].document["seconds"] or 0) <= 30 * 60
    assert not found[name].document["quick"]


@pytest.mark.parametrize("name", CAUSAL)
def test_it_is_large_enough(name: str, found: dict[str, Found]) -> None:
    puzzles, seeds = found[name].sizes
    assert puzzles >= 32
    assert seeds >= 3


@pytest.mark.parametrize("name", TRACED)
def test_it_has_the_puzzles_that_it_asks_for(name: str, found: dict[str, Found]) -> None:
    asked = EXPERIMENTS[name]
    first, _, end = asked.seeds.partition(":")
    assert found[name].sizes == (asked.n * len(asked.tasks), int(end) - int(first) if end else 1)
    assert asked.n >= 6


@pytest.mark.parametrize("name", CAUSAL)
def test_the_controls_held_in_every_unit(name: str, found: dict[str, Found]) -> None:
    identical = {control: held for control, held in found[name].controls.items() if control.endswith("identical")}
    assert identical
    for held in identical.values():
        number, _, every = held.partition(" of ")
        assert number == every


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_command_of_the_page_is_the_one_that_runs(name: str, found: dict[str, Found]) -> None:
    every = EXPERIMENTS[name].commands(f"runs/paper/{name}", 2)
    assert found[name].document["command"].splitlines() == [shlex.join(["dit-lens", *words]) for words in every]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_pages_can_be_read(command: str) -> None:
    app.parse_args(shlex.split(command)[1:], print_error=False, exit_on_error=False)


@pytest.mark.parametrize("page", sorted(PAPER.glob("*.md")), ids=lambda page: page.stem)
def test_every_image_of_a_page_is_there_and_drawn_by_figure(page: Path, found: dict[str, Found]) -> None:
    shown = re.findall(r"!\[[^\]]*\]\(\.\./images/([\w-]+\.png)\)", page.read_text(encoding="utf-8"))
    commands = found[page.stem].commands if page.stem in found else {}
    assert set(shown) <= {f"paper-{page.stem}-{name}.png" for name in commands}
    assert all((PAPER.parent / "images" / name).exists() for name in shown)


@pytest.mark.parametrize("name", TRACED)
def test_pages_of_traces_show_every_figure(name: str, found: dict[str, Found]) -> None:
    text = (TEMPLATES / f"{name}.md.in").read_text(encoding="utf-8")
    assert set(found[name].commands) == set(EXPERIMENTS[name].figures)
    for figure in EXPERIMENTS[name].figures:
        assert f"../images/paper-{name}-{figure}.png" in text
        assert f"${{drawn_{figure}}}" in text


@pytest.mark.parametrize(("solved", "words"), [(0.0, "weak evidence"), (1.0, "something of what is hidden is kept")])
def test_what_is_said_of_memory_follows_from_the_numbers(solved: float, words: str, found: dict[str, Found]) -> None:
    document = json.loads(json.dumps(found["behaviours"].document))
    verdicts = document["found"]["variables"]["solved"]
    verdicts["values"] = [solved] * len(verdicts["values"])
    assert words in texts_of("behaviours", {**found, "behaviours": Found(document)})["memory"]


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


@pytest.mark.slow
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
def test_traces_are_recorded_and_read_and_go_on(tmp_path: Path) -> None:
    for round_ in ("first", "again"):
        path = measure(EXPERIMENTS["energy"], tmp_path / "runs", tmp_path / "docs", 1, quick=True)
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["quick"]
        assert document["seconds"] > 0, round_  # of the first round, which was made in one go
    small = Found(document)
    assert small.sizes == (2, 1)
    assert small.interval("times", step=0, layer=9).mean > 0
    assert set(small.commands) == {"curves", "layers_by_frames"}
    assert "--set max_rows=6" in small.commands["layers_by_frames"]
    assert {path.name for path in (tmp_path / "docs" / "images").iterdir()} == {
        "paper-energy-curves.png",
        "paper-energy-layers_by_frames.png",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["steps", "behaviours"])
def test_the_others_that_are_traced_run_as_well(name: str, tmp_path: Path) -> None:
    path = measure(EXPERIMENTS[name], tmp_path / "runs", tmp_path / "docs", 1, quick=True)
    small = Found(json.loads(path.read_text()))
    assert small.sizes == (2 * len(EXPERIMENTS[name].tasks), 1)
    assert set(small.commands) == set(EXPERIMENTS[name].figures)
    assert texts_of(name, {name: small})["provenance"].endswith("**A trial run: these numbers measure little.**")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["noise", "ensemble"])
def test_the_others_run_as_well(name: str, tmp_path: Path) -> None:
    path = measure(EXPERIMENTS[name], tmp_path / "runs", tmp_path / "docs", 1, quick=True)
    assert all(
        held.split(" of ")[0] == held.split(" of ")[1]
        for control, held in Found(json.loads(path.read_text())).controls.items()
        if "identical" in control
    )

"""The page on tiny-wan is what its template gives for what was measured, and nothing of it is written by hand."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from anatomy.figures import FIGURES, draw_all
from anatomy.found import NAMES, read_found
from anatomy.page import TEMPLATE, render, write_page
from anatomy.parts import PARTS
from dit_lens.tiny import WEIGHTS

DOCS = Path(__file__).parents[2] / "docs"


def save(found: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    for name, part in found.items():
        (folder / f"{name}.json").write_text(json.dumps(part), encoding="utf-8")
    return folder


def test_every_placeholder_is_filled(found: dict[str, Any]) -> None:
    text = render(found, TEMPLATE.read_text(encoding="utf-8"))
    assert "$" not in text
    assert "nan" not in text
    assert "Estimate(" not in text
    assert "by `make anatomy` on 2026-01-01" in text


def test_the_template_holds_no_result() -> None:
    """Between placeholders there are no decimals but those of versions and names; what is measured has them."""
    words = re.sub(r"\$\{\w+\}|`[^`]*`|\([^)]*\.png\)", "", TEMPLATE.read_text(encoding="utf-8"))
    assert re.findall(r"\d+\.\d+", words) == []
    assert re.findall(r"\d+ ?%", words) == ["95 %"]


def test_numbers_of_the_page_follow_the_measurements(found: dict[str, Any]) -> None:
    template = TEMPLATE.read_text(encoding="utf-8")
    before = render(found, template)
    for record in found["courses"]["records"]:
        record["x0"] = [record["final"]] * 3
    after = render(found, template)
    assert "gap +0.50 [" in before
    assert "gap +0.00 [" in after


def test_template_and_sections_must_agree(found: dict[str, Any]) -> None:
    template = TEMPLATE.read_text(encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"^the page cannot be filled; got .* differ in strange, allowed the same names"
    ):
        render(found, template + "${strange}")
    with pytest.raises(ValueError, match="differ in gap_table, allowed"):
        render(found, template.replace("${gap_table}", ""))


def test_parts_measured_apart_are_told_apart(found: dict[str, Any]) -> None:
    found["energy"] = {**found["energy"], "date": "2026-02-02", "quick": True}
    text = render(found, TEMPLATE.read_text(encoding="utf-8"))
    assert "Measured (energy): `tiny-wan`" in text
    assert "**A trial run with `--quick`" in text


def test_what_was_never_measured_is_named(found: dict[str, Any], tmp_path: Path) -> None:
    del found["energy"]
    form = r"^the page cannot be written from found; got no energy, allowed courses, .*; measure .* --only energy$"
    with pytest.raises(FileNotFoundError, match=form):
        read_found(save(found, tmp_path / "found"))


def test_every_part_is_read_and_every_figure_drawn(found: dict[str, Any], tmp_path: Path) -> None:
    assert set(NAMES) == set(PARTS)
    folder = save(found, tmp_path / "found")
    draw_all(folder, tmp_path / "images")
    images = {f"images/tiny-wan-{name}.png" for name in FIGURES}
    assert {f"images/{path.name}" for path in (tmp_path / "images").iterdir()} == images
    page = write_page(folder, tmp_path).read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((images/[\w-]+\.png)\)", page)) == images


def test_nothing_is_drawn_from_scores_of_zero_that_breaks(found: dict[str, Any], tmp_path: Path) -> None:
    for record in found["courses"]["records"]:
        record["x0"] = [{**x0, "solved": False, "answer": None} for x0 in record["x0"]]
        record["final"] = {**record["final"], "solved": False, "answer": None, "overall": 0.0}
    for record in found["splits"]["records"]:
        for seed in record["seeds"]:
            seed["final"] = {**seed["final"], "solved": False, "answer": None}
    folder = save(found, tmp_path / "found")
    draw_all(folder, tmp_path / "images")
    assert "nan" not in write_page(folder, tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "weights", "said"),
    [
        ({"guidance": 5.0}, {}, "got energy with guidance 5.0, allowed guidance 1.5 as in courses"),
        ({"steps": 9}, {}, "got energy with steps 9, allowed steps 4 as in courses"),
        ({}, {"weights_sha256": {"vae": "f"}}, "got energy with other weights_sha256, allowed the same as in courses"),
    ],
)
def test_parts_of_two_models_or_conditions_make_no_page(
    settings: dict[str, Any], weights: dict[str, Any], said: str, found: dict[str, Any], tmp_path: Path
) -> None:
    for name, part in found.items():
        found[name] = {**part, "weights": {"weights_sha256": {"vae": "e"}}}
    energy = found["energy"]
    changed = {"settings": {**energy["settings"], **settings}, "weights": {**energy["weights"], **weights}}
    found["energy"] = {**energy, **changed}
    with pytest.raises(ValueError, match=f"^the page cannot be written from found; {said}; measure all parts alike"):
        read_found(save(found, tmp_path / "found"))


def test_the_page_in_the_repository_is_that_of_its_measurements() -> None:
    found = read_found(DOCS / "tiny-wan")
    assert (DOCS / "tiny-wan.md").read_text(encoding="utf-8") == render(found, TEMPLATE.read_text(encoding="utf-8"))
    assert all((DOCS / "images" / f"tiny-wan-{name}.png").exists() for name in FIGURES)


@pytest.mark.parametrize("name", NAMES)
def test_the_measurements_in_the_repository_are_of_the_shipped_weights(name: str) -> None:
    part = json.loads((DOCS / "tiny-wan" / f"{name}.json").read_text(encoding="utf-8"))
    hashes = {
        path.relative_to(WEIGHTS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in WEIGHTS.glob("*/*.safetensors")
    }
    assert part["weights"]["weights_sha256"] == hashes, "the weights are new: run `make anatomy`"
    assert not re.search(r"/(home|root|work|tmp|Users)/", json.dumps(part))

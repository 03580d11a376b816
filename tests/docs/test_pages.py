"""What the pages say is held to the code: captures that they write, models that they list, figures that they read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dit_lens.adapters.checked import CHECKED
from dit_lens.adapters.refused import REFUSED
from dit_lens.adapters.registry import families
from dit_lens.captures import SITES, Capture

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
CAPTURES = [
    line.split("  ")[0]
    for block in re.findall(r"```\n(.*?)```", PAGES["captures.md"], flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith(tuple(SITES))
]
TABLES = {"tracing": ("model", "words", "threads", "rounds"), "kernel": ("tokens", "channels", "dtype", "threads")}


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"^[\w-]+$", PAGES["index.md"].partition("{toctree}")[2], flags=re.MULTILINE)
    assert {name for name in PAGES if name != "index.md"} == {f"{name}.md" for name in listed}


@pytest.mark.parametrize("text", CAPTURES)
def test_every_capture_of_the_page_can_be_read(text: str) -> None:
    assert Capture.parse(str(Capture.parse(text))) == Capture.parse(text)


def test_the_page_shows_captures() -> None:
    assert len(CAPTURES) == 5


def test_every_page_that_is_linked_is_there() -> None:
    linked = {link for text in PAGES.values() for link in re.findall(r"\]\((\w+\.md)\)", text)}
    assert linked <= set(PAGES)


def test_every_pipeline_of_a_family_was_checked() -> None:
    """Those of Wan are told of in words: they are the reference, and have tests of their own."""
    known = {pipeline: family.name for family in families() for pipeline in family.pipelines}
    checked = {entry.pipeline: entry.family for entry in CHECKED}
    assert {name: family for name, family in known.items() if not family.startswith("wan")} == {
        name: family for name, family in checked.items() if not family.startswith("wan")
    }
    assert not set(known) & set(REFUSED)


@pytest.mark.parametrize("name", TABLES)
def test_the_figures_of_the_page_are_those_of_a_command(name: str) -> None:
    found = json.loads((ROOT / "docs" / "performance" / f"{name}.json").read_text(encoding="utf-8"))
    assert found["command"].startswith("make bench")
    assert re.fullmatch(r"\d+ cores, .+", found["machine"]["summary"])
    for section in found["figures"]:
        assert all(word in section for word in TABLES[name])
        assert len(section["rows"]) >= 4
    if name == "tracing":
        assert {section["model"] for section in found["figures"]} == {"tiny-wan", "wide untrained Wan"}
        assert all(row["ratio"]["model"]["median"] > 0 for section in found["figures"] for row in section["rows"])


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "performance").glob("*.json")), ids=lambda path: path.name)
def test_figures_name_nobodys_machine(path: Path) -> None:
    assert not re.search(r"/(home|root|work|tmp|Users)/", path.read_text(encoding="utf-8"))

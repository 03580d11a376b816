"""Fill the pages' templates with what was found: no number of theirs is written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from anatomy.page import fill
from experiments.found import Found, read_found
from experiments.texts import PAGES, texts_of

__all__ = ["TEMPLATES", "render", "write_pages"]

TEMPLATES = Path(__file__).parent / "pages"


def render(page: str, template: str, found: Mapping[str, Found]) -> str:
    """One page as text.

    Raises
    ------
    ValueError
        If template and texts do not name the same placeholders.
    """
    return fill(f"page {page}", template, texts_of(page, found))


def write_pages(out: Path) -> list[Path]:
    """Write ``out/paper/PAGE.md`` from the JSON files beside them."""
    found, written = read_found(out / "paper"), []
    for page in PAGES:
        template = (TEMPLATES / f"{page}.md.in").read_text(encoding="utf-8")
        written.append(out / "paper" / f"{page}.md")
        written[-1].write_text(render(page, template, found), encoding="utf-8")
    return written

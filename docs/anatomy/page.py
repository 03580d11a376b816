"""Fill the page's template with what was found: no number of it is written by hand.

``sections`` gives the text for every placeholder; a placeholder without a text, or a text without a placeholder, is an
error, so that template and measurements cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

from anatomy.found import Found, read_found
from anatomy.sections import sections

__all__ = ["TEMPLATE", "fill", "render", "write_page"]

TEMPLATE = Path(__file__).parent / "page.md.in"


def render(found: Found, template: str) -> str:
    """The page as text.

    Raises
    ------
    ValueError
        If template and sections do not name the same placeholders.
    """
    return fill("the page", template, sections(found))


def fill(page: str, template: str, texts: Mapping[str, str]) -> str:
    """A template with its texts.

    Raises
    ------
    ValueError
        If they do not name the same placeholders.
    """
    form = Template(template)
    if differ := set(form.get_identifiers()) ^ set(texts):
        raise ValueError(
            f"{page} cannot be filled; got placeholders and texts that differ in {', '.join(sorted(differ))}, allowed "
            f"the same names in both; add what is missing or take it out of the other"
        )
    return form.substitute(texts)


def write_page(found: Path, out: Path) -> Path:
    """Write ``tiny-wan.md`` from the JSON files of ``found`` into ``out``."""
    page = out / "tiny-wan.md"
    page.write_text(render(read_found(found), TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")
    return page

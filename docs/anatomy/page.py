"""Fill the page's template with what was found: no number of it is written by hand.

``sections`` gives the text for every placeholder; a placeholder without a text, or a text without a placeholder, is an
error, so that template and measurements cannot drift apart.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from anatomy.found import Found, read_found
from anatomy.sections import sections

__all__ = ["TEMPLATE", "render", "write_page"]

TEMPLATE = Path(__file__).parent / "page.md.in"


def render(found: Found, template: str) -> str:
    """The page as text.

    Raises
    ------
    ValueError
        If template and sections do not name the same placeholders.
    """
    texts, form = sections(found), Template(template)
    if set(form.get_identifiers()) != set(texts):
        raise ValueError(
            f"the page cannot be filled; got placeholders and texts that differ in "
            f"{', '.join(sorted(set(form.get_identifiers()) ^ set(texts)))}, allowed the same names in both; add what "
            f"is missing or take it out of the other"
        )
    return form.substitute(texts)


def write_page(found: Path, out: Path) -> Path:
    """Write ``tiny-wan.md`` from the JSON files of ``found`` into ``out``."""
    page = out / "tiny-wan.md"
    page.write_text(render(read_found(found), TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")
    return page

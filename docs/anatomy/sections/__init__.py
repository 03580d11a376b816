"""The text for every placeholder of the page, by section."""

from anatomy.found import Found
from anatomy.sections import answers, conduct, provenance

__all__ = ["sections"]


def sections(found: Found) -> dict[str, str]:
    """All of them."""
    return {**provenance.texts(found), **answers.texts(found), **conduct.texts(found)}

"""Several ES modules as one.

A browser that opens a file from disk loads no module beside it, so the modules of the page are put one after the other:
lines that import are left out, ``export`` is taken from what it marks. That is the same program as long as no two
modules use one name at their top, and every module comes after those that it needs when it starts; both are checked.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["module_source", "page_source", "style_source"]

FOLDER = Path(__file__).parent
ENTRY = "open.js"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)


@cache
def module_source() -> str:
    """Source of one ES module that exports ``mount(element, payload, blobs)``.

    Examples
    --------
    >>> module_source().rstrip().endswith("export { mount };")
    True
    """
    return _joined("main.js") + "export { mount };\n"


@cache
def page_source() -> str:
    """Source of the module that opens a page: the report, and its start."""
    return _joined(ENTRY)


@cache
def style_source() -> str:
    """The style sheet, for the page and for a notebook."""
    return (FOLDER / "style.css").read_text(encoding="utf-8")


def needs(source: str) -> dict[str, list[str]]:
    """Names that a module imports, by the module that they come from."""
    found = _IMPORT.findall(source)
    return {module: [name.strip() for name in names.split(",") if name.strip()] for names, module in found}


def order(entry: str) -> list[str]:
    """The modules behind an entry, each after those that it imports.

    Modules that import each other keep the order in which they are met: what they take from each other are functions,
    which are there before anything runs.
    """
    found: list[str] = []
    begun: set[str] = set()

    def visit(module: str) -> None:
        if module in begun:
            return
        begun.add(module)
        for needed in needs(_read(module)):
            visit(needed)
        found.append(module)

    visit(entry)
    return found


def _joined(entry: str) -> str:
    return "".join(_EXPORT.sub("", _IMPORT.sub("", _read(module))) for module in order(entry))


@cache
def _read(module: str) -> str:
    return (FOLDER / module).read_text(encoding="utf-8")

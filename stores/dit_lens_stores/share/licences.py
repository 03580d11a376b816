"""Names of licences as the Hub's cards and Croissant want them."""

from __future__ import annotations

__all__ = ["hub_licence", "licence_address"]

_SPDX = (
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-NC-ND-4.0",
    "CC-BY-ND-4.0",
    "ODbL-1.0",
    "PDDL-1.0",
    "GPL-3.0",
    "AGPL-3.0",
    "LGPL-3.0",
    "MPL-2.0",
    "Unlicense",
    "OpenRAIL",
)
_KNOWN = {name.lower(): name for name in _SPDX}
_HUB = {"odbl-1.0": "odbl", "pddl-1.0": "pddl"}
_NO_PAGE = ("openrail",)


def hub_licence(name: str) -> str | None:
    """Return the word by which the Hub's cards know a licence; None if they do not.

    Examples
    --------
    >>> hub_licence("CC-BY-4.0"), hub_licence("of our lab")
    ('cc-by-4.0', None)
    """
    key = name.lower()
    return _HUB.get(key, key) if key in _KNOWN else None


def licence_address(name: str) -> str:
    """Return the page of a licence, or its name if it has none here.

    Examples
    --------
    >>> licence_address("cc-by-4.0"), licence_address("of our lab")
    ('https://spdx.org/licenses/CC-BY-4.0.html', 'of our lab')
    """
    key = name.lower()
    return f"https://spdx.org/licenses/{_KNOWN[key]}.html" if key in _KNOWN and key not in _NO_PAGE else name

"""HTML of elements and text. Text is escaped where it is put in, so a prompt that looks like markup stays a prompt.

``Html`` is a ``str`` that is known to be markup. Only ``element`` makes it, of names of its own and of text that it
escapes; whatever else comes, a ``str`` above all, is text. Characters that act on a reader are shown as escapes, and a
text that would fill a page is cut, which it says.
"""

from __future__ import annotations

import re
from html import escape

from dit_lens_stores.printable import printable

__all__ = ["Html", "element", "text_of"]

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_LONGEST = 20_000
"""Characters of one text; more is cut."""
_VOID = ("img", "br")
_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]*")


class Html(str):
    """Markup, made by ``element``."""

    __slots__ = ()


def text_of(value: object) -> Html:
    r"""What stands for a value as text.

    Examples
    --------
    >>> text_of("<script>\x1b")
    '&lt;script&gt;\\x1b'
    """
    if isinstance(value, Html):
        return value
    text = str(value)
    more = len(text) - _LONGEST
    shown = text if more <= 0 else f"{text[:_LONGEST]} ... and {more} more characters"
    return Html(escape(printable(shown, allowed="\n"), quote=True))


def element(name: str, *children: object, **attributes: str | bool) -> Html:
    """One element: its children in their order, attributes by name.

    Parameters
    ----------
    name : str
    *children
        Html as it is, anything else as text; None is left out.
    **attributes : str or bool
        ``class_`` for ``class``; True for one without a value, False for none. ``src`` takes pictures that are in it.

    Returns
    -------
    Html

    Raises
    ------
    ValueError
        If the name of an element or attribute is none, or a picture would be fetched: a mistake of the caller.

    Examples
    --------
    >>> element("p", "a < b", element("b", "c"), class_="x")
    '<p class="x">a &lt; b<b>c</b></p>'
    """
    named = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if not _NAME.fullmatch(name) or name == "script":
        raise ValueError(f"no element may have this name: {name!r}")
    start = f"<{name}{named}>"
    inside = "".join(text_of(child) for child in children if child is not None)
    return Html(start if name in _VOID else f"{start}{inside}</{name}>")


def _attribute(name: str, value: str | bool) -> str:
    if not _NAME.fullmatch(name) or name.startswith("on") or name == "href":
        raise ValueError(f"no attribute may have this name: {name!r}")
    if name == "src" and not (isinstance(value, str) and _PICTURE.fullmatch(value)):
        raise ValueError("a picture must be in the page, as data:image/png;base64,...")
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{value if name == "src" else text_of(value)}"'

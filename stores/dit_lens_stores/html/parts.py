"""What every view is made of: a card with a heading, facts, tables, and sections that open and close."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from dit_lens_stores.html.builder import Html, element

__all__ = ["card", "facts", "section", "table"]

_ROWS = 60
"""Rows of a table; more are counted."""


def card(kind: str, name: object, *parts: object, plain: str, note: object = None) -> Html:
    """A whole view.

    Parameters
    ----------
    kind : str
        What it shows, such as ``trace``.
    name : object
        What that is called.
    *parts : Html
    plain : str
        The same as text, for where the style is taken away.
    note : object, optional
        A word on it, such as its status.

    Examples
    --------
    >>> view = card("trace", "maze-0", plain="<trace maze-0>", note="complete")
    >>> "maze-0</b>" in view, "&lt;trace maze-0&gt;" in view
    (True, True)
    """
    badge = None if note is None else element("span", note, class_="dit-lens-badge")
    kind_ = element("span", f"dit-lens {kind}", class_="dit-lens-kind")
    heading = element("div", kind_, element("b", name), badge, class_="dit-lens-head")
    fallback = element("pre", plain, class_="dit-lens-plain")
    shown = element("div", heading, *parts, class_="dit-lens-card", hidden=True)
    return element("div", element("style", _style()), fallback, shown, class_="dit-lens-repr")


def section(title: str, content: object, *, note: object = "", opened: bool = False) -> Html:
    """A part that opens and closes.

    Examples
    --------
    >>> section("Steps", "0 to 19", note="20")[:29]
    '<details><summary>Steps<span '
    """
    summary = element("summary", title, element("span", note, class_="dit-lens-note"))
    return element("details", summary, content, open=opened)


def facts(values: Mapping[str, object]) -> Html:
    """Names and values; what is None or empty is left out.

    Examples
    --------
    >>> facts({"seed": 0, "prompt": ""})
    '<dl><dt>seed</dt><dd>0</dd></dl>'
    """
    known = [(name, value) for name, value in values.items() if value is not None and value not in ("", [], {})]
    return element("dl", *(part for name, value in known for part in (element("dt", name), element("dd", value))))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table; of many rows the first are shown.

    Examples
    --------
    >>> table(["step"], [[0]])[-48:]
    '<tbody><tr><td>0</td></tr></tbody></table></div>'
    """
    listed = list(rows)
    more = len(listed) - _ROWS
    head = element("thead", element("tr", *(element("th", column) for column in columns)))
    cells = [element("tr", *(element("td", "" if cell is None else cell) for cell in row)) for row in listed[:_ROWS]]
    left = element("p", f"and {more} more", class_="dit-lens-note") if more > 0 else None
    return element("div", element("table", head, element("tbody", *cells)), left, class_="dit-lens-table")


@cache
def _style() -> Html:
    """Of our own, so it is markup; it has no sign that could end its element."""
    style = (files("dit_lens_stores.html") / "style.css").read_text(encoding="utf-8")
    assert "<" not in style, "style.css could end its own element"
    return Html(style)

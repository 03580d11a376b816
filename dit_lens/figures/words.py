"""Lay the words of a narrow figure out anew: break titles and labels, give legends fewer columns, thin labels of ticks.

Everything is measured as it is drawn, so a figure must have been drawn before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["shorten_ticks", "widen_legends", "wrap_words"]

_MARGIN = 0.97
"""Of the width of the figure that a title may take."""
_TALL = 1.15
"""Of the height of a panel, that the label beside it may take."""
_APART = 2.0
"""Points between the labels of two ticks."""


def wrap_words(figure: Figure, whole: dict[Text, str]) -> bool:
    """Break what is longer than its place: titles of the figure and of panels, and labels of axes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    whole : dict
        The words as they were before any was broken, which is filled by the first call: places change from one call
        to the next.

    Returns
    -------
    bool
        Whether any text changed.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure(figsize=(2, 2))
    >>> title = figure.suptitle("two words and several more of them")
    >>> figure.draw_without_rendering()
    >>> wrap_words(figure, {}), title.get_text().count(chr(10)) > 0
    (True, True)
    """
    rooms: list[tuple[Any, float]] = [
        (text, figure.bbox.width * _MARGIN)
        for text in (figure._suptitle, figure._supxlabel)  # type: ignore[attr-defined]
        if text is not None
    ]
    for axis in figure.axes:
        box = axis.get_position(original=True).transformed(figure.transFigure)
        across = (axis.title, axis._left_title, axis.xaxis.label)  # type: ignore[attr-defined]
        rooms += [(text, box.width) for text in across]
        if axis.yaxis.label.get_rotation() == 90:
            rooms.append((axis.yaxis.label, box.height * _TALL))
    return any([_wrap(text, whole, room) for text, room in rooms])  # noqa: C419, all of them


def widen_legends(figure: Figure) -> bool:
    """Give a legend that is wider than its figure as many columns as there is room for; whether one was."""
    changed = False
    for legend in list(figure.legends):
        columns, room = legend._ncols, figure.bbox.width * _MARGIN  # type: ignore[attr-defined]
        while columns > 1 and legend.get_window_extent().width > room:
            columns, changed = columns - 1, True
            handles = [handle for handle in legend.legend_handles if handle is not None]
            words = legend.get_texts()
            legend.remove()
            look: Any = {"fontsize": words[0].get_fontsize(), "frameon": legend.get_frame_on()}
            names = [text.get_text() for text in words]
            legend = figure.legend(handles, names, loc="outside lower center", ncols=columns, **look)
            figure.draw_without_rendering()
    return changed


def shorten_ticks(figure: Figure) -> bool:
    """Leave out every other label of an axis as long as two of them touch; whether any was."""
    axes = [(axis, one, along) for axis in figure.axes for along, one in enumerate((axis.xaxis, axis.yaxis))]
    return any([_thin(*each) for each in axes])  # noqa: C419, all of them


def _wrap(text: Text, whole: dict[Text, str], room: float) -> bool:
    before, lines = text.get_text(), whole.setdefault(text, text.get_text()).split("\n")
    text.set_text("\n".join(part for line in lines for part in _broken(text, line, room)))
    return text.get_text() != before


def _broken(text: Text, line: str, room: float) -> list[str]:
    """One line as several, each of as many words as there is room for."""
    lines: list[str] = []
    for word in line.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(text, longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _width(text: Text, words: str) -> float:
    renderer = text.figure._get_renderer()  # type: ignore[union-attr]
    return float(renderer.get_text_width_height_descent(words, text.get_fontproperties(), ismath=False)[0])


def _thin(axis: Axes, one: Axis, along: int) -> bool:
    from matplotlib.ticker import FixedLocator

    if not isinstance(one.get_major_locator(), FixedLocator) or not axis.axison:
        return False
    places, words = list(one.get_ticklocs()), [text.get_text() for text in one.get_ticklabels()]
    size = one.get_ticklabels()[0].get_fontsize() if words else 0.0
    held = len(places)
    while len(places) > 2 and _crowded(axis, one, along):
        places, words = places[::2], words[::2]
        one.set_ticks(places, words, fontsize=size)
    return len(places) < held


def _crowded(axis: Axes, one: Axis, along: int) -> bool:
    boxes = [text.get_window_extent() for text in one.get_ticklabels() if text.get_visible() and text.get_text()]
    ends = sorted((box.x0, box.x1) if along == 0 else (box.y0, box.y1) for box in boxes)
    apart = _APART * axis.figure.dpi / 72
    return any(after[0] - before[1] < apart for before, after in pairwise(ends))

"""Make a figure as wide as a column of a paper, so that it can still be read there.

Scaling the picture would scale its text below what eyes can read. So text shrinks to six points at the least, lines
and markers shrink with the figure, and what no longer fits is laid out anew: long titles and labels are broken, legends
get fewer columns, labels that would touch are thinned. The panels keep the shape that the probe gave them. What still
does not fit after that is refused, by the words that do not; what did not fit as
the probe drew it is the probe's affair.
"""

from __future__ import annotations

import warnings
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Any

from dit_lens.figures.errors import BadFigure
from dit_lens.figures.style import HEIGHT, looking
from dit_lens.figures.words import shorten_ticks, widen_legends, wrap_words

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

__all__ = ["LARGEST", "SMALLEST", "fit", "misfits"]

SMALLEST, LARGEST = 6.0, 8.0
"""Points of text."""
_LEAST_TEXT, _LEAST_LINES = 0.8, 0.6
_ROUNDS = 4
_NEARLY = 0.02
_TALLER = 1.3
"""To begin with: a layout that finds no room for the panels is none."""
_TOUCHING = 0.2
"""Of the smaller of two texts: what may lie under the other one. Boxes around letters are larger than the letters."""
_BEYOND = 2.0
"""Points that a text may reach over the edge."""


def fit(figure: Figure, width: float) -> None:
    """Give a figure a width in inches, and the height that keeps the shape of its panels.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Is changed.
    width : float

    Raises
    ------
    BadFigure
        If its text cannot be read at that width.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure(figsize=(8, 4), layout="constrained")
    >>> _ = figure.subplots().set_title("a title that is much longer than any column of a paper could be wide")
    >>> fit(figure, 3.25)
    >>> float(figure.get_figwidth())
    3.25
    """
    with looking():
        _draw(figure)
        before, shapes = Counter(misfits(figure)), {axis: _shape(axis) for axis in figure.axes}
        ratio = width / figure.get_figwidth()
        _scale(figure, ratio)
        figure.set_size_inches(width, min(figure.get_figheight() * ratio * _TALLER + 1.0, HEIGHT))
        whole: dict[Text, str] = {}
        for _ in range(_ROUNDS):
            _lay_out(figure)
            changed = [widen_legends(figure), wrap_words(figure, whole), shorten_ticks(figure)]
            if any(changed):
                _lay_out(figure)
            height = min(_height(figure, shapes), HEIGHT)
            if not any(changed) and abs(height / figure.get_figheight() - 1) < _NEARLY:
                break
            figure.set_figheight(height)
        _draw(figure)
        wrong = Counter(misfits(figure)) - before
    if wrong:
        raise _too_narrow(figure, next(iter(wrong)))


def misfits(figure: Figure) -> list[str]:
    """What cannot be read in a figure that was drawn: texts over its edge, and texts over other texts.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure(figsize=(2, 2))
    >>> _ = figure.text(0.9, 0.5, "beyond the edge")
    >>> misfits(figure)
    ["'beyond the edge' leaves the figure"]
    """
    boxes = [(text, text.get_window_extent()) for text in _texts(figure)]
    edge = figure.bbox.padded(_BEYOND * figure.dpi / 72)
    wrong = [f"'{_said(text)}' leaves the figure" for text, box in boxes if not _within(box, edge)]
    pairs = [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if _touch(one, other)]
    return wrong + [f"'{one}' lies on '{other}'" for one, other in (sorted(map(_said, pair)) for pair in pairs)]


def _draw(figure: Figure) -> None:
    figure.draw_without_rendering()


def _lay_out(figure: Figure) -> None:
    """Give panels their places, which takes a fraction of drawing; only a layout engine can."""
    engine = figure.get_layout_engine()
    if engine is None:
        _draw(figure)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            engine.execute(figure)
        except UserWarning as error:
            raise _too_narrow(figure, "nothing is left for its panels") from error


def _too_narrow(figure: Figure, reason: str) -> BadFigure:
    return BadFigure(
        f"the figure cannot be read at that width; got {figure.get_figwidth():g} inches, where {reason}, allowed one "
        f"at which no text touches another; choose a wider one, or --style screen"
    )


def _texts(figure: Figure) -> list[Text]:
    from matplotlib.text import Text

    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    texts = [text for text in found if isinstance(text, Text) and text.get_text().strip()]
    shown = {id(text) for axis in figure.axes for text in _ticks_outside(axis)}
    return [text for text in texts if id(text) not in shown and _is_drawn(text)]


def _ticks_outside(axis: Axes) -> list[Text]:
    """Labels of ticks beyond the limits: matplotlib keeps them, and does not draw them."""
    hidden: list[Text] = []
    for one in (axis.xaxis, axis.yaxis):
        low, high = sorted(one.get_view_interval())
        slack = 1e-9 * max(high - low, 1.0)
        for tick in [*one.get_major_ticks(), *one.get_minor_ticks()]:
            if not axis.axison or not one.get_visible() or not low - slack <= tick.get_loc() <= high + slack:
                hidden += [tick.label1, tick.label2]
    return hidden


def _is_drawn(text: Text) -> bool:
    return text.axes is None or text.axes.get_visible()


def _within(box: Bbox, edge: Bbox) -> bool:
    return bool(edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1)


def _touch(one: Bbox, other: Bbox) -> bool:
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    along = min(one.y1, other.y1) - max(one.y0, other.y0)
    if across <= 0 or along <= 0:
        return False
    return bool(across * along > _TOUCHING * min(one.width * one.height, other.width * other.height))


def _said(text: Text) -> str:
    return " ".join(text.get_text().split())


def _scale(figure: Figure, ratio: float) -> None:
    """Sizes of everything that is counted in points."""
    letters, strokes = (min(max(ratio, least), 1.0) for least in (_LEAST_TEXT, _LEAST_LINES))
    for axis in figure.axes:
        for one in (axis.xaxis, axis.yaxis):
            _scale_ticks(one, letters)
    for artist in figure.findobj(include_self=False):
        _scale_artist(artist, letters, strokes)


def _scale_ticks(one: Axis, ratio: float) -> None:
    """Of the axis itself, which makes new labels when it needs them."""
    for which, ticks in (("major", one.get_major_ticks()), ("minor", one.get_minor_ticks())):
        if ticks:
            size = _letters(float(ticks[0].label1.get_fontsize()), ratio)
            one.set_tick_params(which=which, labelsize=size)  # type: ignore[arg-type]


def _scale_artist(artist: Artist, letters: float, strokes: float) -> None:
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text

    if isinstance(artist, Text):
        artist.set_fontsize(_letters(float(artist.get_fontsize()), letters))
    elif isinstance(artist, Line2D):
        artist.set(linewidth=artist.get_linewidth() * strokes, markersize=artist.get_markersize() * strokes)
    elif isinstance(artist, Patch):
        artist.set_linewidth(artist.get_linewidth() * strokes)
    elif isinstance(artist, Collection):
        _scale_collection(artist, strokes)


def _letters(points: float, ratio: float) -> float:
    return min(max(points * ratio, SMALLEST), LARGEST)


def _scale_collection(artist: Any, ratio: float) -> None:
    artist.set_linewidth([width * ratio for width in artist.get_linewidth()])
    if hasattr(artist, "set_sizes"):
        artist.set_sizes([size * ratio**2 for size in artist.get_sizes()])


def _shape(axis: Axes) -> float:
    """Height by width of the room that the layout gives a panel."""
    box = axis.get_position(original=True)
    across, along = axis.figure.get_size_inches()  # type: ignore[union-attr]
    return float(box.height * along / max(box.width * across, 1e-9))


def _height(figure: Figure, shapes: dict[Axes, float]) -> float:
    """The height at which the widest panel has its shape again; what is not panels keeps its height."""
    axis = max(shapes, key=lambda one: one.get_position(original=True).width, default=None)
    if axis is None:
        return float(figure.get_figheight())
    missing = (shapes[axis] - _shape(axis)) * axis.get_position(original=True).width * figure.get_figwidth()
    place = axis.get_subplotspec()
    rows = 1.0
    if place is not None:
        heights: Any = place.get_gridspec().get_height_ratios()
        rows = float(sum(heights) / sum(heights[place.rowspan.start : place.rowspan.stop]))
    return float(max(figure.get_figheight() + missing * rows, 0.5))

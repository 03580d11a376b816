"""A grid of small maps with named rows and columns, one colour scale and one colour bar: both energy figures.

Figures are made through ``matplotlib.figure.Figure``, so no window, backend or pyplot state is touched. viridis is
perceptually uniform: equal steps in value look like equal steps in colour, also in grey print and for colour-blind
eyes. Over a decoded frame the maps are translucent and the frame is drawn in light grey, so colour means energy and
nothing else; the frame in its own colours stands above each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

__all__ = ["Panels", "Row", "colour_scale", "draw_panels"]

COLOUR_MAP = "viridis"
TEXT, SMALL = 9.0, 8.0  # points
_PANEL_INCHES = 0.78
_VIDEO_LABEL = "decoded video"
_OVERLAY_ALPHA = 0.62
_RING = "#D55E00"
_WIDE_RANGE = 20.0  # from this ratio on, a linear scale shows one end only


@dataclass(frozen=True)
class Row:
    """One row of maps.

    Attributes
    ----------
    label : str
        Written to the left.
    maps : numpy.ndarray, shape (frames, y, x)
    divider : str
        If not empty, a line with this text is drawn above the row.
    marks : numpy.ndarray of bool, shape (frames, y, x), or None
        Tokens to draw a ring around.
    """

    label: str
    maps: npt.NDArray[np.floating]
    divider: str = ""
    marks: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Panels:
    """Everything that a figure shows.

    Attributes
    ----------
    title : str
    rows : sequence of Row
    columns : sequence of str
        Written above the columns.
    quantity : str
        Written beside the colour bar.
    limit : float or None
        Where the colour scale ends at the latest, on both sides.
    pictures : numpy.ndarray of uint8, shape (frames, height, width, 3), or None
        Decoded frames to draw the maps over.
    """

    title: str
    rows: Sequence[Row]
    columns: Sequence[str]
    quantity: str
    limit: float | None = None
    pictures: npt.NDArray[np.uint8] | None = None


def colour_scale(values: npt.NDArray[np.floating], limit: float | None = None) -> Normalize:
    """One scale for all values, logarithmic if they are positive and span a factor of 20 or more.

    Parameters
    ----------
    values : numpy.ndarray
        NaN is left out.
    limit : float, optional
        The scale ends at plus and minus this value at the latest, so that a few values cannot stretch it.

    Examples
    --------
    >>> type(colour_scale(np.array([1.0, 2.0]))).__name__, type(colour_scale(np.array([1.0, 200.0]))).__name__
    ('Normalize', 'LogNorm')
    >>> colour_scale(np.array([-1.0, 9.0]), limit=3).vmax
    3.0
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if limit is not None:
        low, high = max(low, -float(limit)), min(high, float(limit))
    if limit is None and low > 0 and high / low >= _WIDE_RANGE:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1.0)


def draw_panels(panels: Panels) -> Figure:
    """Draw the grid.

    Examples
    --------
    >>> figure = draw_panels(Panels("a title", [Row("layer 0", np.ones((2, 4, 4)))], ["frame 0", "frame 1"], "energy"))
    >>> len(figure.axes)  # two maps and the colour bar
    3
    """
    values = np.concatenate([row.maps.ravel() for row in panels.rows])
    norm, heights, columns = colour_scale(values, panels.limit), _heights(panels), len(panels.columns)
    layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05, wspace=0, hspace=0)
    figure = Figure(figsize=_size(panels, heights), layout=layout)
    grid = figure.add_gridspec(len(heights), columns + 1, height_ratios=heights, width_ratios=[1.0] * columns + [0.14])
    for line, text in _divider_lines(panels):
        _draw_divider(figure.add_subplot(grid[line, :columns]), text)
    lines = _map_lines(panels)
    axes = [[figure.add_subplot(grid[line, column]) for column in range(columns)] for line in lines]
    for row, row_axes in zip(panels.rows, axes, strict=True):
        _draw_row(row_axes, row, norm, panels.pictures)
    if panels.pictures is not None:
        axes.insert(0, [figure.add_subplot(grid[0, column]) for column in range(columns)])
        _draw_pictures(axes[0], panels.pictures)
    for ax, text in zip(axes[0], panels.columns, strict=True):
        ax.set_title(text, fontsize=SMALL, pad=3)
    _draw_colour_bar(figure, figure.add_subplot(grid[lines[0] :, columns]), norm, values, panels)
    figure.suptitle(panels.title, fontsize=TEXT, x=0.01, ha="left")
    return figure


def _heights(panels: Panels) -> list[float]:
    heights = [1.0] if panels.pictures is not None else []
    for row in panels.rows:
        heights += [0.4, 1.0] if row.divider else [1.0]
    return heights


def _map_lines(panels: Panels) -> list[int]:
    """The grid line of every row of maps."""
    lines, at = [], 1 if panels.pictures is not None else 0
    for row in panels.rows:
        at += 1 if row.divider else 0
        lines.append(at)
        at += 1
    return lines


def _divider_lines(panels: Panels) -> list[tuple[int, str]]:
    lines = zip(_map_lines(panels), panels.rows, strict=True)
    return [(line - 1, row.divider) for line, row in lines if row.divider]


def _size(panels: Panels, heights: Sequence[float]) -> tuple[float, float]:
    """Inches: panels keep the shape of a frame; labels, colour bar and title get what they need."""
    rows, columns = panels.rows[0].maps.shape[1:]
    if panels.pictures is not None:
        rows, columns = panels.pictures.shape[1:3]
    panel_height = _PANEL_INCHES * min(rows / columns, 1.5)
    title_lines = panels.title.count("\n") + 1
    texts = [*(row.label for row in panels.rows), _VIDEO_LABEL if panels.pictures is not None else ""]
    label = 0.064 * max(len(part) for text in texts for part in text.split("\n"))
    width = max(
        len(panels.columns) * (_PANEL_INCHES + 0.06) + label + 1.0, 0.062 * max(map(len, panels.title.split("\n")))
    )
    return width, sum(heights) * (panel_height + 0.06) + 0.2 * title_lines + 0.35


def _draw_pictures(axes: Sequence[Axes], pictures: npt.NDArray[np.uint8]) -> None:
    for ax, picture in zip(axes, pictures, strict=True):
        ax.imshow(picture, interpolation="nearest")
        _frame_only(ax)
    _label_row(axes[0], _VIDEO_LABEL)


def _draw_row(axes: Sequence[Axes], row: Row, norm: Normalize, pictures: npt.NDArray[np.uint8] | None) -> None:
    for column, (ax, values) in enumerate(zip(axes, row.maps, strict=True)):
        height, width = pictures.shape[1:3] if pictures is not None else values.shape
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        if pictures is not None:
            ax.imshow(_grey(pictures[column]), extent=extent, interpolation="nearest")
        alpha = None if pictures is None else _OVERLAY_ALPHA
        ax.imshow(values, norm=norm, cmap=COLOUR_MAP, extent=extent, interpolation="nearest", alpha=alpha)
        if row.marks is not None:
            _draw_rings(ax, row.marks[column], (height, width))
        _frame_only(ax)
    _label_row(axes[0], row.label)


def _draw_rings(ax: Axes, marks: npt.NDArray[np.bool_], size: tuple[int, int]) -> None:
    """Red rings around marked tokens, wherever tokens lie on a panel of so many rows and columns."""
    y, x = np.nonzero(marks)
    down, across = size[0] / marks.shape[0], size[1] / marks.shape[1]
    places = ((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5)
    ax.scatter(*places, s=14, facecolors="none", edgecolors=_RING, linewidths=0.9)


def _grey(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    grey = 0.4 + 0.6 * (picture @ np.array([0.299, 0.587, 0.114]) / 255.0)  # black would hide the map over it
    return np.repeat(grey[..., None], 3, axis=-1)


def _frame_only(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_linewidth(0.4)


def _label_row(ax: Axes, text: str) -> None:
    ax.set_ylabel(text, fontsize=SMALL, rotation=0, ha="right", va="center", labelpad=5)


def _draw_divider(ax: Axes, text: str) -> None:
    ax.set_axis_off()
    ax.axhline(0.5, color="0.25", linewidth=0.9, linestyle=(0, (4, 2)))
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    ax.text(0.5, 0.5, text, fontsize=SMALL, ha="center", va="center", bbox=box, transform=ax.transAxes)


def _draw_colour_bar(
    figure: Figure, ax: Axes, norm: Normalize, values: npt.NDArray[np.floating], panels: Panels
) -> None:
    alpha = None if panels.pictures is None else _OVERLAY_ALPHA
    ends = (
        norm.vmin is not None and np.nanmin(values) < norm.vmin,
        norm.vmax is not None and np.nanmax(values) > norm.vmax,
    )
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[ends]
    bar = figure.colorbar(ScalarMappable(norm, COLOUR_MAP), cax=ax, alpha=alpha, extend=extend, extendfrac=0.02)
    log = ", log scale" if isinstance(norm, LogNorm) else ""
    bar.set_label(f"{panels.quantity}{log}", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)

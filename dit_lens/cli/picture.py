"""The demo's picture: what the model believes the video will be, at each of its steps.

Each row is one step: the clean latent that the guided velocity points to (``x0.guided``), as the trajectory probe has
decoded it. Each column is the last video frame of one latent frame. Where two answers are equally good, early rows show
both of them, faintly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure, SubFigure

__all__ = ["chosen_steps", "draw_x0"]

ROWS = 8
_INCHES = 0.95  # of one small picture


def draw_x0(result: xr.Dataset, traces: Sequence[str], rows: int = ROWS) -> Figure:
    """Draw x0 over the steps of several traces, side by side.

    Parameters
    ----------
    result : xarray.Dataset
        Of the trajectory probe.
    traces : sequence of str
    rows : int
        How many steps to show, the first and the last among them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    film = result["film"].isel(branch=0)
    columns = film.sizes["video_frame"]
    size = (_INCHES * (columns + 1.3) * len(traces), _INCHES * (min(rows, film.sizes["step"]) + 0.8))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subfigures(1, len(traces), squeeze=False)[0]
    for panel, trace in zip(panels, traces, strict=True):
        panel.suptitle(f"x0.guided of {trace}", fontsize=9)
        _draw_panel(panel, film.sel(trace=trace), rows)
    return figure


def chosen_steps(steps: int, rows: int) -> tuple[int, ...]:
    """Return ``rows`` of ``steps`` steps, denser at the beginning, where most is decided.

    Examples
    --------
    >>> chosen_steps(20, 6)
    (0, 1, 4, 8, 13, 19)
    >>> chosen_steps(3, 6)
    (0, 1, 2)
    """
    places = (np.linspace(0, 1, min(rows, steps)) ** 1.6 * (steps - 1)).round().astype(int)
    distinct = np.maximum(places, np.arange(len(places)))  # squeezed places would name one step twice
    return tuple(int(step) for step in distinct)


def _draw_panel(panel: SubFigure, film: xr.DataArray, rows: int) -> None:
    steps = chosen_steps(film.sizes["step"], rows)
    axes = panel.subplots(len(steps), film.sizes["video_frame"], squeeze=False)
    for row, step in zip(axes, steps, strict=True):
        shown = film.isel(step=step).transpose("video_frame", "video_y", "video_x", "rgb")
        for axis, picture in zip(row, shown.values, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(_step_label(shown), fontsize=7, rotation=0, ha="right", va="center")
    for frame, axis in enumerate(axes[-1]):
        axis.set_xlabel(f"frame {frame}", fontsize=7)


def _step_label(shown: xr.DataArray) -> str:
    """A step is never shown by its index alone."""
    return f"step {int(shown['step'])}\nσ {float(shown['sigma']):.3f}\n{shown['expert'].item()}"

"""The film strip: rows steps, columns frames of the decoded x0.

Beside every row stand step, sigma and expert, and a line lies where the experts switch. Where the trace has a scorer, a
frame round the last picture says whether it reads the whole answer in that x0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from dit_lens.figures import note_data
from dit_lens_probes.trajectory.params import TrajectoryParams
from dit_lens_probes.trajectory.view import name_step, spread

__all__ = ["draw_strip"]

_INCHES = 0.95
_RIGHT, _WRONG = "#0072B2", "#8a8a8a"
_GAP = 0.22  # of a row, where the experts switch


def draw_strip(chosen: xr.Dataset, params: TrajectoryParams) -> Figure:
    """Draw the film strip of one trace and branch.

    Parameters
    ----------
    chosen : xarray.Dataset
        See ``view.choose``.
    params : TrajectoryParams
        How many rows and columns.

    Returns
    -------
    matplotlib.figure.Figure
    """
    film = chosen["film"].transpose("step", "video_frame", "video_y", "video_x", "rgb")
    rows, columns = spread(film.sizes["step"], params.max_rows), spread(film.sizes["video_frame"], params.max_columns)
    gaps = _gaps(chosen, rows)
    ratio = film.sizes["video_y"] / film.sizes["video_x"]
    heights = [_GAP if row is None else 1.0 for row in gaps]
    size = (max(_INCHES * len(columns) + 1.3, 4.2), _INCHES * ratio * sum(heights) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.03, wspace=0.0, hspace=0.0)  # type: ignore[union-attr, call-arg]
    grid = figure.add_gridspec(len(gaps), len(columns), height_ratios=heights)
    for line, row in enumerate(gaps):
        if row is None:
            _draw_gap(figure, grid, line)
        else:
            _draw_row(figure, grid, line, chosen, film.isel(step=row).values[columns], name_step(chosen, row), row)
    for axis, column in zip(figure.axes[-len(columns) :], columns, strict=True):
        axis.set_xlabel(f"frame {int(film['video_frame'].values[column])}", fontsize=7.5, labelpad=2)
    figure.suptitle(_title(chosen, rows, film.sizes["step"]), fontsize=9, x=0.01, ha="left")
    drawn = film.isel(step=rows, video_frame=columns).to_dataset()
    if "solved" in chosen:
        drawn = drawn.assign(solved=chosen["solved"].isel(step=rows))
    return note_data(figure, drawn)


def _title(chosen: xr.Dataset, rows: Sequence[int], steps: int) -> str:
    some = f" · {len(rows)} of {steps} steps" if len(rows) < steps else ""
    scored = "score" in chosen and bool(chosen["score"].notnull().any())
    verdict = "\nlast frame: solid blue if solved in this x0, dashed if not" if scored else ""
    return f"{chosen['trace'].item()} · x0 {chosen['branch'].item()}, decoded{some}{verdict}"


def _gaps(chosen: xr.Dataset, rows: Sequence[int]) -> list[int | None]:
    """The rows with None where the experts switch between two of them."""
    if "expert" not in chosen.coords:
        return list(rows)
    experts, found = chosen["expert"].values, list[int | None]()
    for at, row in enumerate(rows):
        found += [None, row] if at and experts[row] != experts[rows[at - 1]] else [row]
    return found


def _draw_row(
    figure: Figure, grid: GridSpec, line: int, chosen: xr.Dataset, pictures: np.ndarray, name: str, row: int
) -> None:
    axes = [figure.add_subplot(grid[line, column]) for column in range(len(pictures))]
    for axis, picture in zip(axes, pictures, strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set(edgecolor="#cccccc", linewidth=0.6)
    axes[0].set_ylabel(name, fontsize=7.5, rotation=0, ha="right", va="center", labelpad=6)
    if "solved" in chosen and np.isfinite(solved := float(chosen["solved"].values[row])):
        _verdict(axes[-1], bool(solved))


def _verdict(axis: Axes, right: bool) -> None:
    for spine in axis.spines.values():
        spine.set(edgecolor=_RIGHT if right else _WRONG, linewidth=2.2 if right else 1.0)
        spine.set_linestyle("-" if right else "--")


def _draw_gap(figure: Figure, grid: GridSpec, line: int) -> None:
    axis = figure.add_subplot(grid[line, :])
    axis.set_axis_off()
    axis.axhline(0.5, color="0.25", linewidth=0.9, linestyle=(0, (4, 2)))
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axis.text(0.5, 0.5, "another expert", fontsize=7, ha="center", va="center", bbox=box, transform=axis.transAxes)

"""What a figure shows, as data: a probe notes it when it draws, and it is saved beside the figure.

A figure alone does not say which step, sigma or expert a line of it belongs to; the dataset that it was drawn from
does. The note lives as long as the figure and is no part of it, so a figure of a probe that notes nothing is a figure
like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["data_of", "note_data"]

_NOTES: WeakKeyDictionary[Figure, xr.Dataset] = WeakKeyDictionary()


def note_data(figure: Figure, data: xr.Dataset) -> Figure:
    """Note what a figure shows, and return the figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    data : xarray.Dataset
        What is drawn and no more, with the labels that it has in the result.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import xarray as xr
    >>> from matplotlib.figure import Figure
    >>> figure = note_data(Figure(), xr.Dataset({"score": ("step", [0.5, 1.0])}))
    >>> data_of(figure)["score"].values.tolist()
    [0.5, 1.0]
    """
    _NOTES[figure] = data
    return figure


def data_of(figure: Figure) -> xr.Dataset | None:
    """What was noted of a figure, if anything was.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> data_of(Figure()) is None
    True
    """
    return _NOTES.get(figure)

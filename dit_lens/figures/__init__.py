"""Figures of saved results for papers and screens: chosen by name, fitted to a column, saved with their data."""

from dit_lens.figures.errors import BadFigure, FigureError, FigureInTheWay, UnknownFigure
from dit_lens.figures.films import FilmFormat, write_film
from dit_lens.figures.note import data_of, note_data
from dit_lens.figures.redraw import Listed, list_figures, ready_probe
from dit_lens.figures.save import Saved, save_figure
from dit_lens.figures.style import WIDTHS

__all__ = [
    "WIDTHS",
    "BadFigure",
    "FigureError",
    "FigureInTheWay",
    "FilmFormat",
    "Listed",
    "Saved",
    "UnknownFigure",
    "data_of",
    "list_figures",
    "note_data",
    "ready_probe",
    "save_figure",
    "write_film",
]

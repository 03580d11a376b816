"""A figure is made as wide as a column and can still be read, or is refused."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from dit_lens.figures import BadFigure, note, note_data
from dit_lens.figures.fit import SMALLEST, fit, misfits


def crowded(width: float) -> Figure:
    figure = Figure(figsize=(width, 3), layout="constrained")
    for number, axis in enumerate(figure.subplots(1, 3)):
        axis.plot([0, 1], label=f"a line of some length, number {number}")
        axis.set_title("what this panel shows, in a few words")
        axis.set_xticks(np.linspace(0, 1, 12), [f"step {number}" for number in range(12)])
        axis.set_ylabel("a quantity and its unit")
    handles, words = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles * 4, words * 4, loc="outside lower center", ncols=4)
    figure.suptitle(
        "A title of the figure that fills a line of fourteen inches, and at any size\nthat can be " + "read " * 40
    )
    return figure


def test_a_wide_figure_fits_a_page_and_can_be_read():
    figure = crowded(14)
    fit(figure, 6.75)
    assert misfits(figure) == []
    assert figure.get_figwidth() == 6.75
    texts = [text for axis in figure.axes for text in (axis.title, axis.yaxis.label, *axis.get_xticklabels())]
    assert min(text.get_fontsize() for text in texts) >= SMALLEST
    assert "\n" in figure.get_suptitle()
    assert 1 < len([text for text in figure.axes[0].get_xticklabels() if text.get_text()]) < 12
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width


def test_what_cannot_be_read_at_a_width_is_refused():
    figure = Figure(figsize=(12, 3), layout="constrained")
    for axis in figure.subplots(1, 8, sharey=True):
        axis.set_title("incompressible")
    with pytest.raises(BadFigure, match=r"cannot be read at that width; got 3.25 inches, where .*, allowed"):
        fit(figure, 3.25)


def test_what_lay_on_text_as_the_probe_drew_it_is_not_held_against_a_width():
    figure = Figure(figsize=(8, 2))
    for words in ("below", "above"):
        figure.text(0.1, 0.5, words)
    fit(figure, 6.75)
    assert misfits(figure) == ["'above' lies on 'below'"]


def test_text_that_was_crowded_before_excuses_no_other():
    """Labels of ticks are thinned, so there are fewer misfits than before; one of them is new."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    figure.subplots().set_xticks(np.linspace(0, 1, 40), [f"a long label {number}" for number in range(40)])
    figure.text(0.1, 0.5, "words on the left side")
    figure.text(0.4, 0.5, "words on the right side")
    figure.draw_without_rendering()
    before = misfits(figure)
    assert len(before) > 2
    assert not any("words" in line for line in before)
    with pytest.raises(BadFigure, match=r"where 'words on the left side' lies on 'words on the right side', allowed"):
        fit(figure, 3.25)
    assert len(misfits(figure)) < len(before)


def test_a_note_lives_with_its_figure_only():
    gc.collect()  # figures of other tests go when they like
    before = len(note._NOTES)
    figure = note_data(Figure(), xr.Dataset())
    assert len(note._NOTES) == before + 1
    del figure
    gc.collect()
    assert len(note._NOTES) == before

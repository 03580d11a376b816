"""What traces say together: planted readings, with the shares that follow from them by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from dit_lens_probes.trajectory.together import draw_together, has_several, shares_by_step

TRACES = ["fork-0-seed-0", "fork-0-seed-1", "fork-1-seed-0", "maze-0-seed-0", "ball-seed-0"]
STEPS = [0, 3, 19]


@pytest.fixture
def planted() -> xr.Dataset:
    """Two seeds of a fork, another fork that ends without an answer, a maze, and a trace that nobody can score."""
    nothing = np.nan
    dropped = [["", "route-1", ""], ["", "", ""], ["", "route-0", ""], ["", "", ""], ["", "", ""]]
    visible = [[2, 1, 1], [2, 2, 1], [1, 1, 0], [nothing] * 3, [nothing] * 3]
    variables = {
        "score": (("trace", "step"), [[0.5] * 3] * 4 + [[nothing] * 3]),
        "candidates_visible": (("trace", "step"), visible),
        "dropped_answer": (("trace", "step"), np.array(dropped, dtype=object)),
        "first_step": (("trace",), [3.0, 0.0, nothing, 0.0, nothing]),
        "commitment_step": (("trace",), [19.0, 0.0, nothing, nothing, nothing]),
    }
    texts = {
        "task": ["fork", "fork", "fork", "maze", ""],
        "final_answer": ["route-0", "route-0", "", "route-0", ""],
    }
    whole = xr.Dataset({**variables, **{name: ("trace", np.array(held, dtype=object)) for name, held in texts.items()}})
    along = [name for name in whole if name not in texts]
    whole = whole.assign({name: whole[name].expand_dims(branch=["guided"]) for name in along})
    asked = np.array([trace.split("-seed")[0] for trace in TRACES], dtype=object)
    coords = {"trace": TRACES, "step": STEPS, "asked": ("trace", asked), "sigma": ("step", [1.0, 0.9, 0.2])}
    coords["expert"] = ("step", np.array(["transformer", "transformer", "transformer_2"], dtype=object))
    return whole.assign_coords(coords)


def test_seeds_are_averaged_before_puzzles_and_videos_without_an_answer_are_left_out(planted: xr.Dataset) -> None:
    shares = shares_by_step(planted, "guided")
    assert shares["task"].values.tolist() == ["fork", "maze"]
    assert shares["puzzles"].values.tolist() == [2, 1]
    fork, maze = shares.sel(task="fork"), shares.sel(task="maze")
    assert fork["readable_mean"].values.tolist() == [0.5, 1, 1]
    assert fork["final_mean"].values.tolist() == [0.5, 0.5, 1]
    assert fork["revised_mean"].values.tolist() == [0, 0.5, 0.5]
    assert fork["several_mean"].values.tolist() == [0.5, 0.25, 0]
    assert maze["readable_mean"].values.tolist() == [1, 1, 1]
    assert maze["final_mean"].values.tolist() == [0, 0, 0]
    assert np.isnan(maze["several_mean"]).all()


def test_a_share_of_all_is_no_certainty(planted: xr.Dataset) -> None:
    fork = shares_by_step(planted, "guided").sel(task="fork", step=19)
    assert float(fork["final_high"]) == 1
    assert 0 <= float(fork["final_low"]) < 0.5


def test_the_figure_shows_the_shares(planted, same_as_noted) -> None:
    figure = draw_together(planted, "guided")
    same_as_noted(figure, told_in_words=("puzzles",))
    assert [axis.get_title(loc="left") for axis in figure.axes][-1] == "several candidates are seen at once"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fork (2)", "maze (1)"]


def test_puzzles_without_candidates_have_no_panel_for_them(planted: xr.Dataset) -> None:
    mazes = planted.isel(trace=[3, 4])
    assert not has_several(mazes)
    figure = draw_together(mazes, "guided")
    assert len(figure.axes) == 3
    assert not has_several(planted.drop_vars("task"))

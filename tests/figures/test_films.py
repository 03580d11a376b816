"""Moving pictures of a result: a file for each step, with the pictures themselves beside them."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path
from typing import ClassVar

import imageio_ffmpeg
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from dit_lens.figures import BadFigure, FigureInTheWay, list_figures, ready_probe, save_figure, write_film
from dit_lens.probing import save_result
from dit_lens_probes.trajectory import Trajectory, write_films


@pytest.fixture(scope="module")
def result() -> xr.Dataset:
    """What the trajectory probe leaves of two traces, one of which ends early; a name is not to be trusted."""
    film = np.random.default_rng(0).integers(0, 256, (2, 1, 3, 5, 16, 24, 3)).astype(np.uint8)
    whole = np.array([[[3.0, 1.0, 0.0]], [[2.0, 0.0, np.nan]]])
    dims = ("trace", "branch", "step", "video_frame", "video_y", "video_x", "rgb")
    frames = whole[..., None]
    return xr.Dataset(
        {
            "film": (dims, film),
            "distance_whole": (dims[:3], whole),
            "distance": ((*dims[:3], "frame"), frames),
            "settled_step": (("trace", "branch", "frame"), np.zeros((2, 1, 1))),
            "change_spread": (dims[:3], whole / 3),
            "frame_order": (dims[:2], np.zeros((2, 1))),
        },
        coords={
            "trace": np.array(["../a/b", "c"], dtype=object),
            "branch": np.array(["guided"], dtype=object),
            "step": [0, 4, 19],
            "sigma": ("step", [1.0, 0.8, 0.1]),
            "expert": ("step", np.array(["transformer", "transformer", "transformer_2"], dtype=object)),
            "frame": [0],
            "video_frame": [0, 4, 8, 12, 16],
        },
        attrs={"probe": "trajectory", "probe_package": "dit-lens 0.1.0", "params": "{}", "probe_version": "1.1"},
    )


def test_films_are_listed_with_their_formats(result):
    listed = {one.name: one.formats for one in list_figures(result, ready_probe(result))}
    assert listed == {"distance": ("pdf", "svg", "png"), "filmstrip": ("pdf", "svg", "png"), "films": ("gif", "mp4")}
    without = result.drop_vars("film")
    assert [one.name for one in list_figures(without, ready_probe(without))] == ["distance"]


def test_a_gif_for_each_step_shows_the_pictures(result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save_result(result, "trajectory.zarr")
    made = save_figure(path, "films", "films", format="gif", params={"trace": "c"})
    assert sorted(one.name for one in Path("films").iterdir()) == [
        "films.csv", "films.json", "step-00.gif", "step-04.gif",
    ]  # fmt: skip
    kept = xr.open_zarr(path, consolidated=False)["film"].sel(trace="c", branch="guided", step=4).values
    with Image.open("films/step-04.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (5, (240, 160), 120)
        film.seek(3)
        shown = np.asarray(film.convert("RGB"))[::10, ::10].astype(int)
    assert np.abs(shown - kept[3]).mean() < 12  # a GIF has 256 colours
    assert json.loads(made.record.read_text())["command"] == (
        "dit-lens figure trajectory.zarr --name films --format gif --set trace=c -o films"
    )
    again = save_figure(path, "films", "films", format="gif", params={"trace": "c"})
    assert again.record.read_bytes() == made.record.read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("keep me")
    with pytest.raises(FigureInTheWay, match=r"films cannot be saved in 'other'; got something that was not made by"):
        save_figure(path, "films", "other", format="gif")


def test_films_of_an_earlier_call_go_and_what_is_not_ours_stays(result, tmp_path):
    folder = tmp_path / "films"
    save_figure(result, "films", folder, format="gif")
    (folder / "notes.txt").write_text("keep me")
    (folder / "mine.gif").write_text("keep me too")
    save_figure(result.isel(step=[0, 1]), "films", folder, format="mp4")
    ours = ["films.csv", "films.json", "step-00.mp4", "step-04.mp4"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*ours, "notes.txt", "mine.gif"])
    (folder / "step-19.mp4").write_text("keep me")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FigureInTheWay, match=r"step-19.mp4'; got something that was not made by figure"):
        save_figure(result, "films", folder, format="mp4")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


class Stranger(Trajectory):
    """Gives films that no probe of ours gives."""

    name = "stranger"
    given: ClassVar[xr.DataArray]

    def films(self, result):
        return self.given


@pytest.mark.parametrize(
    ("over", "labels", "names"),
    [
        ("layer", ["first", "last"], ["layer-00.gif", "layer-01.gif"]),
        ("sigma", [0.1, 0.2], ["sigma-00.gif", "sigma-01.gif"]),
        ("step", [7, 7], ["step-00.gif", "step-01.gif"]),
        ("step", [3, 7], ["step-03.gif", "step-07.gif"]),
    ],
)
def test_every_film_has_a_file_whatever_its_label(result, tmp_path, monkeypatch, over, labels, names):
    films = xr.DataArray(np.zeros((2, 1, 8, 8, 3), np.uint8), dims=(over, "f", "y", "x", "rgb"), name="film")
    monkeypatch.setattr(Stranger, "given", films.assign_coords({over: labels}), raising=False)
    mine = result.assign_attrs(probe="stranger")
    made = save_figure(mine, "films", tmp_path / "films", format="gif", probe=Stranger)
    assert sorted(path.name for path in made.figure.glob("*.gif")) == names
    rows = list(csv.DictReader(made.data.read_text().splitlines()))
    assert {row[over] for row in rows} == {str(label) for label in labels}


@pytest.mark.parametrize(
    ("films", "got"),
    [
        (xr.DataArray(np.zeros((2, 1, 8, 8, 3)), name="film"), "2 x 1 x 8 x 8 x 3 of float64"),
        (xr.DataArray(np.zeros((2, 8, 8, 3), np.uint8), name="film"), "2 x 8 x 8 x 3 of uint8"),
        (xr.DataArray(np.zeros((2, 1, 8, 8, 4), np.uint8), name="film"), "2 x 1 x 8 x 8 x 4 of uint8"),
        (xr.DataArray(np.zeros((0, 1, 8, 8, 3), np.uint8), name="film"), "0 x 1 x 8 x 8 x 3 of uint8"),
        (xr.DataArray(np.zeros((1, 1, 8, 8, 3), np.uint8), dims=("../a", *"byxc")), "a first dimension called '../a'"),
    ],
)
def test_films_that_are_none_are_refused_by_the_name_of_their_probe(result, tmp_path, monkeypatch, films, got):
    monkeypatch.setattr(Stranger, "given", films, raising=False)
    words = rf"the films of probe 'stranger' .* cannot be saved; got {re.escape(got)}, allowed films x frames x height"
    with pytest.raises(BadFigure, match=words):
        save_figure(result.assign_attrs(probe="stranger"), "films", tmp_path / "f", format="gif", probe=Stranger)
    assert not list(tmp_path.iterdir())


def test_an_mp4_for_each_step_can_be_played(result, tmp_path):
    smooth = result.assign(film=result["film"].isel(video_y=[0] * 16, video_x=[0] * 24))
    made = save_figure(smooth, "films", tmp_path / "f", format="mp4")
    files = sorted(made.figure.glob("*.mp4"))
    assert [one.name for one in files] == ["step-00.mp4", "step-04.mp4", "step-19.mp4"]
    # By ffmpeg itself: the reader of imageio leaves a pipe open.
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(files[1]), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(words, check=True, capture_output=True).stdout
    frames = np.frombuffer(decoded, np.uint8).reshape(-1, 160, 240, 3)
    assert frames.shape == (5, 160, 240, 3)
    kept = smooth["film"].isel(trace=0, branch=0, step=1).values
    assert np.abs(frames[:, 80, 120].astype(int) - kept[:, 8, 12]).max() < 40  # colours of a video are coarse


def test_a_name_from_a_result_leads_nowhere_else(result, tmp_path):
    paths = write_films(result, tmp_path / "films")
    assert {path.parent for path in paths} == {tmp_path / "films"}
    assert paths[0].name == "..-a-b-guided-step-00.gif"
    assert not [path for path in tmp_path.iterdir() if path.name != "films"]


def test_a_film_is_a_gif_or_an_mp4(tmp_path):
    with pytest.raises(BadFigure, match=r"films have no such format; got '.mov', allowed .gif, .mp4"):
        write_film(np.zeros((2, 8, 8, 3), np.uint8), tmp_path / "a.mov")

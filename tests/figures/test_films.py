"""Moving pictures of a result: a file for each step, with the pictures themselves beside them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from dit_lens.figures import BadFigure, FigureInTheWay, list_figures, ready_probe, save_figure, write_film
from dit_lens.probing import save_result
from dit_lens_probes.trajectory import write_films


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
    with pytest.raises(FigureInTheWay):
        save_figure(path, "films", "other", format="gif")


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

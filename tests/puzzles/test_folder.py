"""The folder is VBVR's, and what is in it can be scored."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np

from dit_lens.puzzles import draw_clip, score_maze, unseen, write_folder


def read_video(path: Path) -> np.ndarray:
    """Decode with ffmpeg itself: the reader of imageio leaves a pipe open when ffmpeg ends first."""
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(words, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 64, 64, 3)


def test_folder_has_the_vbvr_layout_and_its_video_is_solved(tmp_path: Path) -> None:
    mazes = [unseen(index, 5, kind) for index in range(2) for kind in ("maze", "fork")]
    paths = write_folder(mazes, tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "maze/00000",
        "fork/00000",
        "maze/00001",
        "fork/00001",
    ]
    for maze, path in zip(mazes, paths, strict=True):
        first = imageio.imread(path / "first_frame.png")
        assert np.array_equal(first, draw_clip(maze)[0])
        assert np.array_equal(imageio.imread(path / "final_frame.png"), draw_clip(maze)[-1])
        video = read_video(path / "ground_truth.mp4")
        assert video.shape == (17, 64, 64, 3)
        assert score_maze(video, first).solved
        assert (path / "prompt.txt").read_text().strip() == maze.prompt
        assert json.loads((path / "metadata.json").read_text())["parameters"]["seed"] == maze.seed

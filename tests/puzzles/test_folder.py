"""The folder is VBVR's, and what is in it can be scored."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v2 as imageio
import numpy as np

from dit_lens.puzzles import draw_clip, score_maze, unseen, write_folder


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
        video = np.stack(imageio.mimread(path / "ground_truth.mp4"))
        assert video.shape == (17, 64, 64, 3)
        assert score_maze(video, first).solved
        assert (path / "prompt.txt").read_text().strip() == maze.prompt
        assert json.loads((path / "metadata.json").read_text())["parameters"]["seed"] == maze.seed

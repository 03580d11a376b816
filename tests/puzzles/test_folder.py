"""The folder is VBVR's, and what is in it can be scored."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np
import pytest

from dit_lens.puzzles import BadPuzzle, unseen, write_folder


def read_video(path: Path) -> np.ndarray:
    """Decode with ffmpeg itself: the reader of imageio leaves a pipe open when ffmpeg ends first."""
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(words, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 64, 64, 3)


def test_folder_has_the_vbvr_layout_and_its_video_is_solved(tmp_path: Path) -> None:
    kinds = [
        ("maze", "plain"),
        ("fork", "cue"),
        ("maze", "large"),
        ("maze", "long"),
        ("fork", "three"),
        ("grounding", None),
    ]
    puzzles = [unseen(task, 0, variant) for task, variant in kinds]
    paths = write_folder(puzzles, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "In-Domain/maze/00000",
        "In-Domain/fork/00000",
        "Out-of-Domain/maze/00000",
        "Out-of-Domain/maze/00001",
        "In-Domain/fork/00001",
        "In-Domain/grounding/00000",
    ]
    for puzzle, path in zip(puzzles, paths, strict=True):
        assert np.array_equal(imageio.imread(path / "first_frame.png"), puzzle.first_frame())
        assert np.array_equal(imageio.imread(path / "final_frame.png"), puzzle.clip()[-1])
        video = read_video(path / "ground_truth.mp4")
        assert video.shape == (17, 64, 64, 3)
        assert puzzle.score(video).solved
        assert (path / "prompt.txt").read_text().strip() == puzzle.prompt
        metadata = json.loads((path / "metadata.json").read_text())
        assert metadata["parameters"] == json.loads(json.dumps(dict(puzzle.parameters)))
        assert metadata["label"] == puzzle.label


def test_samples_that_are_there_already_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    write_folder([unseen("maze", 0), unseen("maze", 1)], tmp_path)
    with pytest.raises(BadPuzzle, match=r"In-Domain/maze'; got a folder that holds something, allowed a new or an em"):
        write_folder([unseen("fork", 0), unseen("maze", 2)], tmp_path)
    assert not (tmp_path / "In-Domain" / "fork").exists()

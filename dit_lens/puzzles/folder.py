"""Write puzzles in the folder layout of VBVR-Bench, so that tools made for it read ours.

One folder a puzzle, ``{task}/{index:05d}/``, with ``first_frame.png``, ``final_frame.png``, ``ground_truth.mp4``,
``prompt.txt`` and ``metadata.json``. The video is H.264 with full colour resolution (yuv444p) at near-lossless quality:
the usual halved colour would smear walls two pixels wide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import numpy.typing as npt
from PIL import Image

from dit_lens.puzzles.draw import draw_clip
from dit_lens.puzzles.maze import Maze

__all__ = ["FRAMES_A_SECOND", "write_folder", "write_video"]

FRAMES_A_SECOND = 16


def write_folder(mazes: Iterable[Maze], folder: Path) -> list[Path]:
    """Write one folder a puzzle under ``folder/{kind}``.

    Parameters
    ----------
    mazes : iterable of Maze
    folder : Path
        Made when it is missing.

    Returns
    -------
    list of Path
        The folder of every puzzle.

    Examples
    --------
    >>> import tempfile
    >>> from dit_lens.puzzles import unseen
    >>> with tempfile.TemporaryDirectory() as there:
    ...     (path,) = write_folder([unseen(0, size=3)], Path(there))
    ...     sorted(file.name for file in path.iterdir())
    ['final_frame.png', 'first_frame.png', 'ground_truth.mp4', 'metadata.json', 'prompt.txt']
    """
    paths: list[Path] = []
    count: dict[str, int] = {}
    for maze in mazes:
        index = count.get(maze.kind, 0)
        count[maze.kind] = index + 1
        paths.append(_write_puzzle(maze, Path(folder) / maze.kind / f"{index:05d}"))
    return paths


def _write_puzzle(maze: Maze, path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    clip = draw_clip(maze)
    Image.fromarray(clip[0]).save(path / "first_frame.png")
    Image.fromarray(clip[-1]).save(path / "final_frame.png")
    write_video(clip, path / "ground_truth.mp4")
    (path / "prompt.txt").write_text(maze.prompt + "\n", encoding="utf-8")
    parameters = {"seed": maze.seed, "size": maze.size, "kind": maze.kind, "routes": len(maze.routes)}
    metadata = {"task_id": f"{maze.kind}_{path.name}", "generator": "dit-lens", "parameters": parameters}
    (path / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n", encoding="utf-8")
    return path


def write_video(clip: npt.NDArray[np.uint8], path: Path) -> None:
    """Write a clip, uint8 (F, H, W, 3), as an MP4 file."""
    imageio.mimwrite(
        path,
        list(clip),
        fps=FRAMES_A_SECOND,
        codec="libx264",
        pixelformat="yuv444p",
        macro_block_size=1,
        output_params=["-crf", "4"],
    )

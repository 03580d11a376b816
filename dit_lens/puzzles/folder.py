"""Write puzzles in the folder layout of VBVR-Bench, so that tools made for it read ours.

One folder a puzzle, ``{In-Domain|Out-of-Domain}/{task}/{index:05d}/``, with ``first_frame.png``, ``final_frame.png``,
``ground_truth.mp4``, ``prompt.txt`` and ``metadata.json``. The video is H.264 with full colour resolution (yuv444p) at
near-lossless quality: the usual halved colour would smear walls two pixels wide.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import numpy.typing as npt
from PIL import Image

from dit_lens.puzzles.contract import Puzzle, Split
from dit_lens.puzzles.errors import BadPuzzle

__all__ = ["FRAMES_A_SECOND", "SPLIT_FOLDERS", "write_folder", "write_video"]

FRAMES_A_SECOND = 16
SPLIT_FOLDERS: dict[Split, str] = {"in-domain": "In-Domain", "out-of-domain": "Out-of-Domain"}


def write_folder(puzzles: Iterable[Puzzle], folder: Path) -> list[Path]:
    """Write one folder a puzzle under ``folder/{split}/{task}``, numbered in the order given.

    Parameters
    ----------
    puzzles : iterable of Puzzle
    folder : Path
        Made when it is missing.

    Returns
    -------
    list of Path
        The folder of every puzzle.

    Raises
    ------
    BadPuzzle
        If samples of a task are there already: what reads the folder could not tell them from these.

    Examples
    --------
    >>> import tempfile
    >>> from dit_lens.puzzles import unseen
    >>> with tempfile.TemporaryDirectory() as there:
    ...     (path,) = write_folder([unseen("maze", 0, size=3)], Path(there))
    ...     path.relative_to(there).as_posix(), sorted(file.name for file in path.iterdir())
    ('In-Domain/maze/00000', ['final_frame.png', 'first_frame.png', 'ground_truth.mp4', 'metadata.json', 'prompt.txt'])
    """
    placed = [(puzzle, Path(folder) / SPLIT_FOLDERS[puzzle.parameters["split"]] / puzzle.task) for puzzle in puzzles]
    _check_empty({place for _, place in placed})
    paths: list[Path] = []
    count: Counter[Path] = Counter()
    for puzzle, place in placed:
        paths.append(_write_puzzle(puzzle, place / f"{count[place]:05d}"))
        count[place] += 1
    return paths


def _check_empty(places: Iterable[Path]) -> None:
    for place in sorted(places):
        if place.is_dir() and any(place.iterdir()):
            raise BadPuzzle(
                f"puzzles cannot be written to '{place}'; got a folder that holds something, allowed a new or an empty "
                f"one; choose another folder"
            )


def _write_puzzle(puzzle: Puzzle, path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    clip = puzzle.clip()
    Image.fromarray(clip[0]).save(path / "first_frame.png")
    Image.fromarray(clip[-1]).save(path / "final_frame.png")
    write_video(clip, path / "ground_truth.mp4")
    (path / "prompt.txt").write_text(puzzle.prompt + "\n", encoding="utf-8")
    metadata = {
        "task_id": f"{puzzle.task}_{path.name}",
        "generator": "dit-lens",
        "label": puzzle.label,
        "parameters": dict(puzzle.parameters),
    }
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

"""One puzzle of each kind, seen from inside: x0 at some of its steps, as pictures.

The pictures go into the JSON file as one PNG a puzzle (rows steps, columns latent frames), so that the figure can be
drawn again without the model.
"""

from __future__ import annotations

import base64
import io
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import dit_lens
from anatomy.groups import BY_NAME, ONE_OF_EACH
from anatomy.model import load, request
from anatomy.parts.courses import score_record
from anatomy.reading import steps_to_read
from anatomy.sampling import Video
from anatomy.settings import Job, Settings

__all__ = ["ROWS", "jobs", "measure", "packed", "unpacked"]

ROWS = 7
_STRIDE = 4  # video frames a latent frame


def jobs(settings: Settings) -> list[Job]:
    """One for each kind."""
    return [partial(measure, name, settings) for name in ONE_OF_EACH]


def measure(name: str, settings: Settings) -> list[dict[str, Any]]:
    """One record: the pictures, and what the scorer read from each row."""
    puzzle, lens = BY_NAME[name].puzzle(0), load()
    read = steps_to_read(settings.steps, ROWS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.zarr"
        captures = [f"x0.guided[step={'+'.join(map(str, read))}]"]
        result = lens.trace(request(puzzle, 0, settings.steps, settings.guidance), captures, path)
        x0 = dit_lens.open(path)[str(result.trace_id)]["x0.guided.raw"]
        videos = [lens.decode(torch.from_numpy(np.ascontiguousarray(x0.sel(step=step).values))) for step in read]
    rows = [*videos, np.asarray(result.video), puzzle.clip()]
    return [
        {
            "group": name,
            "prompt": puzzle.prompt,
            "read": list(read),
            "x0": [score_record(puzzle, video) for video in videos],
            "final": score_record(puzzle, np.asarray(result.video)),
            "pictures": packed(np.concatenate([np.concatenate([*video[::_STRIDE]], axis=1) for video in rows])),
        }
    ]


def packed(picture: Video) -> str:
    """A picture as text."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def unpacked(text: str) -> Video:
    """A picture that ``packed`` made into text.

    Examples
    --------
    >>> unpacked(packed(np.full((2, 3, 3), 7, dtype=np.uint8))).shape
    (2, 3, 3)
    """
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))

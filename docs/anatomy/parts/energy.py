"""Where the residual stream is large: the share of every layer's energy that lies on what is in the picture.

``block.out:energy`` is the L2 norm of every token after every layer. A puzzle knows which pixels are what, so a token
has a weight: the share of its 8 x 8 pixels, in the video frames that its latent frame stands for, that belong to a
thing. The foreground share is the weighted sum of the energies over their sum; if energy were even, it would be the
mean weight, which is given beside it.

Shapes: S steps, L layers, f latent frames, N tokens of a frame, F video frames, H height, W width.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import dit_lens
from anatomy.groups import BY_NAME, ONE_OF_EACH
from anatomy.model import load, request
from anatomy.settings import Job, Settings
from dit_lens.puzzles import Maze, Puzzle
from dit_lens.puzzles.canvas import CELL_PIXELS, Mask

__all__ = ["DRAWN", "as_answered", "foreground_share", "jobs", "measure", "token_weights"]

DRAWN = {"maze": "path", "fork": "path", "grounding": "mark", "occlusion": "ball"}
"""By task, the mask of what the model has to draw."""
_STRIDE = 4  # video frames in each latent frame but the first, which is one

Floats = npt.NDArray[np.floating]


def jobs(settings: Settings) -> list[Job]:
    """One for each puzzle."""
    return [partial(measure, name, index, settings) for name in ONE_OF_EACH for index in range(settings.maps)]


def measure(name: str, index: int, settings: Settings) -> list[dict[str, Any]]:
    """One record: shares by step and layer, for all that is in the picture and for what is drawn."""
    puzzle = BY_NAME[name].puzzle(index)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "energy.zarr"
        asked = request(puzzle, index, settings.steps, settings.guidance)
        result = load().trace(asked, ["block.out:energy[branch=cond]"], path)
        trace = dit_lens.open(path)[str(result.trace_id)]
        energy_SLfN = trace["block.out.energy"].sel(branch="cond").transpose("step", "layer", "frame", "token")
        layers, values = energy_SLfN["layer"].values.tolist(), energy_SLfN.values
    wanted = {"foreground": "foreground", "drawn": DRAWN[puzzle.task]}
    score = puzzle.score(np.asarray(result.video))
    masks = as_answered(puzzle, score.answer).masks()
    weights = {what: token_weights(masks[mask]) for what, mask in wanted.items()}
    return [
        {
            "group": name,
            "index": index,
            "label": puzzle.label,
            "solved": score.solved,
            "layers": layers,
            "even": {what: round(float(weight.mean()), 5) for what, weight in weights.items()},
            "share": {what: foreground_share(values, weight).round(5).tolist() for what, weight in weights.items()},
        }
    ]


def as_answered(puzzle: Puzzle, answer: str | None) -> Puzzle:
    """A fork whose clip draws the route that was answered, so that its masks are where the path really is.

    Examples
    --------
    >>> from dit_lens.puzzles import unseen
    >>> fork = unseen("fork", 0)
    >>> [as_answered(fork, name).parameters["drawn"] for name in ("route-0", "route-1")]
    ['route-0', 'route-1']
    """
    if not isinstance(puzzle, Maze) or answer is None:
        return puzzle
    return replace(puzzle, drawn=int(answer.removeprefix("route-")))


def token_weights(mask_FHW: Mask) -> Floats:
    """By latent frame and token, the share of its pixels that lie in the mask: float (f, N).

    Examples
    --------
    >>> mask = np.zeros((5, 16, 16), dtype=bool)
    >>> mask[0, :8, :8] = mask[1:3, 8:, 8:] = True
    >>> token_weights(mask).tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5]]
    """
    frames, height, width = mask_FHW.shape
    tiles = mask_FHW.reshape(frames, height // CELL_PIXELS, CELL_PIXELS, width // CELL_PIXELS, CELL_PIXELS)
    tokens_FN = tiles.mean((2, 4)).reshape(frames, -1)
    later = tokens_FN[1:].reshape((frames - 1) // _STRIDE, _STRIDE, -1).mean(1)
    return np.concatenate([tokens_FN[:1], later])


def foreground_share(energy_SLfN: Floats, weight_fN: Floats) -> Floats:
    """By step and layer, the share of the energy that lies on the weighted tokens: float (S, L).

    Examples
    --------
    >>> foreground_share(np.array([[[[3.0, 1.0]]]]), np.array([[1.0, 0.0]])).tolist()
    [[0.75]]
    """
    energy_SLfN = energy_SLfN.astype(np.float64)
    return np.asarray((energy_SLfN * weight_fN).sum((2, 3)) / energy_SLfN.sum((2, 3)))

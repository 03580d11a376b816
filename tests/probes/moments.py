"""A probe that adds up, in a file of its own as a user would have it: mean and spread of the values of each layer.

Sums are float64 and start at the first value that comes by in each layer, so that they do not cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from pydantic import BaseModel

from dit_lens import Capture


class MomentsParams(BaseModel):
    """Which values are counted, and what the probe does to the process that it runs in."""

    above: float = -np.inf
    marks: str = ""
    """Folder in which every mapped chunk leaves a mark, so that a test can wait for them."""
    wait: float = 0.0


@dataclass(frozen=True)
class Sums:
    """Count, mean and sum of squared deviations of each layer: the state of Chan's parallel variance."""

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray


class Moments:
    name, version, api_version, summary = "moments", "1", 1, "Mean and spread of every layer."
    access = "frame"
    Params = MomentsParams

    def __init__(self, params: MomentsParams | None = None) -> None:
        self.params = params or MomentsParams()

    def captures(self) -> list[Capture]:
        return [Capture("block.out", "raw")]

    def map(self, chunk: xr.Dataset) -> Sums:
        self._leave_a_mark(chunk)
        values = chunk["block.out.raw"].transpose("layer", ...).values
        values = values.reshape(len(values), -1)
        mean = values.mean(axis=1, dtype=np.float64)
        squares = [np.square(row - middle, dtype=np.float64).sum() for row, middle in zip(values, mean, strict=True)]
        return Sums(np.full(len(values), values.shape[1], dtype=np.int64), mean, np.array(squares))

    def combine(self, states: Sequence[Sums]) -> Sums:
        count = sum(state.count for state in states)
        mean = sum(state.count * state.mean for state in states) / count
        squares = sum(state.squares + state.count * (state.mean - mean) ** 2 for state in states)
        return Sums(count, mean, squares)

    def finish(self, state: Sums) -> xr.Dataset:
        spread = np.sqrt(state.squares / state.count)
        return xr.Dataset({"mean": ("layer", state.mean), "spread": ("layer", spread), "n": ("layer", state.count)})

    def draw(self, result: xr.Dataset) -> dict[str, object]:
        return {}

    def _leave_a_mark(self, chunk: xr.Dataset) -> None:
        if self.params.marks:
            import os
            import time
            from pathlib import Path
            from uuid import uuid4

            time.sleep(self.params.wait)
            (Path(self.params.marks) / f"{os.getpid()}.{uuid4().hex}").touch()

"""Mean energy of every layer: sums that add up, so any split of the work gives the same answer."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from pydantic import BaseModel

from dit_lens import Capture


class LoudnessParams(BaseModel):
    power: float = 1.0


class Loudness:
    name = "loudness"
    version = "0.3"
    api_version = 1
    summary = "Mean energy of every layer."
    access = "frame"
    Params = LoudnessParams

    def __init__(self, params: LoudnessParams | None = None) -> None:
        self.params = params or LoudnessParams()

    def captures(self) -> list[Capture]:
        return [Capture("block.out", "energy")]

    def map(self, chunk: xr.Dataset) -> xr.Dataset:
        energy = chunk["block.out.energy"].astype(np.float64) ** self.params.power
        over = [dim for dim in energy.dims if dim != "layer"]
        return xr.Dataset({"total": energy.sum(over), "count": energy.count(over)}).drop_vars(
            ["expert"], errors="ignore"
        )

    def combine(self, states: list[xr.Dataset]) -> xr.Dataset:
        first, *others = states
        for other in others:
            first = first + other
        return first

    def finish(self, state: xr.Dataset) -> xr.Dataset:
        return xr.Dataset({"loudness": state["total"] / state["count"]})

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        figure = Figure()
        figure.subplots().plot(result["layer"], result["loudness"])
        return {"loudness": figure}

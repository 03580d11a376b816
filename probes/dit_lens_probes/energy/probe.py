"""The energy probe: which tokens carry the largest activations, in which layer, at which step.

The energy of a token is the L2 norm of its residual stream after a block, over channels. The probe needs the capture
``block.out:energy``, which a trace computes on the device in float32; here it is only put in place, made comparable,
and drawn. A map is a picture, not evidence: that a token is loud does not say that the model uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dit_lens.captures import Capture
from dit_lens.probing import Labels, MissingCapture
from dit_lens_probes.energy.assemble import Pieces, assemble, merge
from dit_lens_probes.energy.maps import grid_map, last_video_frames, robust_map
from dit_lens_probes.energy.view import find_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Energy", "EnergyParams"]

_ARRAY = "block.out.energy"


class EnergyParams(BaseModel):
    """Parameters of the energy probe. Only the two percentiles change numbers; the others choose what is drawn.

    Attributes
    ----------
    clip_low, clip_high : float
        Percentiles to which the robust map is clipped.
    scale : {"robust", "raw"}
        Which map is drawn.
    overlay : bool
        Draw the maps over the decoded video.
    trace : str, optional
        Which trace is drawn; the first by default.
    branch : str, optional
        Which branch is drawn; ``cond`` by default.
    step : int, optional
        The step of the figure over layers; the middle one by default. Negative numbers count from the end.
    layer : int, optional
        The layer of the figure over steps; the middle one by default. Negative numbers count from the end.
    max_rows, max_columns : int
        How many layers or steps, and frames, a figure shows at most, evenly spread.

    Examples
    --------
    >>> EnergyParams().scale
    'robust'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip_low: float = Field(default=1.0, ge=0, lt=100)
    clip_high: float = Field(default=99.0, gt=0, le=100)
    scale: Literal["robust", "raw"] = "robust"
    overlay: bool = False
    trace: str | None = None
    branch: str | None = None
    step: int | None = None
    layer: int | None = None
    max_rows: int = Field(default=10, ge=1)
    max_columns: int = Field(default=9, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> EnergyParams:
        if self.clip_low >= self.clip_high:
            raise ValueError("clip_low below clip_high")
        return self


class Energy:
    """Energy maps of the residual stream, raw and robust.

    Parameters
    ----------
    params : EnergyParams, optional

    Examples
    --------
    >>> [str(capture) for capture in Energy().captures()]
    ['block.out:energy']
    """

    name: ClassVar[str] = "energy"
    version: ClassVar[str] = "1.0"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "Where the energy is: L2 norm of every token after every block, raw and robust."
    access: ClassVar[Literal["frame", "step", "trace"]] = "step"
    Params: ClassVar[type[BaseModel]] = EnergyParams

    def __init__(self, params: EnergyParams | None = None) -> None:
        self.params = params or EnergyParams()

    @property
    def needs_video(self) -> bool:
        """Whether chunks shall carry the decoded video."""
        return self.params.overlay

    def captures(self) -> list[Capture]:
        """The energies of all blocks."""
        return [Capture("block.out", "energy")]

    def check(self, traces: Mapping[str, Labels]) -> None:
        """Refuse a trace, branch, step or layer that is not there, before anything is computed."""
        trace = find_label("trace", self.params.trace, sorted(traces), sorted(traces)[0])
        for dim, wanted in (("branch", self.params.branch), ("step", self.params.step), ("layer", self.params.layer)):
            labels = traces[str(trace)][dim]
            find_label(dim, wanted, labels, labels[0])

    def map(self, chunk: xr.Dataset) -> Pieces:
        """Put the tokens of one step in place and make their energies comparable."""
        energy = grid_map(chunk[_ARRAY].transpose("branch", "step", "layer", "frame", "token"))
        energy.attrs = {"long_name": "energy: L2 norm over channels of the block's output", "units": "1"}
        robust = energy.copy(data=robust_map(energy.values, self.params.clip_low, self.params.clip_high))
        robust.attrs = {
            "long_name": "robust energy: clipped, then z-scored over the frames and tokens of one layer",
            "units": "standard deviations",
            "clip_low": self.params.clip_low,
            "clip_high": self.params.clip_high,
        }
        trace = str(chunk.attrs["trace_id"])
        videos = {trace: _video_frames(chunk)} if self.params.overlay else {}
        maps = xr.Dataset({"energy": energy, "robust": robust.astype(np.float32)})
        return Pieces({(trace, int(chunk["step"].item())): maps}, videos)

    def combine(self, states: Sequence[Pieces]) -> Pieces:
        """Unite the steps of all traces."""
        return merge(states)

    def finish(self, state: Pieces) -> xr.Dataset:
        """One dataset of energy and robust over (trace, branch, step, layer, frame, y, x)."""
        return assemble(state)

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """The layers of one step, and the steps of one layer, both frame by frame."""
        from dit_lens_probes.energy.figures import layer_over_steps, layers_by_frames
        from dit_lens_probes.energy.view import choose_view

        view = choose_view(result, self.params)
        return {
            "layers_by_frames": layers_by_frames(result, view),
            "layer_over_steps": layer_over_steps(result, view),
        }


def _video_frames(chunk: xr.Dataset) -> xr.DataArray:
    """The decoded frames that the maps lie over: the last one of each latent frame."""
    frames = chunk["frame"].values
    video = chunk["video"].transpose("video_frame", "video_y", "video_x", "rgb")
    picked = last_video_frames(frames, _latent_frames(chunk), video.sizes["video_frame"])
    dims = ("frame", "video_y", "video_x", "rgb")
    return xr.DataArray(video.values[picked], dims=dims, coords={"frame": frames})


def _latent_frames(chunk: xr.Dataset) -> int:
    """How many latent frames the run had, which a capture of some of them does not show."""
    if tokens := chunk.attrs["manifest"].get("tokens"):
        return int(tokens[0])
    selection = str(chunk[_ARRAY].attrs.get("selection", ""))
    if "frame=" in selection:
        message = f"probe 'energy' cannot place its overlay; got a capture with {selection}, allowed one of all frames"
        raise MissingCapture(f"{message}; leave overlay out, or trace again without the selection of frames")
    return int(chunk.sizes["frame"])

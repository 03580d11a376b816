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
from pydantic import BaseModel

from dit_lens.captures import Capture
from dit_lens.probing import Labels, MissingCapture
from dit_lens.video_frames import last_video_frames
from dit_lens_probes.energy.assemble import Pieces, assemble, merge
from dit_lens_probes.energy.extras import add_extras, channel_capture
from dit_lens_probes.energy.maps import grid_map, robust_map
from dit_lens_probes.energy.params import EnergyParams
from dit_lens_probes.energy.sinks import without_sinks
from dit_lens_probes.energy.view import find_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Energy", "EnergyParams"]

_ARRAY = "block.out.energy"


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
    draws_by: ClassVar[tuple[str, ...]] = (
        "scale",
        "overlay",
        "trace",
        "branch",
        "step",
        "layer",
        "max_rows",
        "max_columns",
    )

    def __init__(self, params: EnergyParams | None = None) -> None:
        self.params = params or EnergyParams()

    @property
    def needs_video(self) -> bool:
        """Whether chunks shall carry the decoded video; masks of a fork are those of the route that it shows."""
        return self.params.overlay or bool(self.params.mask)

    def captures(self) -> list[Capture]:
        """The energies of all blocks, and what shows their channels if these are asked for."""
        channels = channel_capture(self.params.channels)
        return [Capture("block.out", "energy"), *([channels] if channels else [])]

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
        maps = add_extras(xr.Dataset({"energy": energy}), chunk, self.params)
        kept = without_sinks(energy, maps["dominance"]) if self.params.sinks == "mask" else energy
        robust = energy.copy(data=robust_map(kept.values, self.params.clip_low, self.params.clip_high))
        robust.attrs = {
            "long_name": "robust energy: clipped, then z-scored over the frames and tokens of one layer",
            "units": "standard deviations",
            "clip_low": self.params.clip_low,
            "clip_high": self.params.clip_high,
        }
        trace = str(chunk.attrs["trace_id"])
        videos = {trace: _video_frames(chunk)} if self.params.overlay else {}
        maps["robust"] = robust.astype(np.float32)
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
        figures = {
            "layers_by_frames": layers_by_frames(result, view),
            "layer_over_steps": layer_over_steps(result, view),
        }
        if "mean" in result or "mask_share" in result:
            from dit_lens_probes.energy.curves import draw_curves

            figures["curves"] = draw_curves(result, view.branch)
        return figures


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

"""The store behind results: their manifests, and the last frames of their runs.

A result names its traces and the hashes of their manifests; a store is taken for theirs only if it has them. Frames are
read where they lie, as the decoded video of the trace; only if there is none, the last clean latent that was captured
is decoded. The noisy latent is never: what it decodes to is no frame of the video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dit_lens.errors import DitLensError
from dit_lens.probing.provenance import manifest_digest
from dit_lens.report.errors import ForeignStore
from dit_lens.report.frames import Frames, Pictures
from dit_lens.report.places import without_folders
from dit_lens.report.sources import SHOWN
from dit_lens.video_frames import last_video_frames
from dit_lens_stores import Trace, open_store
from dit_lens_stores.errors import few

__all__ = ["Stored", "latent_frames", "open_traces"]

_LATENTS = ("x0.guided.raw", "x0.raw")
_REASON = 200


@dataclass
class Stored:
    """The traces of a report that a store holds.

    Attributes
    ----------
    traces : dict of str to Trace
    decode : bool
        Whether latents may be decoded.
    notes : list of str
        What could not be had, with the reason.
    """

    traces: Mapping[str, Trace] = field(default_factory=dict)
    decode: bool = True
    notes: list[str] = field(default_factory=list)
    _decoders: dict[tuple[str, str | None], Any] = field(default_factory=dict)

    def recorded(self, trace_id: str) -> Frames | None:
        """One picture for each latent frame of the video that was recorded; None if there is none."""
        trace = self.traces.get(trace_id)
        if trace is None or "video" not in trace:
            return None
        video = trace["video"].transpose("video_frame", "video_y", "video_x", "rgb")
        places = _places(trace, video.sizes["video_frame"])
        if places is None:
            return None
        return Frames(np.asarray(video.isel(video_frame=places).values), list(range(len(places))), "final video")

    def decoded(self, trace_id: str) -> Frames | None:
        """One picture for each latent frame, decoded from the last clean latent; None, and a note, if it cannot be."""
        trace = self.traces.get(trace_id)
        if trace is None or not self.decode:
            return None
        try:
            return self._decoded(trace)
        except (DitLensError, OSError, RuntimeError) as error:  # the last is what torch raises for other shapes
            reason = without_folders(" ".join(str(error).split()).partition(", allowed")[0])[:_REASON]
            self.notes.append(
                f"No frames of {trace_id}: {reason}. Trace with a video, or put the model where the manifest names it."
            )
            return None

    def _decoded(self, trace: Trace) -> Frames | None:
        """The clean latent of the last step that holds one, through the model's autoencoder."""
        import torch

        name = next((name for name in _LATENTS if name in trace), None)
        if name is None:
            return None
        latent = trace[name]
        what = name.removesuffix(".raw")
        if "branch" in latent.dims:
            latent = latent.isel(branch=0)
            what = f"{what} of branch {latent['branch'].item()}"
        last = latent.isel(step=-1).transpose("latent_channel", "frame", "h", "w")
        if last["frame"].values.tolist() != list(range(latent_frames(trace.manifest))):
            return None
        decoder = self._decoder(trace.manifest)
        what = f"{what} of step {int(last['step'])}"
        video: Pictures = np.asarray(decoder.decode(torch.from_numpy(np.array(last.values, dtype=np.float32))))
        places = _places(trace, len(video))
        if places is None:
            return None
        self.notes.append(f"Frames of {trace.id} are decoded from {what}.")
        return Frames(video[places], list(range(len(places))), f"{what}, decoded")

    def _decoder(self, manifest: Mapping[str, Any]) -> Any:
        from dit_lens.decoder import load_decoder

        model, revision = str(manifest.get("model", "")), manifest.get("revision")
        if (model, revision) not in self._decoders:
            self._decoders[model, revision] = load_decoder(model, revision=revision)
        decoder = self._decoders[model, revision]
        if other := decoder.other_weights(manifest):
            raise ForeignStore(
                f"the trace was made with another autoencoder; got '{model}' with other bytes in {other[0]}, allowed "
                f"those of the manifest; put the model that made it where the manifest names it"
            )
        return decoder


def open_traces(store: str | Path | None, wanted: Mapping[str, str], decode: bool = True) -> Stored:
    """Find the traces of results in a store.

    Parameters
    ----------
    store : str or pathlib.Path, optional
    wanted : mapping
        Trace ids, and the hashes of their manifests where they are known.
    decode : bool

    Returns
    -------
    Stored

    Raises
    ------
    NotAStore
        If there is no store.
    ForeignStore
        If it holds none of the traces, or another run under the name of one.
    """
    if store is None:
        return Stored()
    opened, found, notes = open_store(store), {}, []
    for trace_id, digest in wanted.items():
        own = trace_id if trace_id in opened else trace_id.rpartition("/")[2]
        if own not in opened or (own != trace_id and digest != manifest_digest(opened[own].manifest)):
            continue
        found[trace_id] = opened[own]
        if digest and digest != manifest_digest(found[trace_id].manifest):
            raise ForeignStore(
                f"store '{opened.url}' holds another run as '{own}' than the results; got another manifest, allowed "
                f"that of the results; name the store that they were made from"
            )
    if wanted and not found:
        raise ForeignStore(
            f"store '{opened.url}' holds none of the traces of the results; got {few(opened.traces, SHOWN)}, allowed "
            f"{few(wanted, SHOWN)}; name the store that they were made from"
        )
    if not wanted:
        notes.append("The results name no traces, so nothing of the store is shown.")
    if absent := [trace for trace in wanted if found and trace not in found]:
        notes.append(f"The store does not hold {', '.join(absent)}.")
    return Stored(found, decode, notes)


def latent_frames(manifest: Mapping[str, Any]) -> int:
    """How many latent frames a run has, as far as its manifest says; 0 if it does not.

    Examples
    --------
    >>> latent_frames({"tokens": [5, 8, 8]}), latent_frames({})
    (5, 0)
    """
    tokens = manifest.get("tokens")
    first = tokens[0] if isinstance(tokens, (list, tuple)) and tokens else 0
    return first if isinstance(first, int) else 0


def _places(trace: Trace, video_frames: int) -> npt.NDArray[np.int64] | None:
    """The last video frame of each latent frame, if the manifest tells how many there are."""
    count = latent_frames(trace.manifest)
    return last_video_frames(np.arange(count), count, video_frames) if 0 < count <= video_frames else None

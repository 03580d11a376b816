"""A generation as data: everything that decides what a model draws, what is told meanwhile, and what comes back.

Seed and number of steps have no default, because a result that does not say them cannot be made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import torch
    import xarray as xr
    from PIL.Image import Image

__all__ = ["GUIDANCE", "Generation", "Result", "Size", "Standing"]

GUIDANCE = 1.5
"""Guidance scale if none is asked for: ``tiny-wan`` does best with it. Large models are often run with 3 to 5."""

_WHOLE = ("seed", "steps", "height", "width", "frames")
_REAL = ("guidance", "guidance_2")


@dataclass(frozen=True)
class Size:
    """Height, width and frames of a video, in pixels and pictures."""

    height: int
    width: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What to draw.

    Attributes
    ----------
    prompt : str
    image : PIL.Image.Image or None
        The first frame, for image-to-video models.
    seed : int
        Of a CPU generator, so that the noise is the same on every device.
    steps : int
        Denoising steps.
    guidance : float
        Guidance scale, ``GUIDANCE`` by default; 1 or less turns guidance off, and only the branch ``cond`` runs.
    guidance_2 : float, optional
        Guidance scale of the second expert; the same as ``guidance`` by default.
    negative_prompt : str
    height, width, frames : int, optional
        By default the model's own, or the image's height and width.
    extra : mapping of str to object
        Further keyword arguments of the pipeline's call, such as ``video`` and ``strength``; not those that a field
        here decides, nor those that say what the pipeline returns.

    Examples
    --------
    >>> Generation(prompt="Draw the path.", seed=0, steps=20).guidance
    1.5
    """

    prompt: str
    seed: int
    steps: int
    image: Image | None = None
    guidance: float = GUIDANCE
    guidance_2: float | None = None
    negative_prompt: str = ""
    height: int | None = None
    width: int | None = None
    frames: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Numbers of numpy become Python's own, so that equal requests have equal manifests."""
        for name in (*_WHOLE, *_REAL):
            value: object = getattr(self, name)
            if isinstance(value, bool):
                continue
            if name in _WHOLE and isinstance(value, Integral):
                object.__setattr__(self, name, int(value))
            elif name in _REAL and isinstance(value, Real):
                object.__setattr__(self, name, float(value))


@dataclass(frozen=True)
class Standing:
    """How far a run is that is traced; of a batch, all of its rows together.

    Attributes
    ----------
    done, steps : int
        Steps that are done, and all that run.
    events, bytes : int
        What was recorded of them, before compression; what an earlier run had recorded, and the video, not included.
    queued : int
        Bytes that wait for the writer.
    waited : float
        Seconds that the model stood still because the writer could not keep up.
    """

    done: int
    steps: int
    events: int
    bytes: int
    queued: int
    waited: float


@dataclass(frozen=True)
class Result:
    """What a run gave back.

    Attributes
    ----------
    latents : torch.Tensor
        Final latents as the pipeline returned them.
    video : numpy.ndarray of uint8, shape (F, H, W, 3), or None
        The decoded latents, unless decoding was turned off.
    trace_id : str or None
        None for a plain run.
    store : pathlib.Path or None
    seconds : float
        Wall time of the denoising run, decoding not included.
    waited : float
        Seconds of it that the model stood still because the writer could not keep up.
    anew : str or None
        Why what an earlier, unfinished run had recorded of the trace was dropped, if it was.
    resets : tuple of int
        Steps before which the solver was made to forget its history; a control run is one with the same ``resets``.
    kept : mapping of str to xarray.DataArray
        What ``generate`` was asked to keep in memory, by the names that arrays have in a trace.
    """

    latents: torch.Tensor
    video: npt.NDArray[np.uint8] | None
    trace_id: str | None
    store: Path | None
    seconds: float
    waited: float = 0.0
    anew: str | None = None
    resets: tuple[int, ...] = ()
    kept: Mapping[str, xr.DataArray] = field(default_factory=dict)

    def __repr__(self) -> str:
        """In words: latents and videos are millions of numbers."""
        what = f"run of trace '{self.trace_id}' in '{self.store}'" if self.store is not None else "plain run"
        video = "no video" if self.video is None else f"video {' x '.join(map(str, self.video.shape))}"
        latents = f"latents {' x '.join(map(str, self.latents.shape))}"
        return f"<dit-lens {what}: {self.seconds:.1f} s, {latents}, {video}>"

    def _repr_html_(self) -> str:
        from dit_lens.notebook.runs import result_html

        return result_html(self)

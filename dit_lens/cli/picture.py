"""The demo's picture: what the model believes the video will be, at each of its steps.

Each row is one step: the clean latent that the guided velocity points to (``x0.guided``, as it was stored), decoded.
Each column is the last video frame of one latent frame. Where two answers are equally good, early rows show both of
them, faintly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dit_lens.video_frames import last_video_frames

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from dit_lens import Lens
    from dit_lens_stores import Trace

__all__ = ["chosen_steps", "draw_x0"]

ROWS = 8
_INCHES = 0.95  # of one small picture


def draw_x0(lens: Lens, traces: Sequence[tuple[str, Trace]], rows: int = ROWS) -> Figure:
    """Draw x0 over the steps of several traces, side by side.

    Parameters
    ----------
    lens : Lens
        The model that made them; it decodes the stored latents.
    traces : sequence of (title, trace)
        Each with the array ``x0.guided.raw``.
    rows : int
        How many steps to show, the first and the last among them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    latents = [trace["x0.guided.raw"] for _, trace in traces]
    columns = [latent.sizes["frame"] for latent in latents]
    size = (_INCHES * (sum(columns) + 1.3 * len(columns)), _INCHES * (min(rows, latents[0].sizes["step"]) + 0.8))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subfigures(1, len(traces), squeeze=False, width_ratios=columns)[0]
    for panel, (title, _), latent in zip(panels, traces, latents, strict=True):
        panel.suptitle(f"x0.guided of {title}", fontsize=9)
        _draw_panel(panel, lens, latent, rows)
    return figure


def chosen_steps(steps: int, rows: int) -> tuple[int, ...]:
    """Return ``rows`` of ``steps`` steps, denser at the beginning, where most is decided.

    Examples
    --------
    >>> chosen_steps(20, 6)
    (0, 1, 4, 8, 13, 19)
    >>> chosen_steps(3, 6)
    (0, 1, 2)
    """
    places = (np.linspace(0, 1, min(rows, steps)) ** 1.6 * (steps - 1)).round().astype(int)
    distinct = np.maximum(places, np.arange(len(places)))  # squeezed places would name one step twice
    return tuple(int(step) for step in distinct)


def _draw_panel(panel: SubFigure, lens: Lens, latent: Any, rows: int) -> None:
    steps = chosen_steps(latent.sizes["step"], rows)
    axes = panel.subplots(len(steps), latent.sizes["frame"], squeeze=False)
    for row, step in zip(axes, steps, strict=True):
        x0_CFHW = latent.isel(step=step).transpose("latent_channel", "frame", "h", "w")
        for axis, picture in zip(row, _last_frames(lens, x0_CFHW.values), strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(_step_label(x0_CFHW), fontsize=7, rotation=0, ha="right", va="center")
    for frame, axis in enumerate(axes[-1]):
        axis.set_xlabel(f"frame {int(latent['frame'][frame])}", fontsize=7)


def _step_label(x0: Any) -> str:
    """A step is never shown by its index alone."""
    return f"step {int(x0['step'])}\nσ {float(x0['sigma']):.3f}\n{x0['expert'].item()}"


def _last_frames(lens: Lens, x0_CFHW: npt.NDArray[np.float32]) -> list[npt.NDArray[np.uint8]]:
    """Decode, and keep the last video frame of each latent frame: the first latent frame is one, the others several."""
    import torch

    video_FHW3 = lens.decode(torch.from_numpy(np.ascontiguousarray(x0_CFHW))[None])
    latent_frames = x0_CFHW.shape[1]
    return list(video_FHW3[last_video_frames(np.arange(latent_frames), latent_frames, len(video_FHW3))])

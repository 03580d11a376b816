"""What a store must preallocate for the captures of a run: arrays and coordinates.

Labels are the model's own numbers; the attributes of an array say what it is, so that a store explains itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dit_lens.captures import REDUCTIONS, SITES, Resolved
from dit_lens.engine.layout import Layout
from dit_lens_stores import ArraySpec, Coordinate

__all__ = ["array_specs", "coordinates"]

_VIDEO_DIMS = ("video_frame", "video_y", "video_x", "rgb")


def array_specs(captures: Sequence[Resolved], layout: Layout, video: bool) -> list[ArraySpec]:
    """One array per capture, and the decoded video if it is wanted."""
    specs = [
        ArraySpec(
            name=resolved.capture.array,
            dims=resolved.capture.dims,
            labels=dict(resolved.labels),
            event_dims=resolved.event_dims,
            dtype="float32",
            attrs=_attributes(resolved),
        )
        for resolved in captures
    ]
    return [*specs, _video_spec(layout)] if video else specs


def coordinates(layout: Layout, arrays: Sequence[ArraySpec]) -> list[Coordinate]:
    """Coordinates along step, known while the run goes on, and along token, if an array has tokens."""
    _, rows, columns = layout.tokens
    tokens = np.arange(rows * columns)
    place = "of the token in its latent frame, from the upper left"
    dims = {dim for spec in arrays for dim in spec.dims}
    every = [
        Coordinate("sigma", "step", {}, {"long_name": "noise level at the start of the step"}, "float64"),
        Coordinate("timestep", "step", {}, {"long_name": "timestep as the scheduler names it"}, "float64"),
        Coordinate("expert", "step", {}, {"long_name": "denoiser that ran"}, "str"),
        Coordinate("y", "token", _by_token(tokens // columns), {"long_name": f"row {place}"}, "int64"),
        Coordinate("x", "token", _by_token(tokens % columns), {"long_name": f"column {place}"}, "int64"),
    ]
    return [coordinate for coordinate in every if coordinate.dim in dims]


def _by_token(values: Any) -> dict[int, int]:
    return {token: int(value) for token, value in enumerate(values)}


def _attributes(resolved: Resolved) -> dict[str, Any]:
    """What an array is; the dtype in which the model computed it is known only when it comes (``Recorder``)."""
    capture = resolved.capture
    site, reduction = SITES[capture.site], REDUCTIONS[capture.reduction]
    return {
        "site": site.name,
        "reduction": reduction.name,
        "selection": str(capture.select),
        "source_dtype": "unknown",
        "units": "1",
        "long_name": f"{site.meaning}: {reduction.meaning}",
    }


def _video_spec(layout: Layout) -> ArraySpec:
    sizes = (*layout.video, 3)
    return ArraySpec(
        name="video",
        dims=_VIDEO_DIMS,
        labels={dim: tuple(range(size)) for dim, size in zip(_VIDEO_DIMS, sizes, strict=True)},
        event_dims=(),
        dtype="uint8",
        attrs={
            "site": "video",
            "reduction": "raw",
            "source_dtype": "uint8",
            "units": "1",
            "long_name": "decoded video",
        },
    )

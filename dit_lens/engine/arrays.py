"""What a store must preallocate for the captures of a run: arrays and coordinates.

Labels are the model's own numbers; the attributes of an array say what it is, so that a store explains itself. What
was drawn at random can be drawn again from them alone (``dit_lens.engine.draws``).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from dit_lens.captures import REDUCTIONS, SITES, Capture, Resolved
from dit_lens.engine import draws
from dit_lens.engine.layout import Layout
from dit_lens.reductions import read_batches
from dit_lens_stores import ArraySpec, Coordinate

__all__ = ["array_specs", "coordinates", "encoding_of", "planned_steps"]

_VIDEO_DIMS = ("video_frame", "video_y", "video_x", "rgb")
_ENCODINGS = {"float32": "exact", "bfloat16": "exact", "float16": "float16", "bits": "bits"}


def encoding_of(capture: Capture) -> str:
    """How the store keeps what a capture records.

    Examples
    --------
    >>> encoding_of(Capture("block.out", dtype="bits"))
    'bits'
    """
    return _ENCODINGS[capture.dtype]


def array_specs(captures: Sequence[Resolved], layout: Layout, video: bool) -> list[ArraySpec]:
    """One array per capture, and the decoded video if it is wanted.

    Examples
    --------
    >>> from dit_lens.captures import Capture
    >>> steps = {"experts": ("transformer",), "timesteps": (999.0,), "sigmas": (1.0,)}
    >>> sizes = {"layers": 2, "tokens": (3, 2, 2), "channels": 5, "latent": (16, 3, 4, 4), "video": (9, 32, 32)}
    >>> layout = Layout(branches=("cond",), dtype="float32", **steps, **sizes)
    >>> top = array_specs([Capture.parse("block.out:top:2").resolve(layout)], layout, video=False)[0]
    >>> top.name, top.labels["quantity"], top.attrs["argument"]
    ('block.out.top.2', ('channel', 'rms', 'share'), '2')
    """
    specs = [
        ArraySpec(
            name=resolved.capture.array,
            dims=resolved.capture.dims,
            labels=dict(resolved.labels),
            event_dims=resolved.event_dims,
            dtype="float32",
            attrs=_attributes(resolved),
            encoding=encoding_of(resolved.capture),
        )
        for resolved in captures
    ]
    return [*specs, _video_spec(layout)] if video else specs


def coordinates(layout: Layout, arrays: Sequence[ArraySpec]) -> list[Coordinate]:
    """Coordinates of the dimensions that any array has; those along step as far as the plan knows them."""
    dims = {dim for spec in arrays for dim in spec.dims}
    planned = planned_steps(layout)
    every = [
        Coordinate("sigma", "step", planned["sigma"], {"long_name": "noise level at the start of the step"}, "float64"),
        Coordinate(
            "timestep", "step", planned["timestep"], {"long_name": "timestep as the scheduler names it"}, "float64"
        ),
        Coordinate("expert", "step", planned["expert"], {"long_name": "denoiser that ran"}, "str"),
        *_modules(layout),
        *_places(layout, "token", ""),
        *_places(layout, "key_token", "key_"),
    ]
    return [coordinate for coordinate in every if coordinate.dim in dims]


def planned_steps(layout: Layout) -> dict[str, dict[int, float | str]]:
    """What the plan says of every step: nothing, of a schedule that only the run itself makes.

    It is written when a trace begins, all at once; to set one value while the model runs takes longer than a layer of a
    small model, so that is done only where the run differs from its plan.

    Examples
    --------
    >>> steps = {"experts": ("transformer",), "timesteps": None, "sigmas": None}
    >>> sizes = {"layers": 2, "tokens": (3, 2, 2), "channels": 5, "latent": (16, 3, 4, 4), "video": (9, 32, 32)}
    >>> planned_steps(Layout(branches=("cond",), dtype="float32", **steps, **sizes))
    {'sigma': {}, 'timestep': {}, 'expert': {0: 'transformer'}}
    """
    known: dict[str, Sequence[float | str]] = {
        "sigma": layout.sigmas or (),
        "timestep": layout.timesteps or (),
        "expert": layout.experts,
    }
    return {
        name: {step: value for step, value in enumerate(values) if step in layout.running}
        for name, values in known.items()
    }


def _modules(layout: Layout) -> list[Coordinate]:
    """The module of every layer, where the family says it."""
    if not layout.modules:
        return []
    paths = dict(enumerate(layout.modules))
    return [Coordinate("module", "layer", paths, {"long_name": "path of the layer in the denoiser"}, "str")]


def _places(layout: Layout, dim: str, prefix: str) -> list[Coordinate]:
    _, rows, columns = layout.tokens
    place = "of the token in its latent frame, from the upper left"
    y = {token: token // columns for token in range(rows * columns)}
    x = {token: token % columns for token in range(rows * columns)}
    return [
        Coordinate(f"{prefix}y", dim, y, {"long_name": f"row {place}"}, "int64"),
        Coordinate(f"{prefix}x", dim, x, {"long_name": f"column {place}"}, "int64"),
    ]


def _attributes(resolved: Resolved) -> dict[str, Any]:
    """What an array is; the dtype in which the model computed it is known only when it comes (``Recorder``)."""
    capture = resolved.capture
    site, reduction = SITES[capture.site], REDUCTIONS[capture.reduction]
    return {
        "site": site.name,
        "reduction": reduction.name,
        "argument": capture.argument,
        "selection": str(capture.select),
        "dtype": capture.dtype,
        "source_dtype": "unknown",
        "units": "1",
        "long_name": f"{site.meaning}: {reduction.meaning}",
        "place": site.place,
        **_hidden(resolved),
        **_drawn(resolved),
    }


def _hidden(resolved: Resolved) -> dict[str, Any]:
    """Which labels a selection chose along dimensions that the array does not have: nothing else would say it."""
    select = resolved.capture.select
    axes = {"token": ("token", "y", "x")}
    gone = {
        dim: list(labels)
        for dim, labels in resolved.chosen.items()
        if dim not in resolved.labels and any(axis in select.axes for axis in axes.get(dim, (dim,)))
    }
    return {"reduced": gone} if gone else {}


def _drawn(resolved: Resolved) -> dict[str, Any]:
    """All that it takes to draw again what was drawn at random."""
    capture, site = resolved.capture, SITES[resolved.capture.site]
    if capture.reduction == "project":
        features = len(resolved.chosen[site.feature_dim])
        known = {"seed": draws.SEED, "algorithm": draws.PROJECTION}
        return {**known, "features": features, "components": int(capture.argument)}
    if capture.reduction == "gram":
        tokens = prod(len(resolved.chosen[dim]) for dim in site.token_dims)
        size, count = read_batches(capture.argument, tokens)
        known = {"seed": draws.SEED, "algorithm": draws.PERMUTATION, "token_dims": list(site.token_dims)}
        return {**known, "tokens": tokens, "batch": size, "batches": count}
    return {}


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

"""What chunks leave: moments of all tokens by cell, and the tokens of the one trace that is mapped.

Moments are enough for components, not for maps: a map needs the tokens again, once the components are known. So the
tokens of one trace are kept, that which is asked for, or else the first by name; whichever comes later in the alphabet
is dropped when states meet, so the state stays as large as one trace, however many there are. It takes, in bytes,
branches x steps x layers x (8 x features² + 4 x features x frames x tokens).

Shapes: F frames, T tokens of a frame, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dit_lens.captures import Capture
from dit_lens.probing import BadParams
from dit_lens_probes.alike import Likeness, check_alike, likeness_of
from dit_lens_probes.pca.moments import Moments, merge_moments, moments_of
from dit_lens_probes.projected import projection

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens_probes.pca.params import PcaParams

__all__ = ["Cell", "Gathered", "Tokens", "gather", "merge", "refuse_large"]

Cell = tuple[str, int, int]
"""Branch, step, layer."""
_PLACES = ("branch", "step", "layer", "frame", "token")
_STEP_FACTS = ("sigma", "timestep", "expert")


@dataclass(frozen=True)
class Tokens:
    """The tokens of one cell of one trace: float32 (F, T, D) with their places."""

    values: npt.NDArray[np.float32]
    frames: tuple[int, ...]
    y: tuple[int, ...]
    x: tuple[int, ...]


@dataclass(frozen=True)
class Gathered:
    """What has been read so far.

    Attributes
    ----------
    moments : mapping of (branch, step, layer) to Moments
    tokens : mapping of (trace, (branch, step, layer)) to Tokens
        Of one trace only.
    steps : mapping of (trace, step) to mapping
        Sigma, timestep and expert.
    likeness : mapping of str to Likeness
    """

    moments: Mapping[Cell, Moments] = field(default_factory=dict)
    tokens: Mapping[tuple[str, Cell], Tokens] = field(default_factory=dict)
    steps: Mapping[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    likeness: Mapping[str, Likeness] = field(default_factory=dict)


def gather(chunk: xr.Dataset, params: PcaParams) -> Gathered:
    """Read one step of one trace."""
    array, trace = chunk[Capture.parse(params.capture).array], str(chunk.attrs["trace_id"])
    step = int(chunk["step"].item())
    rest = [dim for dim in array.dims if dim not in _PLACES]
    ordered = array.transpose(*(dim for dim in _PLACES if dim in array.dims), *rest)
    for dim, name in (("layer", 0), ("branch", "all")):
        ordered = ordered if dim in ordered.dims else ordered.expand_dims({dim: [name]})
    ordered = ordered.isel(step=0).transpose("branch", "layer", "frame", "token", *rest)
    shown = params.trace is None or params.trace == trace
    moments, tokens = {}, {}
    for at, branch in enumerate(ordered["branch"].values.tolist()):
        for depth, layer in enumerate(ordered["layer"].values.tolist()):
            values_FTD = _projected(ordered.values[at, depth], params)
            cell = (str(branch), step, int(layer))
            moments[cell] = moments_of(values_FTD.reshape(-1, values_FTD.shape[-1]))
            if shown:
                tokens[trace, cell] = _tokens(values_FTD, ordered)
    facts = {name: chunk[name].values.ravel()[0] for name in _STEP_FACTS if name in chunk.coords}
    return Gathered(moments, tokens, {(trace, step): facts}, {trace: likeness_of(chunk.attrs["manifest"], array)})


def merge(states: Sequence[Gathered], memory: float) -> Gathered:
    """Unite states; tokens are kept of the first trace by name alone.

    Examples
    --------
    >>> merge([Gathered(), Gathered()], memory=1.0).moments
    {}
    """
    likeness = check_alike("pca", [state.likeness for state in states])
    parts: dict[Cell, list[Moments]] = {}
    for state in states:
        for cell, moments in state.moments.items():
            parts.setdefault(cell, []).append(moments)
    tokens = {key: value for state in states for key, value in state.tokens.items()}
    first = min((trace for trace, _ in tokens), default="")
    tokens = {key: value for key, value in tokens.items() if key[0] == first}
    merged = {cell: merge_moments(own) if len(own) > 1 else own[0] for cell, own in parts.items()}
    steps = {key: value for state in states for key, value in state.steps.items()}
    size = sum(m.scatter_DD.nbytes for m in merged.values()) + sum(t.values.nbytes for t in tokens.values())
    refuse_large(size, memory)
    return Gathered(merged, tokens, steps, likeness)


def refuse_large(size: int, memory: float) -> None:
    """Raise if the state would take more gigabytes than it may."""
    if size > memory * 1e9:
        message = f"components would take more memory than pca.memory; got {size / 1e9:.2f} GB, allowed {memory:g} GB"
        raise BadParams(
            f"{message}; take fewer cells (pca.capture=block.out:raw[branch=cond]) or pca.project=256, or allow more"
        )


def _projected(values: npt.NDArray[Any], params: PcaParams) -> npt.NDArray[np.float32]:
    flat = values.reshape(*values.shape[:2], -1)
    if params.project:
        flat = flat.astype(np.float64) @ projection(flat.shape[-1], params.project, params.seed)
    return np.asarray(flat, dtype=np.float32)


def _tokens(values_FTD: npt.NDArray[np.float32], array: xr.DataArray) -> Tokens:
    frames = tuple(map(int, array["frame"].values)) if "frame" in array.coords else tuple(range(array.sizes["frame"]))
    held = "y" in array.coords and "x" in array.coords
    y = array["y"].values if held else np.zeros(array.sizes["token"], dtype=int)
    x = array["x"].values if held else np.arange(array.sizes["token"])
    return Tokens(values_FTD, frames, tuple(map(int, y)), tuple(map(int, x)))

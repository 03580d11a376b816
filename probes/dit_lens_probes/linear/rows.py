"""From a chunk to rows of features, with what each row's label is.

One row is the mean of a trace, the mean of a frame, or a token. What a score needs of held-out videos is their rows,
not their sums: so rows are what is kept, and sums (counts, means, products) are made from them for each fold. The state
is a union of what the steps of the traces left, so no order and no grouping can change a bit of it. Its size is known
beforehand: traces x branches x steps x layers x rows of a trace x channels x 4 bytes.

Shapes: B branches, L layers, F frames, T tokens of a frame, R rows of a trace, D features.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dit_lens.captures import Capture
from dit_lens.probing import BadParams
from dit_lens_probes.alike import Likeness, check_alike, likeness_of
from dit_lens_probes.linear.labels import LEVELS, Frames, Level, Source, Values
from dit_lens_probes.projected import projection

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens_probes.linear.params import LinearParams

__all__ = ["Cells", "Gathered", "Video", "feature_dims", "gather", "merge", "row_level"]

_PLACES = ("branch", "step", "layer", "frame", "token")
_VECTORS = ("raw", "mean", "std", "project")
_STEP_FACTS = ("sigma", "timestep", "expert")


@dataclass(frozen=True)
class Video:
    """What is known of a trace, whatever the step.

    Attributes
    ----------
    group : str
        Traces of one group start from one picture, or have one prompt if there is none; they are never split.
    labels : numpy.ndarray of object
    at : numpy.ndarray of int, shape (R,)
        Which entry of ``labels`` each row has.
    likeness : mapping
    """

    group: str
    labels: Values
    at: npt.NDArray[np.intp]
    likeness: Likeness


@dataclass(frozen=True)
class Cells:
    """The rows of one step of one trace: float32 (B, L, R, D), with the labels of the map."""

    values: npt.NDArray[np.float32]
    branches: tuple[str, ...]
    layers: tuple[int, ...]
    step: Mapping[str, Any]


@dataclass(frozen=True)
class Gathered:
    """What has been read so far: videos by trace, and rows by (trace, step)."""

    videos: Mapping[str, Video] = field(default_factory=dict)
    cells: Mapping[tuple[str, int], Cells] = field(default_factory=dict)


def gather(chunk: xr.Dataset, params: LinearParams, source: Source) -> Gathered:
    """Read one step of one trace."""
    capture = Capture.parse(params.capture)
    array = chunk[capture.array]
    level, trace = row_level(params, source), str(chunk.attrs["trace_id"])
    at = _frames_of(array)
    labels = source.of(chunk, at)
    pointers, chosen = _rows(level, source.level, labels, at, params, trace)
    values_BLRD = _features(array, level)[:, :, chosen]
    if params.project:
        values_BLRD = values_BLRD @ projection(values_BLRD.shape[-1], params.project, params.seed)
    facts = {name: chunk[name].values.ravel()[0] for name in _STEP_FACTS if name in chunk.coords}
    names = [_labels(array, "branch", "all"), _labels(array, "layer", 0)]
    cells = Cells(values_BLRD.astype(np.float32), tuple(map(str, names[0])), tuple(map(int, names[1])), facts)
    manifest = chunk.attrs["manifest"]
    video = Video(_group(manifest, trace), labels, pointers, likeness_of(manifest, array))
    return Gathered({trace: video}, {(trace, int(chunk["step"].item())): cells})


def merge(states: Sequence[Gathered], memory: float) -> Gathered:
    """Unite states; unlike traces and too many bytes are refused as soon as they meet.

    Examples
    --------
    >>> merge([Gathered(), Gathered()], memory=1.0)
    Gathered(videos={}, cells={})
    """
    videos = {trace: video for state in states for trace, video in state.videos.items()}
    check_alike("linear", [{trace: video.likeness for trace, video in videos.items()}])
    cells = {key: value for state in states for key, value in state.cells.items()}
    refuse_large(sum(value.values.nbytes for value in cells.values()), memory)
    return Gathered(videos, cells)


def refuse_large(size: int, memory: float) -> None:
    """Raise if features would take more gigabytes than they may."""
    if size > memory * 1e9:
        message = f"features would take more memory than linear.memory; got {size / 1e9:.2f} GB, allowed {memory:g} GB"
        remedy = (
            "take fewer cells (linear.capture=block.out:raw[branch=cond]), tokens or dimensions (linear.project), or "
        )
        raise BadParams(f"{message}; {remedy}allow more")


def row_level(params: LinearParams, source: Source) -> Level:
    """What one row is.

    Raises
    ------
    BadParams
        If rows are coarser than what a label belongs to.
    """
    if params.rows == "auto":
        return source.level
    if LEVELS.index(params.rows) < LEVELS.index(source.level):
        message = f"a row cannot have several labels; got linear.rows={params.rows} with a label per {source.level}"
        raise BadParams(f"{message}, allowed {source.level} or finer; leave linear.rows out")
    return params.rows


def feature_dims(capture: Capture) -> tuple[str, ...]:
    """The dimensions that are a row's vector.

    Raises
    ------
    BadParams
        If the capture holds no vectors, or no layers.

    Examples
    --------
    >>> feature_dims(Capture.parse("attn1.q:raw"))
    ('head', 'head_channel')
    """
    dims = tuple(dim for dim in capture.dims if dim not in _PLACES)
    if capture.reduction not in _VECTORS or not dims or "layer" not in capture.dims:
        message = f"linear.capture holds no vector for a layer; got '{capture}', allowed a site with layers, and"
        raise BadParams(f"{message} {', '.join(_VECTORS)}; take block.out:raw or block.out:mean:token")
    return dims


def _features(array: xr.DataArray, level: Level) -> npt.NDArray[np.float64]:
    """All rows of a chunk: float64 (B, L, rows, D); means are over tokens, then over frames, in float64."""
    for dim in ("branch", "layer"):
        array = array if dim in array.dims else array.expand_dims(dim)
    array = array.isel(step=0)
    inner = [dim for dim in ("frame", "token") if dim in array.dims]
    rest = [dim for dim in array.dims if dim not in _PLACES]
    values = array.transpose("branch", "layer", *inner, *rest).values
    head = values.shape[: 2 + len(inner)]
    values = values.reshape(*head, -1)
    pooled = {"token": (), "frame": ("token",), "trace": ("frame", "token")}[level]
    axes = tuple(2 + inner.index(dim) for dim in inner if dim in pooled)
    values = values.mean(axes, dtype=np.float64) if axes else values.astype(np.float64)
    return np.asarray(values.reshape(*values.shape[:2], -1, values.shape[-1]))


def _rows(
    level: Level, labelled: Level, labels: Values, at: Frames, params: LinearParams, trace: str
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Of every row that is taken, which label it has and which row of the chunk it is."""
    frames, tokens = max(len(at.frames), 1), max(len(at.tokens), 1)
    count = {"trace": 1, "frame": frames, "token": frames * tokens}[level]
    rows = np.arange(count)
    pointers = {"trace": np.zeros(count, dtype=np.intp), "frame": rows // tokens, "token": rows}
    pointer = rows if labelled == level else pointers[labelled]
    known = np.array([labels[entry] is not None for entry in pointer], dtype=bool)
    chosen = rows[known]
    if level == "token" and params.tokens and len(chosen) > params.tokens:
        rng = np.random.default_rng([params.seed, zlib.crc32(trace.encode())])
        chosen = np.sort(rng.choice(chosen, params.tokens, replace=False))
    return pointer[chosen], chosen


def _frames_of(array: xr.DataArray) -> Frames:
    frames, tokens = (tuple(map(int, _labels(array, dim))) for dim in ("frame", "token"))
    places: tuple[tuple[int, int], ...] = ()
    if "y" in array.coords and "x" in array.coords:
        places = tuple(zip(array["y"].values.tolist(), array["x"].values.tolist(), strict=True))
    return Frames(frames, tokens, places)


def _labels(array: xr.DataArray, dim: str, *otherwise: Any) -> list[Any]:
    if dim not in array.dims:
        return list(otherwise)
    return list(array[dim].values.tolist()) if dim in array.coords else list(range(array.sizes[dim]))


def _group(manifest: Mapping[str, Any], trace: str) -> str:
    """Traces that start from one picture are one video as far as splits go, whatever their prompts and seeds."""
    for name in ("image_sha256", "prompt"):
        if manifest.get(name):
            return hashlib.sha256(f"{name} {manifest[name]}".encode()).hexdigest()[:16]
    return trace

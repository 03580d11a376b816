"""Cut traces into the chunks that a probe maps, and refuse beforehand what cannot be cut.

A chunk is a small in-memory dataset: the arrays that the probe's captures name, restricted to their selection, at one
step (or one frame of one step, or whole). Dimensions stay although they may hold one label, so ``sigma``, ``timestep``
and ``expert`` travel with their step. Everything that could be missing is looked for before the first chunk is read.

Memory holds what one chunk holds. A decoded video, which every chunk of its trace carries, is read once and kept until
another trace's is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import xarray as xr

from dit_lens.engine.errors import BadSelection
from dit_lens.probing.errors import MissingCapture
from dit_lens.probing.protocol import Access, Probe
from dit_lens.selection import pick

if TYPE_CHECKING:
    from dit_lens.captures import Capture
    from dit_lens_stores import Trace

__all__ = ["TraceCut", "cut_trace", "forget_video"]


@dataclass(frozen=True, eq=False)
class TraceCut:
    """One trace, ready to be read chunk by chunk.

    Attributes
    ----------
    trace_id : str
    arrays : tuple of xarray.DataArray
        What the probe needs, restricted to its selection and not read yet.
    video : xarray.DataArray or None
        The decoded video, if the probe asked for it; not read yet either.
    manifest : dict
        The manifest of the trace.
    places : tuple of dict
        The labels that fix each chunk: ``{"step": 3}``, ``{"step": 3, "frame": 0}`` or ``{}``.
    """

    trace_id: str
    arrays: tuple[xr.DataArray, ...]
    video: xr.DataArray | None
    manifest: dict[str, Any]
    places: tuple[dict[str, int], ...]

    @property
    def labels(self) -> dict[str, tuple[int | str, ...]]:
        """The labels of every dimension, over all arrays."""
        return {dim: _union(self.arrays, dim) for dim in dict.fromkeys(dim for a in self.arrays for dim in _dims(a))}

    def bytes_at(self, place: Mapping[str, int]) -> int:
        """How much is read for a chunk, in memory; a video counts with the first chunk of its trace."""
        read = sum(_bytes_at(array, place) for array in self.arrays)
        return read + (int(self.video.nbytes) if self.video is not None and place == self.places[0] else 0)

    def chunk(self, place: Mapping[str, int]) -> xr.Dataset:
        """Read one chunk into memory."""
        parts = [part.load().to_dataset() for array in self.arrays if (part := _at(array, place)) is not None]
        merged = xr.merge(parts, join="outer", compat="no_conflicts", combine_attrs="override")
        if self.video is not None:
            merged["video"] = _read_video(self)
        return merged.assign_attrs(trace_id=self.trace_id, manifest=self.manifest)


@lru_cache(maxsize=1)
def _read_video(cut: TraceCut) -> xr.DataArray | None:
    return None if cut.video is None else cut.video.compute()


def forget_video() -> None:
    """Let go of the video that was read last."""
    _read_video.cache_clear()


def cut_trace(trace_id: str, trace: Trace, probe: Probe) -> TraceCut:
    """Find what a probe needs in a trace.

    Parameters
    ----------
    trace_id : str
        What the trace is called in the result.
    trace : Trace
        A complete trace of a store.
    probe : Probe

    Returns
    -------
    TraceCut

    Raises
    ------
    MissingCapture
        If the trace lacks an array or a label; the message says which capture to add and by which command.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> from dit_lens_probes.energy import Energy
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr", ["block.out:energy"])
    >>> cut = cut_trace("a", store["a"], Energy())
    >>> cut.places[0], cut.chunk(cut.places[0])["block.out.energy"].shape
    ({'step': 0}, (2, 1, 3, 3, 20))
    """
    arrays = tuple(_find(trace_id, trace, probe, capture) for capture in probe.captures())
    video = _find_video(trace_id, trace, probe) if getattr(probe, "needs_video", False) else None
    return TraceCut(trace_id, arrays, video, dict(trace.manifest), _places(arrays, probe.access))


def _find(trace_id: str, trace: Trace, probe: Probe, capture: Capture) -> xr.DataArray:
    if capture.array not in trace.arrays:
        message = f"trace '{trace_id}' does not hold '{capture.array}', which probe '{probe.name}' needs"
        raise MissingCapture(f"{message}; got {', '.join(trace.arrays) or 'no array'}; {_remedy(trace, capture)}")
    array = trace[capture.array].rename(capture.array)
    try:
        chosen = {axis: _pick(array, axis, capture) for axis in capture.select.axes if axis != "expert"}
    except BadSelection as error:
        raise MissingCapture(f"trace '{trace_id}' holds too little for probe '{probe.name}': {error}") from error
    for axis, labels in chosen.items():
        _require_labels(trace_id, trace, capture, axis, labels)
    array = array.sel({axis: list(labels) for axis, labels in chosen.items()})
    return _of_experts(array, capture)


def _pick(array: xr.DataArray, axis: str, capture: Capture) -> tuple[int | str, ...]:
    """What a capture selects, in the model's own labels; negative numbers count from the last label that is held."""
    held = _labels(array, axis)
    numbers = [label for label in held if isinstance(label, int)]
    return pick(axis, getattr(capture.select, axis), range(max(numbers) + 1) if numbers else held, str(capture))


def _of_experts(array: xr.DataArray, capture: Capture) -> xr.DataArray:
    if capture.select.expert is None:
        return array
    return array.isel(step=array["expert"].isin(list(capture.select.expert)).values)


def _require_labels(trace_id: str, trace: Trace, capture: Capture, dim: str, labels: Sequence[int | str]) -> None:
    held = _labels(trace[capture.array], dim)
    if absent := [label for label in labels if label not in held]:
        message = f"trace '{trace_id}' does not hold {dim} {', '.join(map(str, absent))} of '{capture.array}'"
        raise MissingCapture(f"{message}; got {dim} {', '.join(map(str, held))}; {_remedy(trace, capture)}")


def _remedy(trace: Trace, capture: Capture) -> str:
    model = trace.manifest.get("model", "MODEL")
    model = model.get("id", "MODEL") if isinstance(model, dict) else model
    return f"record it into a new store with 'dit-lens trace {model} --capture {capture} --out NEW.zarr'"


def _find_video(trace_id: str, trace: Trace, probe: Probe) -> xr.DataArray:
    if "video" not in trace.arrays:
        message = f"trace '{trace_id}' does not hold 'video', which probe '{probe.name}' draws on"
        raise MissingCapture(
            f"{message}; got {', '.join(trace.arrays) or 'no array'}; trace again with the video decoded"
        )
    return trace["video"]


def _places(arrays: Sequence[xr.DataArray], access: Access) -> tuple[dict[str, int], ...]:
    dims: dict[Access, tuple[str, ...]] = {"trace": (), "step": ("step",), "frame": ("step", "frame")}
    places: list[dict[str, int]] = [{}]
    for dim in dims[access]:
        labels = _union(arrays, dim)
        places = [{**place, dim: int(label)} for place in places for label in labels] if labels else places
    return tuple(places)


def _at(array: xr.DataArray, place: Mapping[str, int]) -> xr.DataArray | None:
    """The part of an array at a place, or None if it holds nothing there."""
    here = _here(array, place)
    return None if here is None else array.sel({dim: [label] for dim, label in here.items()})


def _here(array: xr.DataArray, place: Mapping[str, int]) -> dict[str, int] | None:
    """What of a place an array has as dimensions, or None if it holds nothing there."""
    here = {dim: label for dim, label in place.items() if dim in array.dims}
    return None if any(label not in _labels(array, dim) for dim, label in here.items()) else here


def _bytes_at(array: xr.DataArray, place: Mapping[str, int]) -> int:
    here = _here(array, place)
    if here is None:
        return 0
    return math.prod(size for dim, size in array.sizes.items() if dim not in here) * array.dtype.itemsize


def _dims(array: xr.DataArray) -> Iterator[str]:
    return (str(dim) for dim in array.dims if dim in array.coords)


def _labels(array: xr.DataArray, dim: str) -> tuple[int | str, ...]:
    return tuple(array[dim].values.tolist()) if dim in array.coords else ()


def _union(arrays: Sequence[xr.DataArray], dim: str) -> tuple[int | str, ...]:
    return tuple(sorted({label for array in arrays for label in _labels(array, dim)}, key=lambda x: (str(type(x)), x)))

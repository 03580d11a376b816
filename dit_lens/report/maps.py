"""Heat maps over the frames of a run, read block by block and never whole.

A map has the six dimensions branch, step, layer, frame, y and x, of size one where the result lacks one; whatever else
a variable varies over gives a map for each of its labels. Which labels are kept was decided before (``fitting``), so
that what is dropped is never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens.report.axes import MAP_DIMS, label_texts, labels_of
from dit_lens.report.quantise import Blobs, Packed, Width, histogram_range, pack
from dit_lens.report.sorting import Sorted, only_trace, title_of, units_of
from dit_lens.report.sources import Source

__all__ = ["Kept", "MapVariable", "build_map", "find_maps"]

_BLOCK_BYTES = 64 * 1024**2
_SHARE = 0.005  # of the values may lie beyond either end of the colour scale
Block = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Kept:
    """What is kept of a variable: places along step, layer and frame, every n-th row and column, and the width."""

    places: Mapping[str, Sequence[int]]
    width: Width = "uint16"

    @property
    def values(self) -> int:
        """How many values one map keeps."""
        return prod(len(places) for places in self.places.values())


@dataclass(frozen=True, eq=False)
class MapVariable:
    """One variable that is a map, of all traces.

    Attributes
    ----------
    source : Source
    name : str
    values : xarray.DataArray
        Not read yet.
    """

    source: Source
    name: str
    values: xr.DataArray

    @cached_property
    def labels(self) -> dict[str, list[Any]]:
        """By map dimension all labels; ``[None]`` where it lacks one."""
        grid = {dim: sorted(set(labels_of(self.values, dim))) for dim in ("y", "x")} if self.on_tokens else {}
        return {
            dim: grid.get(dim) or (labels_of(self.values, dim) if dim in self.values.dims else [None])
            for dim in MAP_DIMS
        }

    @property
    def on_tokens(self) -> bool:
        """Whether rows and columns are told by coordinates of one dimension of tokens."""
        return "token" in self.values.dims

    @property
    def all(self) -> Kept:
        """Everything."""
        return Kept({dim: range(len(labels)) for dim, labels in self.labels.items()})

    def cuts(self) -> Iterator[tuple[str, str, xr.DataArray]]:
        """Trace, further labels in words, and the variable there."""
        own = {*MAP_DIMS, "token"}
        further = [str(dim) for dim in self.values.dims if dim not in own]
        texts = {dim: label_texts(self.values, dim) for dim in further}
        alone = only_trace(self.source, self.values)
        for at in product(*(range(self.values.sizes[dim]) for dim in further)):
            places = dict(zip(further, at, strict=True))
            words = ", ".join(texts[dim][place] for dim, place in places.items() if dim != "trace")
            trace = str(labels_of(self.values, "trace")[places["trace"]]) if "trace" in places else alone
            yield trace, words, self.values.isel(places)

    @property
    def count(self) -> int:
        """How many maps it has."""
        return prod(size for dim, size in self.values.sizes.items() if dim not in (*MAP_DIMS, "token"))


@dataclass
class BuiltMap:
    """The maps of one variable, and what is to be said of them."""

    maps: list[dict[str, Any]] = field(default_factory=list)
    packed: list[Packed] = field(default_factory=list)


def find_maps(found: Sequence[Sorted]) -> list[MapVariable]:
    """All variables of results that are maps."""
    return [MapVariable(one.source, name, one.source.data[name]) for one in found for name in one.maps]


def build_map(variable: MapVariable, kept: Kept, blobs: Blobs) -> tuple[list[dict[str, Any]], list[str]]:
    """Read, quantise and compress what is kept of a variable.

    Parameters
    ----------
    variable : MapVariable
    kept : Kept
    blobs : Blobs

    Returns
    -------
    tuple of list
        The maps, which share a colour scale, and notes on them.

    Examples
    --------
    >>> values = xr.DataArray(np.arange(4.0).reshape(1, 2, 2), dims=("step", "y", "x"), name="energy")
    >>> variable = MapVariable(Source("mine", values.to_dataset(), {"a": ""}), "energy", values)
    >>> maps, notes = build_map(variable, variable.all, Blobs())
    >>> maps[0]["data"]["shape"], maps[0]["range"]
    ([1, 1, 1, 1, 2, 2], [0.0, 3.0])
    """
    built = BuiltMap()
    for trace, words, values in variable.cuts():
        packed = pack(lambda values=values: read_blocks(variable, values, kept), _shape(kept), blobs, kept.width)  # type: ignore[misc]
        if packed.counts.any():
            built.maps.append(_head(variable, trace, words, kept) | {"data": packed.array})
            built.packed.append(packed)
    return _scaled(variable, kept, built)


def read_blocks(variable: MapVariable, values: xr.DataArray, kept: Kept) -> Iterator[Block]:
    """What is kept of one trace, in C order: a run of steps of one branch at a time."""
    for branch in kept.places["branch"]:
        own = values.isel(branch=branch) if "branch" in values.dims else values
        for steps in _runs(variable, kept):
            yield _read(variable, own, kept, steps)


def _read(variable: MapVariable, values: xr.DataArray, kept: Kept, steps: Sequence[int]) -> Block:
    grid = ("y", "x")
    wanted = {dim: kept.places[dim] for dim in ("layer", "frame", *grid) if dim in values.dims}
    if "step" in values.dims:
        wanted["step"] = steps
    chosen = values.isel({dim: _slice(places) for dim, places in wanted.items()})
    dims = ("step", "layer", "frame", *(("token",) if variable.on_tokens else grid))
    held = chosen.transpose(*(dim for dim in dims if dim in chosen.dims))
    block = np.asarray(held.values, dtype=np.float32)
    if variable.on_tokens:
        block = _on_grid(variable, block, kept)
    sizes = [len(steps), *(len(kept.places[dim]) for dim in ("layer", "frame", *grid))]
    return block.reshape(sizes)


def _on_grid(variable: MapVariable, block: Block, kept: Kept) -> Block:
    rows, columns = (np.searchsorted(variable.labels[dim], labels_of(variable.values, dim)) for dim in ("y", "x"))
    placed = np.full((*block.shape[:-1], len(variable.labels["y"]), len(variable.labels["x"])), np.nan, np.float32)
    placed[..., rows, columns] = block
    return placed[..., list(kept.places["y"]), :][..., list(kept.places["x"])]


def _runs(variable: MapVariable, kept: Kept) -> list[list[int]]:
    """Steps that are read at once: those of one chunk of the file, as far as memory allows."""
    values, steps = variable.values, list(kept.places["step"])
    if "step" not in values.dims:
        return [steps]
    chunks = values.encoding.get("chunks") or ()
    chunk = dict(zip(values.dims, chunks, strict=False)).get("step", 1)
    one = prod(
        size for dim, size in values.sizes.items() if dim in (*MAP_DIMS, "token") and dim not in ("step", "branch")
    )
    most = max(1, _BLOCK_BYTES // (one * values.dtype.itemsize))
    runs: list[list[int]] = []
    for step in steps:
        if runs and step // chunk == runs[-1][0] // chunk and len(runs[-1]) < most:
            runs[-1].append(step)
        else:
            runs.append([step])
    return runs


def _slice(places: Sequence[int]) -> slice | list[int]:
    """A slice where places are evenly spread: it is read without an index for each."""
    listed = list(places)
    gaps = set(np.diff(listed).tolist())
    if len(gaps) > 1:
        return listed
    return slice(listed[0], listed[-1] + 1, gaps.pop() if gaps else 1)


def _shape(kept: Kept) -> list[int]:
    return [len(kept.places[dim]) for dim in MAP_DIMS]


def _head(variable: MapVariable, trace: str, words: str, kept: Kept) -> dict[str, Any]:
    axes = []
    for dim in MAP_DIMS:
        labels, places = variable.labels[dim], kept.places[dim]
        axes.append({"dim": dim, "values": [labels[at] for at in places], "kept": len(places), "of": len(labels)})
    return {
        "name": f"{variable.name}, {words}" if words else variable.name,
        "result": variable.source.name,
        "title": ", ".join(filter(None, (title_of(variable.values), words))),
        "units": units_of(variable.values),
        "trace": trace,
        "axes": axes,
    }


def _scaled(variable: MapVariable, kept: Kept, built: BuiltMap) -> tuple[list[dict[str, Any]], list[str]]:
    """One colour scale for all maps of a variable, and what was done to fit it, in words."""
    if not built.maps:
        return [], [f"{variable.source.name}: {variable.name} is empty."]
    (low, high), (lowest, highest) = histogram_range(built.packed, _SHARE), histogram_range(built.packed, 0.0)
    # a few values would take most of the colours; where few differ from the rest at all, they keep them
    wide = 0 < high - low < (highest - lowest) / 2
    low, high = (low, high) if wide else (lowest, highest)
    what, notes = f"{variable.source.name}: {variable.name}", []
    if dropped := _dropped(variable, kept):
        notes.append(f"{what} keeps {dropped}; the rest was dropped to fit the page.")
    error = max(packed.array["error"] for packed in built.packed)
    of_colours = f" ({error / (high - low):.2g} of the colour scale)" if high > low else ""
    width = {"uint16": "two bytes", "uint8": "one byte"}[kept.width]
    notes.append(f"{what} is stored in {width} a value; the largest error, as measured, is {error:.3g}{of_colours}.")
    if wide:
        notes.append(
            f"{what}: colours run from {low:.4g} to {high:.4g}, which leaves {_SHARE:.1%} of the values beyond each "
            f"end; values run from {lowest:.4g} to {highest:.4g} and are shown as they are."
        )
    return [one | {"range": [low, high]} for one in built.maps], notes


def _dropped(variable: MapVariable, kept: Kept) -> str:
    words = {"step": "steps", "layer": "layers", "frame": "frames", "y": "rows of tokens", "x": "columns of tokens"}
    counts = [(len(kept.places[dim]), len(variable.labels[dim]), name) for dim, name in words.items()]
    return ", ".join(f"{some} of {every} {name}" for some, every, name in counts if some < every)

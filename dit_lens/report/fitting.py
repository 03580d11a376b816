"""How much of the maps fits on the page: which steps, layers, frames and tokens are kept, and in how many bytes.

Nothing is read for it but a sample, which tells how well the values compress and whether one byte a value would be too
coarse. Two bytes are tried first, then one where it does; then the longest axis of the largest variable becomes shorter
until all fits. Steps, layers and frames are thinned evenly, with the first, the last and the switch of experts kept;
tokens by whole strides, so that a map stays a grid. Branches are never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from dit_lens.engine.disk import format_size
from dit_lens.report.axes import MAP_DIMS, step_facts
from dit_lens.report.errors import CapTooSmall
from dit_lens.report.maps import Kept, MapVariable, read_blocks
from dit_lens.report.quantise import Blobs, Width, histogram_range, pack
from dit_lens.report.sorting import each_trace

__all__ = ["Sampled", "fit", "sample", "spread", "too_small"]

_LEAST, _LEAST_GRID = 4, 8
_THINNED = ("step", "layer", "frame")
_SAMPLED = {"step": 4, "layer": 8, "frame": 8}
_COARSE = 0.01  # of the colour scale: an error that is not seen
_BASE64 = 4 / 3
_SAFETY = 1.02


@dataclass(frozen=True)
class Sampled:
    """Bytes that a value takes on the page in either width, and whether one byte will do."""

    bytes_each: dict[Width, float]
    one_byte: bool


@dataclass
class _Fitted:
    """A variable while it is made to fit."""

    variable: MapVariable
    sampled: Sampled
    width: Width = "uint16"
    counts: dict[str, int] = field(default_factory=dict)
    switches: list[int] = field(default_factory=list)
    stride: int = 1

    def __post_init__(self) -> None:
        self.counts = {dim: len(self.variable.labels[dim]) for dim in _THINNED}
        self.switches = _switches(self.variable)

    @property
    def grid(self) -> tuple[int, int]:
        rows, columns = (len(self.variable.labels[dim]) for dim in ("y", "x"))
        return -(-rows // self.stride), -(-columns // self.stride)

    @property
    def bytes(self) -> float:
        branches = len(self.variable.labels["branch"])
        values = self.variable.count * branches * prod(self.counts.values()) * prod(self.grid)
        return values * self.sampled.bytes_each[self.width]

    def shrink(self, factor: float) -> bool:
        """Shorten the longest axis, as long as one is long enough; the grid only where much is to be saved."""
        least = {"step": max(_LEAST, len(self.switches) + 2)}
        lengths = {dim: count for dim, count in self.counts.items() if count > least.get(dim, _LEAST)}
        if max(self.grid) >= 2 * _LEAST_GRID and (factor > 2 or not lengths):
            lengths["grid"] = max(self.grid)
        if not lengths:
            return False
        longest = max(lengths, key=lambda dim: lengths[dim])
        if longest == "grid":
            self.stride += 1
        else:
            self.counts[longest] -= 1
        return True

    @property
    def kept(self) -> Kept:
        labels = self.variable.labels
        places: dict[str, Sequence[int]] = {
            dim: spread(len(labels[dim]), count, self.switches if dim == "step" else ())
            for dim, count in self.counts.items()
        }
        places |= {dim: range(0, len(labels[dim]), self.stride) for dim in ("y", "x")}
        places["branch"] = range(len(labels["branch"]))
        return Kept({dim: places[dim] for dim in MAP_DIMS}, self.width)


def _switches(variable: MapVariable) -> list[int]:
    """The steps at which the expert switches, in any of the traces: they need not agree."""
    found: set[int] = set()
    for _, values in each_trace(variable.source, variable.values):
        experts = step_facts(values, "step").get("experts", []) if "step" in values.dims else []
        found |= {at for at in range(1, len(experts)) if experts[at] != experts[at - 1]}
    return sorted(found)


def sample(variable: MapVariable) -> Sampled:
    """Read a little of the first map that holds something, and see how it compresses."""
    everything = variable.all.places
    places = {dim: spread(len(all_), _SAMPLED[dim]) if dim in _SAMPLED else all_ for dim, all_ in everything.items()}
    kept = Kept({**places, "branch": list(everything["branch"])[:1]})
    for _, _, values in variable.cuts():
        blocks = list(read_blocks(variable, values, kept))
        if any(np.isfinite(block).any() for block in blocks):
            break
    shape, blobs = [len(kept.places[dim]) for dim in MAP_DIMS], Blobs()
    widths: tuple[Width, ...] = ("uint16", "uint8")
    packed = {width: pack(lambda: blocks, shape, blobs, width) for width in widths}
    each = {width: _SAFETY * _BASE64 * len(blobs.items[at]) / kept.values for at, width in enumerate(packed)}
    low, high = histogram_range([packed["uint16"]], 0.005)
    return Sampled(each, packed["uint8"].array["error"] <= _COARSE * (high - low))


def fit(variables: Sequence[MapVariable], sampled: Sequence[Sampled], cap: int, spent: float) -> list[Kept]:
    """Decide what is kept of each variable.

    Parameters
    ----------
    variables : sequence of MapVariable
    sampled : sequence of Sampled
        Of each of them.
    cap : int
        Bytes that the page may take.
    spent : float
        Bytes that everything else on it takes.

    Returns
    -------
    list of Kept

    Raises
    ------
    CapTooSmall
        If they do not fit however much is dropped.
    """
    budget = cap - spent
    fitted = [_Fitted(variable, one) for variable, one in zip(variables, sampled, strict=True)]
    if sum(one.bytes for one in fitted) > budget:
        for one in fitted:
            one.width = "uint8" if one.sampled.one_byte else "uint16"
    while (total := sum(one.bytes for one in fitted)) > budget:
        by_size = sorted(fitted, key=lambda one: -one.bytes)
        if not any(one.shrink(total / max(budget, 1)) for one in by_size):
            raise too_small(cap, spent + total)
    return [one.kept for one in fitted]


def too_small(cap: int, needed: float) -> CapTooSmall:
    """The error that a page cannot be made to fit.

    Examples
    --------
    >>> str(too_small(100_000, 400_000)).partition("; got ")[2]
    '100 kB, allowed 400 kB or more; raise the cap, or report on fewer results'
    """
    return CapTooSmall(
        f"the page cannot be made so small; got {format_size(cap)}, allowed {format_size(int(needed))} or more; raise "
        f"the cap, or report on fewer results"
    )


def spread(count: int, most: int, among: Sequence[int] = ()) -> list[int]:
    """At most ``most`` of ``count`` places, evenly, the first and the last too; ``among`` in place of their neighbours.

    Examples
    --------
    >>> spread(20, 4), spread(3, 4), spread(20, 4, [8])
    ([0, 6, 13, 19], [0, 1, 2], [0, 8, 13, 19])
    """
    places = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
    for wanted in among:
        free = [at for at in range(1, len(places) - 1) if places[at] not in among]
        if free and wanted not in places:
            places[min(free, key=lambda at: abs(int(places[at]) - wanted))] = wanted
    return [int(place) for place in np.unique(places)]

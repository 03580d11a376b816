"""The share of energy on what is in the picture, by layer: means over the puzzles of a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LayerRow", "layer_rows", "shares_of"]

Record = Mapping[str, Any]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class LayerRow:
    """One kind of puzzle at one step: the share in the first, middle and last layer, and the largest.

    Attributes
    ----------
    group : str
    n : int
    even : float
        What the share would be if every token had the same energy.
    first, middle, last : float
    peak_layer : int
    peak : float
    lowest, highest : float
        The share in the peak layer of the puzzle in which it is smallest, and largest.
    """

    group: str
    n: int
    even: float
    first: float
    middle: float
    last: float
    peak_layer: int
    peak: float
    lowest: float
    highest: float


def shares_of(records: Sequence[Record], group: str, what: str) -> tuple[list[int], Floats, Floats]:
    """The layers, the share by puzzle, step and layer, and by puzzle the share of an even map."""
    chosen = [record for record in records if record["group"] == group]
    shares = np.array([record["share"][what] for record in chosen])
    return list(chosen[0]["layers"]), shares, np.array([record["even"][what] for record in chosen])


def layer_rows(records: Sequence[Record], what: str, step: int) -> list[LayerRow]:
    """A row for each kind of puzzle at one step."""
    rows = []
    for group in dict.fromkeys(record["group"] for record in records):
        layers, shares, even = shares_of(records, group, what)
        by_layer = shares[:, step].mean(0)
        peak = int(by_layer.argmax())
        there = shares[:, step, peak]
        first, middle, last = (float(by_layer[i]) for i in (0, len(layers) // 2, -1))
        found = (layers[peak], float(by_layer[peak]), float(there.min()), float(there.max()))
        rows.append(LayerRow(group, len(shares), float(even.mean()), first, middle, last, *found))
    return rows

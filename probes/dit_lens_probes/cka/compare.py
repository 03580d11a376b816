"""Similarities with what says how much they are worth: their error and what chance gives.

*Error*: of a minibatch estimate, the jackknife over up to eight groups of minibatches; 0 where it is exact. *Null*: the
tokens of one of the two are permuted, which keeps what each is and takes away what they share; the same permutations
for every pair. Tokens are alike to their neighbours, so permuted tokens are more unlike than two unrelated videos
would be: a small p says that there is something in common, not that it is more than "both are videos".

Shapes: R representations, Q pairs, G groups of minibatches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dit_lens_probes.similarity import Kind, Sketch

__all__ = ["Compared", "all_pairs", "jackknife", "one_by_one"]

Numbers = npt.NDArray[np.float64]
Maybe = Sequence[Sketch | None]


@dataclass(frozen=True)
class Compared:
    """Of pairs: similarity, its error, and the null; NaN where nothing can be said.

    Attributes
    ----------
    similarity, error : numpy.ndarray
    null_mean, null_max, p : numpy.ndarray
        NaN without permutations.
    """

    similarity: Numbers
    error: Numbers
    null_mean: Numbers
    null_max: Numbers
    p: Numbers

    def reshaped(self, *shape: int) -> Compared:
        """All of it in another shape."""
        return Compared(*(getattr(self, name).reshape(shape) for name in self.__dataclass_fields__))


def all_pairs(kind: Kind, sketches: Maybe, permutations: int, seed: int) -> Compared:
    """Every representation with every other.

    Parameters
    ----------
    kind : Kind
    sketches : sequence of Sketch or None
    permutations, seed : int

    Returns
    -------
    Compared
        Of shape (R, R).
    """
    there = [at for at, sketch in enumerate(sketches) if sketch is not None]
    known = [sketch for sketch in sketches if sketch is not None]
    shape = (len(sketches), len(sketches))
    if not known:
        return _filled(shape, (), {})
    table_GRR = kind.table(known, known)
    selves_GR = np.diagonal(table_GRR, axis1=1, axis2=2)
    found = {
        "similarity": table_GRR.sum(0),
        "error": jackknife(table_GRR, selves_GR[:, :, None], selves_GR[:, None]),
        **_null(table_GRR.sum(0), permutations, lambda at: kind.table(known, _moved(kind, known, seed + at)).sum(0)),
    }
    return _filled(shape, np.ix_(there, there), found)


def one_by_one(kind: Kind, left: Maybe, right: Maybe, permutations: int, seed: int) -> Compared:
    """The first with the first, the second with the second.

    Returns
    -------
    Compared
        Of shape (Q,).
    """
    pairs = [(at, a, b) for at, (a, b) in enumerate(zip(left, right, strict=True)) if a is not None and b is not None]
    if not pairs:
        return _filled((len(left),), (), {})
    there, ones, others = [at for at, _, _ in pairs], [one for _, one, _ in pairs], [other for _, _, other in pairs]
    table_GQ = kind.aligned(ones, others)
    found = {
        "similarity": table_GQ.sum(0),
        "error": jackknife(table_GQ, kind.aligned(ones, ones), kind.aligned(others, others)),
        **_null(
            table_GQ.sum(0),
            permutations,
            lambda at: kind.aligned(ones, _moved(kind, others, seed + at)).sum(0),
        ),
    }
    return _filled((len(left),), (np.array(there),), found)


def jackknife(table_G: Numbers, left_G: Numbers, right_G: Numbers) -> Numbers:
    """The standard error of a ratio of sums over groups, from leaving each group out; 0 of a single group.

    Examples
    --------
    >>> parts = np.array([0.2, 0.3, 0.25])
    >>> float(jackknife(parts, np.full(3, 1 / 3), np.full(3, 1 / 3)).round(3))
    0.087
    """
    groups = len(table_G)
    if groups < 2:
        return np.zeros(np.broadcast_shapes(table_G.shape, left_G.shape)[1:])
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (table_G.sum(0) - table_G) / np.sqrt((left_G.sum(0) - left_G) * (right_G.sum(0) - right_G))
    return np.asarray(np.sqrt((groups - 1) / groups * ((without - without.mean(0)) ** 2).sum(0)))


def _null(similarity: Numbers, permutations: int, draw: Callable[[int], Numbers]) -> dict[str, Numbers]:
    if not permutations:
        return {}
    total, highest = np.zeros_like(similarity), np.full_like(similarity, -np.inf)
    reached = np.ones_like(similarity)
    for at in range(permutations):
        drawn = draw(at)
        total += drawn
        highest = np.maximum(highest, drawn)
        reached += drawn >= similarity
    return {"null_mean": total / permutations, "null_max": highest, "p": reached / (permutations + 1)}


def _moved(kind: Kind, sketches: Sequence[Sketch], seed: int) -> list[Sketch]:
    return [kind.shuffled(sketch, seed) for sketch in sketches]


def _filled(shape: tuple[int, ...], where: Any, found: dict[str, Numbers]) -> Compared:
    filled = {name: np.full(shape, np.nan) for name in Compared.__dataclass_fields__}
    for name, values in found.items():
        filled[name][where] = values
    return Compared(**filled)

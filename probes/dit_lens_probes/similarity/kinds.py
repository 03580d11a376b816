"""The measures as one thing: what is kept of a representation, and how two of what was kept are compared.

Whatever the measure, a similarity is a product of two things of length one, and the lengths are kept beside them. So
several videos can be pooled in one way: products and squared lengths are summed first, and divided last.

Shapes: N tokens, C channels, M minibatches, B tokens in each, K neighbours, P packed numbers, R, S representations,
G groups of minibatches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from dit_lens_probes.similarity.grams import Estimator, packed_grams, packed_rows, shuffle_places
from dit_lens_probes.similarity.neighbours import nearest, shared
from dit_lens_probes.similarity.pairs import pair_products, row_products, unit
from dit_lens_probes.similarity.procrustes import long_one, nuclear

__all__ = ["KINDS", "GramKind", "Kind", "Measure", "NeighbourKind", "RowKind", "Sketch", "kind_of"]

Measure = Literal["cka", "angular", "procrustes", "mutual_knn"]
KINDS: tuple[Measure, ...] = ("cka", "angular", "procrustes", "mutual_knn")
"""CKA; its arc cosine; the arc cosine of the Procrustes similarity; shared nearest neighbours."""
GROUPS = 8
"""Groups of minibatches, from the differences between which the error of a minibatch estimate is told."""

Values = npt.NDArray[Any]
Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sketch:
    """What is kept of one representation.

    Attributes
    ----------
    values : numpy.ndarray
        Of length one.
    length : float
        Which it had; 0 if there is nothing to say.
    batches, batch : int
        Minibatches, and tokens in each.
    """

    values: Values
    length: float
    batches: int
    batch: int


class Kind(Protocol):
    """What is kept, and how it is compared."""

    @property
    def power(self) -> int:
        """With which power of the scale of the rows a length grows."""

    def sketch(self, rows_NC: torch.Tensor, batches_MB: npt.NDArray[np.int64]) -> Sketch:
        """What is kept of rows of ``prepare_rows``."""

    def table(self, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
        """Similarities of all pairs, (G, R, S): of every group of minibatches; their sum is the similarity."""

    def aligned(self, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
        """Similarities of the first with the first and so on, (G, R)."""

    def shuffled(self, sketch: Sketch, seed: int) -> Sketch:
        """The same representation with its tokens in another order."""


@dataclass(frozen=True)
class GramKind:
    """Packed Gram matrices, for CKA.

    Examples
    --------
    >>> from dit_lens_probes.similarity import prepare_rows, token_batches
    >>> rows_NC, _ = prepare_rows(torch.randn(40, 3, generator=torch.Generator().manual_seed(0)))
    >>> kind = GramKind("debiased")
    >>> kept = kind.sketch(rows_NC, token_batches(40))
    >>> kind.table([kept], [kept]).sum(0).round(6).tolist(), bool(kind.table([kept], [kind.shuffled(kept, 0)]) < 0.2)
    ([[1.0]], True)
    """

    estimator: Estimator

    @property
    def power(self) -> int:
        """A Gram matrix is a square."""
        return 2

    def sketch(self, rows_NC: torch.Tensor, batches_MB: npt.NDArray[np.int64]) -> Sketch:
        """Of every minibatch a triangle."""
        return self._kept(packed_rows(rows_NC, batches_MB, self.estimator), *batches_MB.shape)

    def of_grams(self, grams_MBB: torch.Tensor) -> Sketch:
        """The same from Gram matrices that a capture holds."""
        return self._kept(packed_grams(grams_MBB, self.estimator), *grams_MBB.shape[:2])

    def table(self, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
        """By up to eight groups of minibatches."""
        return np.asarray(pair_products(_stacked(left), _stacked(right), _edges(left[0])).numpy())

    def aligned(self, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
        """By the same groups."""
        return np.asarray(row_products(_stacked(left), _stacked(right), _edges(left[0])).numpy())

    def shuffled(self, sketch: Sketch, seed: int) -> Sketch:
        """Inside every minibatch."""
        places = shuffle_places(sketch.batches, sketch.batch, self.estimator, seed)
        return Sketch(sketch.values[places], sketch.length, sketch.batches, sketch.batch)

    def _kept(self, packed_P: torch.Tensor, batches: int, batch: int) -> Sketch:
        values, length = unit(packed_P)
        return Sketch(values.cpu().numpy(), length, batches, batch)


@dataclass(frozen=True)
class RowKind:
    """The rows themselves, for Procrustes; minibatches are not used."""

    @property
    def power(self) -> int:
        """As the rows."""
        return 1

    def sketch(self, rows_NC: torch.Tensor, batches_MB: npt.NDArray[np.int64]) -> Sketch:
        """Rows of length one."""
        values, length = long_one(rows_NC)
        return Sketch(values.float().cpu().numpy(), length, 1, rows_NC.shape[0])

    def table(self, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
        """One pair after the other; each but once if both sides are the same."""
        same, out = left is right, np.zeros((1, len(left), len(right)))
        for i, one in enumerate(left):
            for j, other in enumerate(right):
                mirrored = same and j < i
                out[0, i, j] = out[0, j, i] if mirrored else nuclear(*map(torch.from_numpy, (one.values, other.values)))
        return out

    def aligned(self, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
        """One pair after the other."""
        return _one_by_one(self, left, right)

    def shuffled(self, sketch: Sketch, seed: int) -> Sketch:
        """Rows in another order."""
        order = np.random.default_rng(seed).permutation(len(sketch.values))
        return Sketch(sketch.values[order], sketch.length, 1, sketch.batch)


@dataclass(frozen=True)
class NeighbourKind:
    """The nearest neighbours of every token; minibatches are not used."""

    neighbours: int

    @property
    def power(self) -> int:
        """No scale moves a neighbour."""
        return 0

    def sketch(self, rows_NC: torch.Tensor, batches_MB: npt.NDArray[np.int64]) -> Sketch:
        """Their numbers."""
        numbers = nearest(rows_NC, self.neighbours).cpu().numpy()
        return Sketch(numbers, sqrt(numbers.size), 1, rows_NC.shape[0])

    def table(self, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
        """One pair after the other."""
        one, other = ([torch.from_numpy(kept.values) for kept in side] for side in (left, right))
        return np.array([[[shared(a, b) / a.numel() for b in other] for a in one]])

    def aligned(self, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
        """One pair after the other."""
        return _one_by_one(self, left, right)

    def shuffled(self, sketch: Sketch, seed: int) -> Sketch:
        """Tokens by other numbers."""
        order = np.random.default_rng(seed).permutation(len(sketch.values))
        values = np.empty_like(sketch.values)
        values[order] = order.astype(np.int32)[sketch.values]
        return Sketch(np.sort(values, axis=1), sketch.length, 1, sketch.batch)


def kind_of(measure: Measure, estimator: Estimator = "debiased", neighbours: int = 10) -> Kind:
    """The kind that a measure needs.

    Examples
    --------
    >>> kind_of("angular"), kind_of("mutual_knn", neighbours=5)
    (GramKind(estimator='debiased'), NeighbourKind(neighbours=5))
    """
    if measure == "procrustes":
        return RowKind()
    return NeighbourKind(neighbours) if measure == "mutual_knn" else GramKind(estimator)


def _stacked(sketches: Sequence[Sketch]) -> torch.Tensor:
    return torch.from_numpy(np.stack([sketch.values for sketch in sketches]))


def _edges(sketch: Sketch) -> list[int]:
    """Where the groups of minibatches begin, after the first."""
    count, groups = sketch.batches, min(GROUPS, sketch.batches)
    each = sketch.values.size // count
    return [each * (count * group // groups) for group in range(1, groups)]


def _one_by_one(kind: Kind, left: Sequence[Sketch], right: Sequence[Sketch]) -> Table:
    return np.stack([kind.table([one], [other])[:, 0, 0] for one, other in zip(left, right, strict=True)], axis=1)

"""Ridge regression for a whole path of penalties, in closed form, from sums over blocks of rows.

A block is one class in one fold. Its count, sum and products are enough to fit on any union of folds with any weights
of the classes, so the rows are multiplied once however many folds are left out. With fewer training rows than features
the same solution is found from the products of rows with each other (the dual), which is then smaller. Features are
standardised by the weighted mean and deviation of the training rows, classes weigh the same, and the penalty is in
units of the summed weight: it is that of scikit-learn's ``Ridge`` with ``alpha * weight.sum()`` on standardised rows.
Rows are moved by a fixed row first, so that sums of products lose nothing to a large mean. All arithmetic is float64.

Shapes: N rows, D features, K targets (one for a class, or one number), A penalties, C classes, P folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Blocks", "Fit", "blocks_of", "fit_dual", "fit_primal", "targets_of", "weights_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
_DEAD = 1e-6  # a channel that varies by less of its size holds rounding only


@dataclass(frozen=True)
class Fit:
    """One fit for each penalty: predictions are ``x @ coefficient + intercept``.

    Attributes
    ----------
    coefficient_ADK, intercept_AK : numpy.ndarray of float64
    """

    coefficient_ADK: Floats
    intercept_AK: Floats

    def predict(self, x_ND: Floats) -> Floats:
        """Predictions of all fits, float64 (A, N, K)."""
        return np.asarray(x_ND @ self.coefficient_ADK + self.intercept_AK[:, None])


@dataclass(frozen=True)
class Blocks:
    """Sums over the rows of each class in each fold."""

    count_PC: Floats
    x_PCD: Floats
    xx_PCDD: Floats
    y_PCK: Floats
    xy_PCDK: Floats


def targets_of(code_N: Floats, classes: int) -> Floats:
    """One-hot targets of classes, or one column of numbers if ``classes`` is 0.

    Examples
    --------
    >>> targets_of(np.array([1.0, 0.0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return np.eye(classes)[code_N.astype(np.intp)] if classes else code_N[:, None]


def weights_of(count_C: Floats, classes: int) -> Floats:
    """The weight of a row by its class, so that classes weigh the same; 1 for numbers.

    Examples
    --------
    >>> weights_of(np.array([3.0, 1.0]), 2).round(2).tolist()
    [0.67, 2.0]
    """
    if not classes:
        return np.ones_like(count_C)
    held = count_C > 0
    return np.where(held, count_C.sum() / (held.sum() * np.where(held, count_C, 1.0)), 0.0)


def blocks_of(x_ND: Floats, y_NK: Floats, class_N: Ints, fold_N: Ints, folds: int, classes: int) -> Blocks:
    """Sum up rows that were moved by a fixed row."""
    D, K, C = x_ND.shape[1], y_NK.shape[1], max(classes, 1)
    blocks = Blocks(*(np.zeros((folds, C, *shape)) for shape in ((), (D,), (D, D), (K,), (D, K))))
    for fold in range(folds):
        for one in range(C):
            rows = (fold_N == fold) & (class_N == one)
            x, y = x_ND[rows], y_NK[rows]
            blocks.count_PC[fold, one] = len(x)
            blocks.x_PCD[fold, one], blocks.y_PCK[fold, one] = x.sum(0), y.sum(0)
            blocks.xx_PCDD[fold, one], blocks.xy_PCDK[fold, one] = x.T @ x, x.T @ y
    return blocks


def fit_primal(blocks: Blocks, train: Sequence[int], alphas: Sequence[float], classes: int, size_D: Floats) -> Fit:
    """Fit on some folds.

    Parameters
    ----------
    blocks : Blocks
    train : sequence of int
        The folds to learn from.
    alphas : sequence of float
    classes : int
        0 if the target is a number.
    size_D : numpy.ndarray
        Root mean square of every channel as it was, which says when a deviation is rounding.
    """
    chosen = list(train)
    weight_C = weights_of(blocks.count_PC[chosen].sum(0), classes)

    def total(sums: Floats) -> Floats:
        return np.asarray(np.tensordot(weight_C, sums[chosen].sum(0), axes=1))

    weight = float(total(blocks.count_PC))
    mean_D, mean_K = total(blocks.x_PCD) / weight, total(blocks.y_PCK) / weight
    scatter_DD = total(blocks.xx_PCDD) - weight * np.outer(mean_D, mean_D)
    cross_DK = total(blocks.xy_PCDK) - weight * np.outer(mean_D, mean_K)
    scale_D = _scale(np.diag(scatter_DD) / weight, size_D)
    scaled_DD = scatter_DD * scale_D * scale_D[:, None]
    penalties = weight * np.asarray(alphas)[:, None, None] * np.eye(len(scale_D))
    coefficient_ADK = scale_D[:, None] * np.linalg.solve(scaled_DD + penalties, scale_D[:, None] * cross_DK)
    return Fit(coefficient_ADK, mean_K - mean_D @ coefficient_ADK)


def fit_dual(x_ND: Floats, y_NK: Floats, class_N: Ints, alphas: Sequence[float], classes: int, size_D: Floats) -> Fit:
    """Fit on rows, by products of rows; the same solution, for fewer rows than features."""
    weight_N = weights_of(np.bincount(class_N, minlength=max(classes, 1)).astype(np.float64), classes)[class_N]
    weight = float(weight_N.sum())
    mean_D, mean_K = weight_N @ x_ND / weight, weight_N @ y_NK / weight
    centred_ND = x_ND - mean_D
    scale_D = _scale(weight_N @ centred_ND**2 / weight, size_D)
    root_N1 = np.sqrt(weight_N)[:, None]
    z_ND = centred_ND * scale_D * root_N1
    values_N, vectors_NN = np.linalg.eigh(z_ND @ z_ND.T)
    inner_NK = vectors_NN.T @ ((y_NK - mean_K) * root_N1)
    shrunk_ANK = inner_NK / (np.maximum(values_N, 0)[:, None] + weight * np.asarray(alphas)[:, None, None])
    coefficient_ADK = scale_D[:, None] * (z_ND.T @ (vectors_NN @ shrunk_ANK))
    return Fit(coefficient_ADK, mean_K - mean_D @ coefficient_ADK)


def _scale(variance_D: Floats, size_D: Floats) -> Floats:
    """One over the deviation; 0 for channels that do not vary, which then take no part."""
    deviation_D = np.sqrt(np.maximum(variance_D, 0))
    alive_D = deviation_D > _DEAD * size_D
    return np.where(alive_D, 1 / np.where(alive_D, deviation_D, 1), 0.0)

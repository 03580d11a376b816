"""Nested cross-validation by video: every row is predicted once, by a fit that saw neither its video nor its fold.

For fold i the penalty is chosen by fits that leave out i and one more fold j, and are scored on j: what is tested never
takes part in a choice. A fit without i and j serves twice, so P folds cost P (P - 1) / 2 paths and P fits.

Shapes: N rows, D features, K targets, A penalties, P folds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from dit_lens_probes.linear.folds import Task
from dit_lens_probes.linear.logistic import fit_logistic
from dit_lens_probes.linear.ridge import Fit, blocks_of, fit_dual, fit_primal, targets_of

__all__ = ["Predicted", "merit", "predict_held_out"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Fitter = Callable[[Sequence[int], Sequence[float]], Fit]


@dataclass(frozen=True)
class Predicted:
    """Predictions for rows that were held out.

    Attributes
    ----------
    value_N : numpy.ndarray of float64
        The number of the class, or the number; NaN for rows without a label.
    base_N : numpy.ndarray of float64
        The mean of the training labels, which a number's prediction is compared with.
    alphas : tuple of float
        Chosen in each fold.
    """

    value_N: Floats
    base_N: Floats
    alphas: tuple[float, ...]


def predict_held_out(x_ND: Floats, task: Task, alphas: Sequence[float], model: str) -> Predicted:
    """Predict every labelled row from the videos of other folds.

    Parameters
    ----------
    x_ND : numpy.ndarray
    task : Task
    alphas : sequence of float
        In rising order.
    model : {"ridge", "logistic"}

    Returns
    -------
    Predicted
    """
    known_N = ~np.isnan(task.code_N)
    x, code, fold = x_ND[known_N], task.code_N[known_N], task.fold_N[known_N]
    folds = np.unique(fold).tolist()
    fitter = _fitter(x, code, fold, len(task.classes), model)
    chosen = _choose(x, code, fold, folds, fitter, alphas, len(task.classes))
    value_N, base_N = np.full((2, len(known_N)), np.nan)
    values, bases = np.empty((2, len(code)))
    for at, held in enumerate(folds):
        fit = fitter([other for other in folds if other != held], [chosen[at]])
        values[fold == held] = _read(fit.predict(x[fold == held]), len(task.classes))[0]
        bases[fold == held] = code[fold != held].mean()
    value_N[known_N], base_N[known_N] = values, bases
    return Predicted(value_N, base_N, tuple(chosen))


def merit(code_N: Floats, value_AN: Floats, classes: int) -> Floats:
    """What penalties are chosen by, for each of them: balanced accuracy, or minus the squared error of numbers.

    Examples
    --------
    >>> merit(np.array([0.0, 0.0, 1.0]), np.array([[0.0, 0.0, 0.0]]), 2)
    array([0.5])
    """
    if not classes:
        return -np.asarray(((value_AN - code_N) ** 2).mean(1))
    right_AN = value_AN == code_N
    return np.asarray(np.mean([right_AN[:, code_N == one].mean(1) for one in np.unique(code_N)], axis=0))


def _choose(
    x: Floats, code: Floats, fold: Ints, folds: list[int], fitter: Fitter, alphas: Sequence[float], classes: int
) -> list[float]:
    inner: dict[int, list[tuple[Floats, Floats]]] = {held: [] for held in folds}
    for pair in combinations(folds, 2):
        fit = fitter([other for other in folds if other not in pair], alphas)
        for held, scored in (pair, pair[::-1]):
            rows = fold == scored
            inner[held].append((code[rows], _read(fit.predict(x[rows]), classes)))
    return [_best(inner[held], alphas, classes) for held in folds]


def _best(parts: Sequence[tuple[Floats, Floats]], alphas: Sequence[float], classes: int) -> float:
    """The best penalty; of several that are as good, the strongest."""
    merits = merit(np.concatenate([code for code, _ in parts]), np.concatenate([v for _, v in parts], 1), classes)
    return float(alphas[int(np.flatnonzero(merits >= merits.max() - 1e-12)[-1])])


def _read(predicted_ANK: Floats, classes: int) -> Floats:
    """The class with the highest score, or the number."""
    return predicted_ANK.argmax(-1).astype(np.float64) if classes else predicted_ANK[..., 0]


def _fitter(x: Floats, code: Floats, fold: Ints, classes: int, model: str) -> Fitter:
    """What fits on some folds: by sums over blocks, or by rows where these are fewer than features."""
    moved_D, size_D = x.mean(0), np.sqrt((x**2).mean(0))  # any fixed row would do
    rows, y = x - moved_D, targets_of(code, classes)
    kind = code.astype(np.intp) if classes else np.zeros(len(code), dtype=np.intp)
    folds = np.unique(fold).tolist()
    blocks = None
    if model == "ridge" and len(x) > x.shape[1]:
        blocks = blocks_of(rows, y, kind, np.searchsorted(folds, fold), len(folds), classes)

    def fit(train: Sequence[int], alphas: Sequence[float]) -> Fit:
        if blocks is not None:
            found = fit_primal(blocks, [folds.index(one) for one in train], alphas, classes, size_D)
            return _moved(found, moved_D)
        at = np.isin(fold, list(train))
        if model == "logistic":
            return _moved(fit_logistic(rows[at], kind[at], alphas, classes, size_D), moved_D)
        return _moved(fit_dual(rows[at], y[at], kind[at], alphas, classes, size_D), moved_D)

    return fit


def _moved(fit: Fit, moved_D: Floats) -> Fit:
    return Fit(fit.coefficient_ADK, fit.intercept_AK - moved_D @ fit.coefficient_ADK)

"""Logistic regression by scikit-learn, in the units of the ridge: same rows, same weights, same penalties.

The penalty is in units of the summed weight of the training rows, ``C = 1 / (alpha * rows)``, and classes weigh the
same. A fit that has not converged after the given rounds counts: it is a little more regular than it should be, and no
reason to stop a map of hundreds of fits.

Shapes: N rows, D features, A penalties, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dit_lens_probes.linear.ridge import Fit

__all__ = ["fit_logistic"]

_ROUNDS = 1000
_DEAD = 1e-6

Floats = npt.NDArray[np.float64]


def fit_logistic(
    x_ND: Floats, class_N: npt.NDArray[np.intp], alphas: Sequence[float], classes: int, size_D: Floats
) -> Fit:
    """Fit on rows, for each penalty.

    Examples
    --------
    >>> x = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    >>> fit = fit_logistic(x, np.array([0, 0, 1, 1]), [0.1], 2, np.ones(1))
    >>> fit.predict(x).argmax(-1).tolist()
    [[0, 0, 1, 1]]
    """
    mean_D, deviation_D = x_ND.mean(0), x_ND.std(0)
    alive_D = deviation_D > _DEAD * size_D
    scale_D = np.where(alive_D, 1 / np.where(alive_D, deviation_D, 1), 0.0)
    held = np.unique(class_N)
    coefficient_ADK = np.zeros((len(alphas), x_ND.shape[1], classes))
    intercept_AK = np.full((len(alphas), classes), -np.inf)  # a class that was not there is never chosen
    if len(held) == 1:
        intercept_AK[:, held] = 0.0
        return Fit(coefficient_ADK, intercept_AK)
    for at, alpha in enumerate(alphas):
        weights_KD, offsets_K = _solve((x_ND - mean_D) * scale_D, class_N, 1 / (alpha * len(x_ND)))
        coefficient_ADK[at][:, held] = (weights_KD * scale_D).T
        intercept_AK[at, held] = offsets_K - mean_D @ coefficient_ADK[at][:, held]
    return Fit(coefficient_ADK, intercept_AK)


def _solve(z_ND: Floats, class_N: npt.NDArray[np.intp], strength: float) -> tuple[Floats, Floats]:
    """Weights and offsets of the classes that are there; of two, the first has none."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_ROUNDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(z_ND, class_N)
    weights, offsets = model.coef_, model.intercept_
    if len(weights) == 1:
        return np.concatenate([0 * weights, weights]), np.concatenate([0 * offsets, offsets])
    return weights, offsets

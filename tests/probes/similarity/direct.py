"""The formulas written out by hand, in double precision, from the papers; nothing of the package is used."""

from __future__ import annotations

import numpy as np


def hsic_song(k, m):
    """Song et al. 2012, equation 5, of uncentred kernels."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    whole = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k.sum(0) @ m.sum(0))
    return ((k * m).sum() + whole) / (n * (n - 3))


def hsic_gretton(k, m):
    """Gretton et al. 2005: the trace of KHLH."""
    n = len(k)
    h = np.eye(n) - 1 / n
    return np.trace(k @ h @ m @ h) / (n - 1) ** 2


def kernel(rows):
    """Linear, of rows shifted by their mean: both forms are the same for any shift, and in float64 that is exact."""
    rows = np.asarray(rows, dtype=np.float64)
    rows = rows - rows.mean(0)
    return rows @ rows.T


def cka_of(grams, others, hsic):
    """From kernels of minibatches: averages first, then the ratio."""
    cross, left, right = (
        np.mean([hsic(a, b) for a, b in zip(x, y, strict=True)])
        for x, y in ((grams, others), (grams, grams), (others, others))
    )
    return cross / np.sqrt(left * right)


def cka_direct(x, y, estimator="debiased", batches=None):
    hsic = {"debiased": hsic_song, "biased": hsic_gretton}[estimator]
    x, y = (np.asarray(rows, dtype=np.float64) for rows in (x, y))
    batches = [np.arange(len(x))] if batches is None else batches
    return cka_of([kernel(x[some]) for some in batches], [kernel(y[some]) for some in batches], hsic)

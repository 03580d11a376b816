"""From moments to components: directions, the variance that they explain, and a sign that is always the same.

A principal component has no sign of its own. Here the loading that is largest in absolute value is positive (the first
of them if several are), so a figure does not flip from one machine to the next. Where two components explain nearly the
same variance, their plane is meant and not the two: ``gap`` says how far apart they are.

Shapes: D features, K components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dit_lens_probes.pca.moments import Moments

__all__ = ["Components", "components_of", "explained_by"]

Floats = npt.NDArray[np.float64]
_FLAT = 1e-12  # of the mean square: below it, variance is rounding


@dataclass(frozen=True)
class Components:
    """The first components of a representation.

    Attributes
    ----------
    vector_KD : numpy.ndarray of float64
        Of unit length, in falling order of variance; on standardised channels if these were asked for.
    explained_K : numpy.ndarray of float64
        Shares of the variance.
    gap_K : numpy.ndarray of float64
        How much less the next one explains, as a share of this one: near 0, the two may be turned into each other.
    total : float
        Variance of all channels together.
    dimensions : float
        Participation ratio: 1 if one direction has all variance, D if all have the same.
    center_D, scale_D : numpy.ndarray of float64
        What is taken off, and what it is divided by, before the projection.
    """

    vector_KD: Floats
    explained_K: Floats
    gap_K: Floats
    total: float
    dimensions: float
    center_D: Floats
    scale_D: Floats

    def project(self, x_ND: npt.NDArray[np.floating]) -> Floats:
        """Scores of rows, float64 (N, K)."""
        return np.asarray(((x_ND.astype(np.float64) - self.center_D) / self.scale_D) @ self.vector_KD.T)


def components_of(moments: Moments, count: int, standardise: bool = False) -> Components | None:
    """The first ``count`` components, or None if nothing varies.

    Parameters
    ----------
    moments : Moments
    count : int
        At most as many as there are features.
    standardise : bool
        Divide every channel by its deviation first, so that a massive channel is one among many.

    Examples
    --------
    >>> from dit_lens_probes.pca.moments import moments_of
    >>> found = components_of(moments_of(np.array([[0.0, 0.0], [-3.0, -1.0], [3.0, 1.0]])), 1)
    >>> found.vector_KD.round(3).tolist(), found.explained_K.round(3).tolist()
    ([[0.949, 0.316]], [1.0])
    """
    covariance_DD = moments.covariance
    variance_D = np.diag(covariance_DD)
    if not np.isfinite(covariance_DD).all() or variance_D.sum() <= _FLAT * (moments.mean_D**2).sum():
        return None
    scale_D = (
        np.where(variance_D > 0, np.sqrt(np.maximum(variance_D, 0)), 1.0) if standardise else np.ones_like(variance_D)
    )
    values_D, vectors_DD = np.linalg.eigh(covariance_DD / scale_D / scale_D[:, None])
    values_D, vectors_DD = np.maximum(values_D[::-1], 0), vectors_DD[:, ::-1].T
    total = float(values_D.sum())
    following = np.append(values_D, 0.0)[1 : count + 1]
    kept = values_D[:count]
    gap_K = np.where(kept > 0, (kept - following) / np.where(kept > 0, kept, 1), 0.0)
    return Components(
        _signed(vectors_DD[:count]),
        kept / total,
        gap_K,
        float(variance_D.sum()),
        total**2 / float((values_D**2).sum()),
        moments.mean_D,
        scale_D,
    )


def explained_by(components: Components, moments: Moments) -> Floats:
    """Which share of the variance of other rows these components explain, one after another: float64 (K).

    Examples
    --------
    >>> from dit_lens_probes.pca.moments import moments_of
    >>> rows = moments_of(np.array([[0.0, 0.0], [-3.0, -1.0], [3.0, 1.0]]))
    >>> explained_by(components_of(rows, 1), rows).round(6).tolist()
    [1.0]
    """
    scaled_DD = moments.covariance / components.scale_D / components.scale_D[:, None]
    along_K = np.einsum("kd,de,ke->k", components.vector_KD, scaled_DD, components.vector_KD)
    total = float(np.trace(scaled_DD))
    return along_K / total if total > 0 else np.full_like(along_K, np.nan)


def _signed(vector_KD: Floats) -> Floats:
    """The loading of largest size is positive; of several that are as large, the first."""
    size_KD = np.abs(vector_KD)
    largest = (size_KD >= size_KD.max(1, keepdims=True) * (1 - 1e-9)).argmax(1)
    signs = np.sign(vector_KD[np.arange(len(vector_KD)), largest])
    return vector_KD * np.where(signs == 0, 1, signs)[:, None]

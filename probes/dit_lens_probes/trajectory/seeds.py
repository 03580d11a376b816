"""What the seeds of one question agree on at a step, and whether that foretells how the question ends.

Disagreement needs no scorer: it is the spread of the clean latents over the seeds. The entropy of the answers that the
scorer reads is its counterpart in words. A predictor is held against the verdict of many questions by the area under
its ROC curve: 1/2 is chance, and above it what is large comes with failure.

Shapes: N seeds, P places of a latent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Roc", "answer_entropy", "disagreement", "roc", "sketch"]

Numbers = npt.NDArray[np.float32] | npt.NDArray[np.float64]
PLACES_AT_MOST = 8192


class Roc(NamedTuple):
    """How well a number tells questions apart.

    Attributes
    ----------
    auc : float
        NaN if it cannot be told; then ``reason`` says why.
    false_rates, true_rates : tuple of float
        The curve; empty without one.
    questions : int
        How many it is from.
    reason : str
    """

    auc: float
    false_rates: tuple[float, ...]
    true_rates: tuple[float, ...]
    questions: int
    reason: str


def sketch(x: Numbers, places: int = PLACES_AT_MOST) -> npt.NDArray[np.float32]:
    """At most ``places`` values of a latent, evenly spread, so that many seeds can be kept; all of them if they fit.

    Examples
    --------
    >>> sketch(np.arange(9.0), places=3)
    array([0., 4., 8.], dtype=float32)
    """
    flat = np.asarray(x).reshape(-1)
    if flat.size <= places:
        return flat.astype(np.float32)
    return flat[np.linspace(0, flat.size - 1, places).round().astype(np.int64)].astype(np.float32)


def disagreement(x_NP: Numbers) -> float:
    """Standard deviation over seeds, its square (unbiased) averaged over places; NaN for one seed.

    Examples
    --------
    >>> disagreement(np.array([[0.0, 1.0], [2.0, 1.0]]))
    1.0
    """
    if len(x_NP) < 2:
        return float("nan")
    return float(np.sqrt(np.var(np.asarray(x_NP, dtype=np.float64), axis=0, ddof=1).mean()))


def answer_entropy(answers: Sequence[str | None]) -> float:
    """Entropy in bits of the answers of several seeds; no answer is one as well. NaN for one seed.

    Examples
    --------
    >>> answer_entropy(["a", "b", "a", "b"]), answer_entropy([None, None])
    (1.0, 0.0)
    """
    if len(answers) < 2:
        return float("nan")
    shares = np.array(list(Counter(answers).values())) / len(answers)
    return float(abs((shares * np.log2(shares)).sum()))


def roc(predictor: Sequence[float], failed: Sequence[bool]) -> Roc:
    """Area under the ROC curve of a number that should be large where a question fails.

    Parameters
    ----------
    predictor : sequence of float
        One for each question; those that are NaN are left out.
    failed : sequence of bool

    Returns
    -------
    Roc

    Examples
    --------
    >>> roc([0.1, 0.2, 0.9], [False, False, True]).auc
    1.0
    >>> roc([0.1, 0.2], [True, True]).reason
    'all 2 questions failed'
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    known = [(float(value), bool(bad)) for value, bad in zip(predictor, failed, strict=True) if np.isfinite(value)]
    values, bad = [value for value, _ in known], [bad for _, bad in known]
    if reason := _no_roc(bad):
        return Roc(float("nan"), (), (), len(known), reason)
    false_rates, true_rates, _ = roc_curve(bad, values)
    curve = (tuple(map(float, false_rates)), tuple(map(float, true_rates)))
    return Roc(float(roc_auc_score(bad, values)), *curve, len(known), "")


def _no_roc(failed: Sequence[bool]) -> str:
    if not failed:
        return "no question has a predictor and a verdict"
    if len(set(failed)) == 1:
        return f"all {len(failed)} questions {'failed' if failed[0] else 'were solved'}"
    return ""

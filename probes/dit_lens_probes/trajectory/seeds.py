"""What the seeds of one question agree on at a step.

Disagreement needs no scorer: it is the spread of the clean latents over the seeds. The entropy of the answers that the
scorer reads is its counterpart in words.

Shapes: N seeds, P places of a latent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["answer_entropy", "disagreement", "sketch"]

Numbers = npt.NDArray[np.float32] | npt.NDArray[np.float64]
PLACES_AT_MOST = 8192


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

"""How far a swap moved an estimate of the clean latent towards the donor's.

``effect`` is the projection of what changed on the way from the own estimate to the donor's, in units of that way: 0 is
no change in its direction, 1 is all the way. ``moved`` is the length of the change in the same units, whatever its
direction: noise may move far and come nowhere near.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["effect_and_moved"]

Values = npt.NDArray[np.float64]


def effect_and_moved(own: Values, donor: Values, patched: Values) -> tuple[float, float]:
    """Both measures; NaN where the two estimates are one.

    Examples
    --------
    >>> own, donor = np.array([0.0, 0.0]), np.array([2.0, 0.0])
    >>> effect_and_moved(own, donor, np.array([1.0, 0.0])), effect_and_moved(own, donor, np.array([0.0, 4.0]))
    ((0.5, 0.5), (0.0, 2.0))
    """
    way, change = donor - own, patched - own
    length = float((way * way).sum())
    if length == 0:
        return float("nan"), float("nan")
    return float((change * way).sum()) / length, float(np.sqrt((change * change).sum() / length))

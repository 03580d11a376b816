"""What is written and marked along an axis of steps, whatever is drawn over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["switches", "tick_texts"]

_TICKS_AT_MOST = 12


def tick_texts(
    steps: npt.NDArray[np.int64], sigmas: npt.NDArray[np.float64] | None, most: int = _TICKS_AT_MOST
) -> tuple[list[int], list[str]]:
    r"""At most ``most`` places among the steps, and what is written there.

    Examples
    --------
    >>> tick_texts(np.array([0, 4]), np.array([1.0, 0.25]))
    ([0, 1], ['0\n1.00', '4\n0.25'])
    """
    stride = -(-len(steps) // most)
    shown = list(range(0, len(steps), stride))
    return shown, [f"{steps[at]}" + ("" if sigmas is None else f"\n{sigmas[at]:.2f}") for at in shown]


def switches(experts: Sequence[str] | npt.NDArray[np.object_]) -> list[int]:
    """The places before which another expert runs than at the place before.

    Examples
    --------
    >>> switches(np.array(["a", "a", "b"], dtype=object))
    [2]
    """
    return [at for at in range(1, len(experts)) if experts[at] != experts[at - 1]]

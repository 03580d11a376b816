"""How unlike the geometry of a run's activations is to that of the clean run: 1 - CKA, debiased.

Unlike a relative distance, it does not see a shift, a scale or a rotation that all tokens share. It is exact up to
some thousand tokens, and of minibatches of permuted tokens beyond, the same ones for every pair.

Shapes: F frames, N tokens of a frame, C channels.
"""

from __future__ import annotations

import torch

from dit_lens_probes.similarity import choose_batch, cka

__all__ = ["cka_distance"]

_KEEP = 16 * 2**20


def cka_distance(values_FNC: torch.Tensor, clean_FNC: torch.Tensor) -> float:
    """1 - CKA of two events; 0 of equal ones, NaN where there is nothing to compare.

    Examples
    --------
    >>> rows = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    >>> abs(cka_distance(3 * rows + 1, rows)) < 1e-6, cka_distance(rows, torch.ones(2, 30, 4))
    (True, nan)
    """
    values_NC, clean_NC = (event.flatten(0, -2) for event in (values_FNC, clean_FNC))
    minibatch = choose_batch(values_NC.shape[0], _KEEP)
    return 1 - cka(values_NC, clean_NC, minibatch=minibatch)

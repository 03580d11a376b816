"""Minibatches of tokens, drawn from one permutation of all of them, the same for every representation.

Neighbours are alike: the tokens of a frame share what centring then takes away, so a frame, or any run of tokens, is
the natural minibatch and the wrong one. A permutation makes each minibatch a fair sample of the tokens that are there.
Minibatches inside frames are offered too, under their own name, because they answer another question.

Shapes: N tokens, M minibatches, B tokens in each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dit_lens.engine.draws import permutation
from dit_lens.probing import BadParams

__all__ = ["LEAST", "choose_batch", "frame_batches", "kept_bytes", "token_batches"]

LEAST = 4
"""Tokens of a minibatch below which a debiased estimate does not exist."""
_USEFUL = 16
_FLOAT = 4

Numbers = npt.NDArray[np.int64]


def token_batches(tokens: int, size: int | None = None, seed: int = 0) -> Numbers:
    """Cut all tokens, permuted, into minibatches of one size.

    Parameters
    ----------
    tokens : int
    size : int, optional
        Tokens in a minibatch at most; by default one minibatch of all tokens, in their own order.
    seed : int
        Of the permutation.

    Returns
    -------
    numpy.ndarray of int, shape (M, B)
        B is made a little smaller where that leaves fewer tokens out: always less than M.

    Raises
    ------
    BadParams
        If a minibatch has fewer than four tokens.

    Examples
    --------
    >>> token_batches(10, 5).shape, token_batches(10, 4).shape, token_batches(10).tolist()[0][:3]
    ((2, 5), (2, 4), [0, 1, 2])
    """
    if size is not None and size < LEAST:
        raise BadParams(
            f"minibatches of tokens cannot be that small; got {size}, allowed {LEAST} or more; set a larger minibatch"
        )
    count, own = _cut(tokens, size)
    if count == 1:
        return np.arange(tokens, dtype=np.int64)[None]
    return permutation(seed, tokens)[: count * own].reshape(count, own)


def frame_batches(frames: int, tokens: int, size: int | None = None, seed: int = 0) -> Numbers:
    """Minibatches inside frames, permuted alike: what frames have in them, not what tells them apart.

    Parameters
    ----------
    frames, tokens : int
        Frames, and tokens in each; row numbers run over frames first.
    size, seed : int

    Returns
    -------
    numpy.ndarray of int, shape (M, B)

    Examples
    --------
    >>> frame_batches(2, 4).tolist()
    [[0, 1, 2, 3], [4, 5, 6, 7]]
    """
    inside_MB = token_batches(tokens, size, seed)
    starts = np.arange(frames, dtype=np.int64) * tokens
    return (starts[:, None, None] + inside_MB).reshape(-1, inside_MB.shape[1])


def choose_batch(tokens: int, keep: int) -> int | None:
    """The largest minibatch whose packed Gram matrices fit in so many bytes; None for one exact Gram matrix.

    Parameters
    ----------
    tokens : int
    keep : int
        Bytes.

    Returns
    -------
    int or None

    Raises
    ------
    BadParams
        If not even minibatches of 16 tokens fit.

    Examples
    --------
    >>> choose_batch(320, 4 * 2**20), choose_batch(32760, 4 * 2**20)
    (None, 65)
    """
    if kept_bytes(tokens, None) <= keep:
        return None
    size = keep // (_FLOAT // 2 * tokens) + 1
    if size < _USEFUL:
        raise BadParams(
            f"the Gram matrices of {tokens} tokens do not fit; got room for minibatches of {size} in {keep} bytes, "
            f"allowed {_USEFUL} or more; keep {2 * _USEFUL * tokens} bytes or more for each representation"
        )
    return size


def kept_bytes(tokens: int, size: int | None) -> int:
    """Bytes of the packed Gram matrices of one representation, to within its diagonals.

    Examples
    --------
    >>> kept_bytes(1000, None), kept_bytes(1000, 100)
    (1998000, 198000)
    """
    count, own = _cut(tokens, size)
    return count * own * (own - 1) // 2 * _FLOAT


def _cut(tokens: int, size: int | None) -> tuple[int, int]:
    """Minibatches, and tokens in each: as many as asked for at most, and as few left out as that allows."""
    if size is None or size >= tokens:
        return 1, tokens
    count = -(-tokens // size)
    return (count, tokens // count) if tokens // count >= LEAST else (tokens // size, size)

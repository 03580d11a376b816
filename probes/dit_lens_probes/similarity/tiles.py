"""Exact CKA of all pairs of representations, tile by tile of their Gram matrices, for any number of tokens.

Centring a Gram matrix K takes a number from each row and from each column, and both can be known beforehand: with s the
sum of all rows x, the entries of row i sum to ``x_i s``, without the diagonal to ``x_i s - x_i x_i``. So the entries of
the centred matrix are ``x_i x_j + h_i + h_j``: one product of rows with two more columns, and no pass over the tile.
The pairs are then the products of the tiles as vectors. What is held beside one centred copy of the representations is
a tile of each, and what it is made from; both stay where they are, because new memory costs as much as a good part of a
product. Gram matrices are symmetric: tiles above the diagonal count twice,
and of one on the diagonal only three quarters are made.

Shapes: R representations, N tokens, C channels (the most that any has), B rows of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import torch

from dit_lens.engine.precision import full_precision
from dit_lens_probes.similarity.grams import Estimator, check_estimator, least_length
from dit_lens_probes.similarity.pairs import same_tokens
from dit_lens_probes.similarity.rows import Normalise, Rows, as_rows, prepare_rows

__all__ = ["cka_matrix", "tile_flops"]

TILE_BYTES = 24 * 2**20
_LEAST, _MOST = 64, 1024
_EXTRA = 2
_TERMS = 8192  # of a sum in float32: enough blocks of a tile for every core


def cka_matrix(
    representations: Sequence[Rows],
    estimator: Estimator = "debiased",
    normalise: Normalise = "none",
    tile: int | None = None,
) -> torch.Tensor:
    """Exact linear CKA of all pairs.

    Parameters
    ----------
    representations : sequence of torch.Tensor or numpy.ndarray
        Tokens by channels, of the same tokens; channels may differ.
    estimator : {"debiased", "biased"}
    normalise : {"none", "token_ln", "channel_z", "drop_first"}
    tile : int, optional
        Rows and columns of a tile; chosen so that the tiles of all representations take 24 MiB, which a cache may hold.

    Returns
    -------
    torch.Tensor of float64, shape (R, R)
        NaN in the row and column of a representation of which nothing can be said. Never clipped.

    Raises
    ------
    BadParams
        If the rows are not the same tokens, or an option is unknown.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> found = cka_matrix([torch.randn(300, size, generator=draw) for size in (4, 40)])
    >>> found.diagonal().round(decimals=6).tolist(), bool(abs(found[0, 1]) < 0.05)
    ([1.0, 1.0], True)
    """
    check_estimator(estimator)
    given = [as_rows(rows) for rows in representations]
    same_tokens(given)
    rows_RNC, least_R = _stacked(given, normalise, estimator)
    sums_RR = _sums(rows_RNC, estimator, tile or _tile(*rows_RNC.shape[:2]))
    lengths_R = sums_RR.diagonal().sqrt()
    lengths_R = torch.where(lengths_R > least_R, lengths_R, torch.nan)
    return sums_RR / lengths_R[:, None] / lengths_R[None]


def tile_flops(representations: int, tokens: int, channels: int, tile: int | None = None) -> int:
    """Operations of the products that ``cka_matrix`` makes, for comparing its speed with a bare product.

    Examples
    --------
    >>> tile_flops(60, 2048, 512) / 1e9 < 200
    True
    """
    starts = range(0, tokens, tile or _tile(representations, tokens))
    blocks = (block for start in starts for block in _blocks(start, min(start + starts.step, tokens), starts.step))
    cells: int = sum((left.stop - left.start) * (right.stop - right.start) for left, right in blocks)
    return 2 * cells * representations * (channels + _EXTRA + representations)


def _tile(representations: int, tokens: int) -> int:
    size = int((TILE_BYTES / 4 / representations) ** 0.5)
    return min(tokens, max(_LEAST, min(_MOST, size // _LEAST * _LEAST)))


def _stacked(
    given: Sequence[torch.Tensor], normalise: Normalise, estimator: Estimator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centred rows, zeros where others have more channels, margins and ones at the end; and what each must exceed."""
    tokens, channels = given[0].shape[0], max(rows.shape[1] for rows in given)
    out_RNC = _room((len(given), tokens, channels + _EXTRA), given[0].device)
    least_R = torch.full((len(given),), torch.inf, dtype=torch.float64, device=given[0].device)
    for index, rows_NC in enumerate(given):
        out_RNC[index, :, rows_NC.shape[1] :] = 0
        ready_NC, facts = prepare_rows(rows_NC, normalise, out_NC=out_RNC[index, :, : rows_NC.shape[1]])
        if not facts.reason:
            squares_N = torch.linalg.vector_norm(ready_NC, dim=1).double().square()
            least_R[index] = least_length(squares_N)
            out_RNC[index, :, -2], out_RNC[index, :, -1] = _margins(ready_NC, squares_N, estimator), 1
    return out_RNC, least_R


def _sums(rows_RNC: torch.Tensor, estimator: Estimator, tile: int) -> torch.Tensor:
    count, tokens, columns = rows_RNC.shape
    sums_RR = torch.zeros((count, count), dtype=torch.float64, device=rows_RNC.device)
    turned = _room((count * min(tile, tokens) * columns,), rows_RNC.device)
    made = _room((count * min(tile, tokens) ** 2,), rows_RNC.device)
    with full_precision(rows_RNC.device.type):
        for start in range(0, tokens, tile):
            turned_RBC = _turned(rows_RNC[:, start : start + tile], turned)
            for left, right in _blocks(start, min(start + tile, tokens), tile):
                left_RBC, right_RBC = rows_RNC[:, left], turned_RBC[:, right.start - start : right.stop - start]
                tile_RBB = _part(made, (count, left_RBC.shape[1], right_RBC.shape[1]))
                torch.bmm(left_RBC, right_RBC.mT, out=tile_RBB)
                if left == right and estimator == "debiased":
                    tile_RBB.diagonal(dim1=1, dim2=2).zero_()
                sums_RR += _products(tile_RBB.flatten(1)) * (1 if left == right else 2)
    return sums_RR


def _blocks(start: int, stop: int, tile: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of what lies above these columns, or is on the diagonal: there in quarters, one left out."""
    for other in range(0, start, tile):
        yield slice(other, other + tile), slice(start, stop)
    middle = (start + stop + 1) // 2
    yield slice(start, middle), slice(start, middle)
    if middle < stop:
        yield slice(start, middle), slice(middle, stop)
        yield slice(middle, stop), slice(middle, stop)


def _margins(rows_NC: torch.Tensor, squares_N: torch.Tensor, estimator: Estimator) -> torch.Tensor:
    """What is added to the rows and to the columns of the Gram matrix of these rows to centre it."""
    tokens, whole_C = rows_NC.shape[0], rows_NC.sum(0)
    sums_N = rows_NC @ whole_C
    if estimator == "biased":
        margins_N: torch.Tensor = sums_N.double().mean() / (2 * tokens) - sums_N.double() / tokens
        return margins_N
    open_N = sums_N.double() - squares_N
    return open_N.sum() / (2 * (tokens - 1) * (tokens - 2)) - open_N / (tokens - 2)


def _turned(rows_RBC: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
    """The two columns at the end in the other order, so that each meets the other's ones."""
    turned_RBC = _part(room, rows_RBC.shape).copy_(rows_RBC)
    turned_RBC[..., -2:] = rows_RBC[..., -2:].flip(-1)
    return turned_RBC


def _room(shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """New memory: numpy asks the system for large pages, whose first use takes a sixth of the time."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, dtype=np.float32))
    return torch.empty(shape, device=device)


def _part(room: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The beginning of some memory in a shape."""
    return room[: prod(shape)].view(*shape)


def _products(flat_RP: torch.Tensor) -> torch.Tensor:
    """All pairs of a tile: whole blocks as one batch, and what is left."""
    count, length = flat_RP.shape
    whole = length // _TERMS * _TERMS
    blocks_KRP = flat_RP[:, :whole].reshape(count, -1, _TERMS).transpose(0, 1)
    out_RR = (blocks_KRP @ blocks_KRP.mT).double().sum(0)
    rest_RP = flat_RP[:, whole:]
    return out_RR + (rest_RP @ rest_RP.T).double()

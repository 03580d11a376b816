"""From the chunk of one step to what the measure keeps of each representation in it.

Shapes: F frames, T tokens of a frame, N tokens in all, C channels, M minibatches, B tokens in each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from dit_lens.probing import BadParams
from dit_lens_probes.cka.params import GRAMS
from dit_lens_probes.cka.state import Piece, Pieces, grid_of, steps_of
from dit_lens_probes.similarity import (
    Facts,
    Sketch,
    choose_batch,
    frame_batches,
    kind_of,
    prepare_rows,
    token_batches,
)
from dit_lens_probes.similarity.batches import LEAST
from dit_lens_probes.similarity.grams import least_length
from dit_lens_probes.similarity.kinds import GramKind

if TYPE_CHECKING:
    from dit_lens_probes.cka.params import CkaParams

__all__ = ["cut_of", "read_chunk"]


def read_chunk(chunk: xr.Dataset, params: CkaParams) -> Pieces:
    """Reduce every representation of a chunk.

    Parameters
    ----------
    chunk : xarray.Dataset
    params : CkaParams

    Returns
    -------
    Pieces
    """
    (capture,) = params.captures()
    array, trace = chunk[capture.array], str(chunk.attrs["trace_id"])
    order = [dim for dim in capture.dims if dim in array.dims]
    values = array.transpose(*order).values
    sizes = values.shape[3:5]
    batches = None if params.from_grams else cut_of(params, *sizes)
    found = {}
    for branch, step, layer in np.ndindex(*values.shape[:3]):
        address = (trace, *(_label(array, dim, at) for dim, at in zip(order, (branch, step, layer), strict=False)))
        one = values[branch, step, layer]
        found[address] = _of_grams(one, array, params) if batches is None else _of_rows(one, batches, params)
    grid = {trace: grid_of(chunk, array, params.other_model)}
    return Pieces(found, grid, steps_of(trace, chunk))  # type: ignore[arg-type]


def cut_of(params: CkaParams, frames: int, tokens: int) -> npt.NDArray[np.int64]:
    """The minibatches of a grid: from its size and the parameters alone, so that every chunk has the same."""
    size = params.minibatch
    if params.within_frame:
        if size is None:
            size = choose_batch(tokens, params.keep_bytes // frames)
        return frame_batches(frames, tokens, size, params.seed)
    if size is None and params.measure in GRAMS:
        size = choose_batch(frames * tokens, params.keep_bytes)
    return token_batches(frames * tokens, size, params.seed)


def _label(array: xr.DataArray, dim: str, at: int) -> int | str:
    label: int | str = array[dim].values[at].item() if array[dim].dtype.kind in "iu" else str(array[dim].values[at])
    return label


def _of_rows(values_FTC: npt.NDArray[np.floating], batches_MB: npt.NDArray[np.int64], params: CkaParams) -> Piece:
    rows_NC, facts = prepare_rows(
        torch.from_numpy(np.ascontiguousarray(values_FTC.reshape(-1, values_FTC.shape[-1]))).to(_device(params)),
        params.normalise,
        LEAST,
    )
    if not facts.reason and batches_MB.shape[1] < LEAST:
        reason = f"too few tokens: {batches_MB.shape[1]} in a minibatch, allowed {LEAST} or more"
        facts = replace(facts, reason=reason)
    if not facts.reason and params.measure == "mutual_knn" and facts.tokens <= params.neighbours:
        reason = f"too few tokens: {facts.tokens}, allowed more than {params.neighbours} neighbours"
        facts = replace(facts, reason=reason)
    if facts.reason:
        return Piece.of(None, facts)
    kind = kind_of(params.measure, params.estimator, params.neighbours)
    sketch = kind.sketch(rows_NC, batches_MB)
    if params.measure in GRAMS and sketch.length <= least_length(torch.linalg.vector_norm(rows_NC, dim=1).square()):
        return _nothing_left(facts)
    return Piece.of(_scaled(sketch, facts.scale**kind.power), facts)


def _of_grams(grams_MBB: npt.NDArray[np.floating], array: xr.DataArray, params: CkaParams) -> Piece:
    """Of Gram matrices, only the share of a token can still be told."""
    tokens, size = int(array.attrs.get("tokens", grams_MBB.shape[0] * grams_MBB.shape[1])), grams_MBB.shape[1]
    facts, squares = Facts(tokens, 0), np.einsum("mii->mi", grams_MBB.astype(np.float64))
    if size < LEAST:
        reason = f"too few tokens: {size} in a minibatch, allowed {LEAST} or more"
        return Piece.of(None, Facts(tokens, 0, reason=reason))
    if not np.isfinite(grams_MBB).all():
        return Piece.of(None, Facts(tokens, 0, reason="not finite: holds NaN or infinity"))
    if not squares.sum() > 0:
        return Piece.of(None, Facts(tokens, 0, reason="constant: all tokens are equal"))
    facts = Facts(tokens, 0, top_token=float(squares.max() / squares.sum()))
    scaled = torch.from_numpy(np.ascontiguousarray(grams_MBB / squares.mean(), dtype=np.float32)).to(_device(params))
    sketch = GramKind(params.estimator).of_grams(scaled)
    if sketch.length <= least_length(torch.from_numpy(squares.ravel() / squares.mean())):
        return _nothing_left(facts)
    return Piece.of(_scaled(sketch, float(squares.mean())), facts)


def _scaled(sketch: Sketch, times: float) -> Sketch:
    """With the length that it has without scaling: what a video weighs among others."""
    return replace(sketch, length=sketch.length * times)


def _nothing_left(facts: Facts) -> Piece:
    reason = "no likeness to itself: all tokens are equally far from each other, to the precision of float32"
    return Piece.of(None, replace(facts, reason=reason))


def _device(params: CkaParams) -> torch.device:
    if params.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(params.device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadParams(
            f"probe 'cka' cannot compute there; got device {params.device!r}, allowed auto, cpu or a device that torch "
            f"finds here; leave cka.device out"
        ) from error
    return device

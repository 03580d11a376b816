"""The result: similarities of every trace, pooled over traces with intervals, and what they are of.

Shapes: U units (traces, or pairs of them), Q pairs of representations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens_probes.cka.cautions import cautions
from dit_lens_probes.cka.compare import Compared, all_pairs, one_by_one
from dit_lens_probes.cka.params import GRAMS
from dit_lens_probes.similarity import Sketch, draw_counts, kind_of, pair_draws, pooled, resampled

if TYPE_CHECKING:
    from dit_lens_probes.cka.params import CkaParams
    from dit_lens_probes.cka.state import Pieces

__all__ = ["assemble"]

_FACTS = {
    "mean_ratio": "length of the mean over the square root of the total variance, as captured",
    "top_token": "largest share of the total variance that one token has",
    "top_channel": "largest share of the total variance that one channel has",
}
_NAMES = {"cka": "CKA", "angular": "CKA", "procrustes": "Procrustes similarity", "mutual_knn": "mutual neighbours"}
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Labels:
    """The labels of everything that was read."""

    trace: list[str]
    branch: list[str]
    step: list[int]
    layer: list[int]

    @property
    def rest(self) -> tuple[int, int]:
        """Steps and layers."""
        return len(self.step), len(self.layer)


@dataclass(frozen=True)
class _Laid:
    """Comparisons with their dimensions: the first is that of the units, which are pooled."""

    dims: tuple[str, ...]
    coords: dict[str, Any]
    compared: Compared
    left: Numbers
    right: Numbers
    weights: Numbers | None
    units: str


def assemble(state: Pieces, params: CkaParams) -> xr.Dataset:
    """Compare what was kept.

    Parameters
    ----------
    state : Pieces
    params : CkaParams

    Returns
    -------
    xarray.Dataset
    """
    labels = _labels(state)
    laid = {"within": _within, "across": _across, "branches": _branches}[params.pairs](state, labels, params)
    result = xr.Dataset(_similarities(laid, params), coords=laid.coords | _along_steps(state, labels, laid.dims))
    result = result.merge(_facts(state, labels)).assign_attrs(_told(state, params, laid))
    return result.assign_attrs(warnings=cautions(result))


def _labels(state: Pieces) -> _Labels:
    traces, branches = ({key[part] for key in state.pieces} for part in (0, 1))
    steps, layers = {key[2] for key in state.pieces}, {key[3] for key in state.pieces}
    return _Labels(sorted(map(str, traces)), sorted(map(str, branches)), sorted(steps), sorted(layers))


def _sketches(state: Pieces, labels: _Labels, trace: str, branch: str) -> list[Sketch | None]:
    """Of one branch of a trace, steps first."""
    keys = [(trace, branch, step, layer) for step in labels.step for layer in labels.layer]
    return [state.pieces[key].sketch if key in state.pieces else None for key in keys]


def _lengths(sketches: Sequence[Sketch | None]) -> Numbers:
    return np.array([np.nan if sketch is None else sketch.length for sketch in sketches])


def _within(state: Pieces, labels: _Labels, params: CkaParams) -> _Laid:
    cells = [[_sketches(state, labels, trace, branch) for branch in labels.branch] for trace in labels.trace]
    kind, shape = kind_of(params.measure, params.estimator, params.neighbours), labels.rest * 2
    found = [all_pairs(kind, one, params.nulls, params.seed) for row in cells for one in row]
    lengths = np.array([[_lengths(one) for one in row] for row in cells])
    front = lengths.shape[:2]
    left = np.broadcast_to(lengths[..., None], (*front, lengths.shape[2], lengths.shape[2])).reshape(*front, *shape)
    right = np.broadcast_to(lengths[..., None, :], left.reshape(*front, lengths.shape[2], -1).shape)
    dims = ("trace", "branch", "step", "layer", "step_b", "layer_b")
    return _Laid(
        dims,
        _coords(labels, *dims),
        _stacked(found).reshaped(*front, *shape),
        left,
        right.reshape(left.shape),
        _draws(len(labels.trace), params),
        "traces",
    )


def _across(state: Pieces, labels: _Labels, params: CkaParams) -> _Laid:
    pairs = [
        (one, other)
        for one, other in combinations(range(len(labels.trace)), 2)
        if params.reference is None or params.reference in (labels.trace[one], labels.trace[other])
    ]
    ends = [[_all_branches(state, labels, labels.trace[pair[side]]) for pair in pairs] for side in (0, 1)]
    dims = ("trace_pair", "branch", "step", "layer")
    names = [[labels.trace[pair[side]] for pair in pairs] for side in (0, 1)]
    coords = {
        "trace_pair": np.array([f"{one} ~ {other}" for one, other in zip(*names, strict=True)], dtype=object),
        "trace_a": ("trace_pair", np.array(names[0], dtype=object)),
        "trace_b": ("trace_pair", np.array(names[1], dtype=object)),
    }
    if params.reference is not None:
        weights = _draws(len(pairs), params)
    else:
        weights = None if len(labels.trace) < 3 else pair_draws(_counts(len(labels.trace), params), pairs)
    return _aligned(dims, coords, labels, ends, params, weights, "pairs of traces")


def _branches(state: Pieces, labels: _Labels, params: CkaParams) -> _Laid:
    pairs = list(combinations(labels.branch, 2))
    ends: list[list[list[Sketch | None]]] = [
        [[each for pair in pairs for each in _sketches(state, labels, trace, pair[side])] for trace in labels.trace]
        for side in (0, 1)
    ]
    dims = ("trace", "branch_pair", "step", "layer")
    coords = {
        "trace": np.array(labels.trace, dtype=object),
        "branch_pair": np.array([" ~ ".join(pair) for pair in pairs], dtype=object),
    }
    return _aligned(dims, coords, labels, ends, params, _draws(len(labels.trace), params), "traces")


def _aligned(
    dims: tuple[str, ...],
    coords: dict[str, Any],
    labels: _Labels,
    ends: list[list[list[Sketch | None]]],
    params: CkaParams,
    weights: Numbers | None,
    units: str,
) -> _Laid:
    kind = kind_of(params.measure, params.estimator, params.neighbours)
    found = [one_by_one(kind, one, other, params.nulls, params.seed) for one, other in zip(*ends, strict=True)]
    shape = (len(found), -1, *labels.rest)
    left, right = (np.array([_lengths(one) for one in side]).reshape(shape) for side in ends)
    coords = coords | _coords(labels, *(dim for dim in dims if dim in ("branch", "step", "layer")))
    return _Laid(dims, coords, _stacked(found).reshaped(*left.shape), left, right, weights, units)


def _all_branches(state: Pieces, labels: _Labels, trace: str) -> list[Sketch | None]:
    return [each for branch in labels.branch for each in _sketches(state, labels, trace, branch)]


def _stacked(found: Sequence[Compared]) -> Compared:
    return Compared(*(np.stack([getattr(one, name) for one in found]) for name in Compared.__dataclass_fields__))


def _counts(units: int, params: CkaParams) -> Numbers:
    return draw_counts(units, params.resamples, params.seed)


def _draws(units: int, params: CkaParams) -> Numbers | None:
    return None if units < 2 else _counts(units, params)


def _coords(labels: _Labels, *dims: str) -> dict[str, Any]:
    known = {dim: getattr(labels, dim.removesuffix("_b")) for dim in dims}
    return {
        dim: np.array(values, dtype=object if isinstance(values[0], str) else None) for dim, values in known.items()
    }


def _similarities(laid: _Laid, params: CkaParams) -> dict[str, Any]:
    name = ("within-frame " if params.within_frame else "") + _NAMES[params.measure]
    compared, flat = laid.compared, (len(laid.left), -1)
    cosines, left, right = (values.reshape(flat) for values in (compared.similarity, laid.left, laid.right))
    whole, rest = pooled(cosines, left, right), compared.similarity.shape[1:]
    low = high = np.full_like(whole, np.nan)
    if laid.weights is not None and len(laid.weights):
        low, high = resampled(cosines, left, right, laid.weights)
    ends = {"pooled": whole, "low": low, "high": high}
    words = {"pooled": f"of all {laid.units}", "low": "2.5 % of resamples", "high": "97.5 % of resamples"}
    found: dict[str, Any] = {"similarity": (laid.dims, compared.similarity, {"long_name": name})}
    found["dissimilarity"] = (laid.dims, _turned(compared.similarity, params), {"long_name": _unlike(name, params)})
    for end, values in ends.items():
        found[f"similarity_{end}"] = (laid.dims[1:], values.reshape(rest), {"long_name": f"{name}, {words[end]}"})
    attrs = {"long_name": f"{_unlike(name, params)}, of all {laid.units}"}
    found["dissimilarity_pooled"] = (laid.dims[1:], _turned(whole, params).reshape(rest), attrs)
    if params.measure in GRAMS:
        words_of_error = "jackknife standard error over groups of minibatches; 0 where exact"
        found["error"] = (laid.dims, compared.error, {"long_name": words_of_error})
    if params.nulls:
        for part in ("null_mean", "null_max", "p"):
            found[part] = (laid.dims, getattr(compared, part), {"long_name": f"{part} of {params.nulls} permutations"})
    return found


def _turned(similarity: Numbers, params: CkaParams) -> Numbers:
    """How far apart. Of a cosine a rounding beyond 1 the arc cosine is 0; of anything else beyond 1 there is none."""
    if params.measure in ("angular", "procrustes"):
        rounded = np.where(np.abs(np.abs(similarity) - 1) < 1e-6, np.sign(similarity), similarity)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.arccos(rounded))
    return 1 - similarity


def _unlike(name: str, params: CkaParams) -> str:
    return f"arccos {name}" if params.measure in ("angular", "procrustes") else f"1 - {name}"


def _along_steps(state: Pieces, labels: _Labels, dims: Sequence[str]) -> dict[str, Any]:
    """Sigma, timestep and expert along every dimension of steps; all traces agree in them."""
    known = {step: dict(facts) for (_, step), facts in sorted(state.steps.items())}
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for facts in known.values() for name in facts):
        values = [known[step].get(name) for step in labels.step]
        array = np.array(values, dtype=object if isinstance(values[0], str) else None)
        found[name] = ("step", array)
        if "step_b" in dims:
            found[f"{name}_b"] = ("step_b", array)
    return found


def _facts(state: Pieces, labels: _Labels) -> xr.Dataset:
    shape = (len(labels.trace), len(labels.branch), *labels.rest)
    dims = ("trace", "branch", "step", "layer")
    tables: dict[str, npt.NDArray[Any]] = {name: np.full(shape, np.nan) for name in _FACTS}
    tables["reason"] = np.full(shape, "not read", dtype=object)
    for key, piece in state.pieces.items():
        place = tuple(getattr(labels, dim).index(label) for dim, label in zip(dims, key, strict=True))
        for name, table in tables.items():
            table[place] = getattr(piece.facts, name)
    words = {**_FACTS, "reason": "why nothing can be said; empty where something can"}
    data = {name: (dims, table, {"long_name": words[name]}) for name, table in tables.items()}
    return xr.Dataset(data, coords=_coords(labels, *dims))


def _told(state: Pieces, params: CkaParams, laid: _Laid) -> dict[str, Any]:
    """What the numbers are of, flat."""
    first = next(iter(state.pieces.values()))
    sketch = next((piece.sketch for piece in state.pieces.values() if piece.sketch is not None), None)
    batches, batch = (sketch.batches, sketch.batch) if sketch else (0, 0)
    told = {"tokens": first.facts.tokens, "tokens_used": batches * batch, "channels": first.facts.channels}
    resamples = 0 if laid.weights is None else len(laid.weights)
    return {
        **told,
        "pairs": params.pairs,
        "measure": params.measure,
        "estimator": params.estimator if params.measure in GRAMS else "none",
        "normalise": params.normalise,
        "within_frame": int(params.within_frame),
        "source": params.source,
        "minibatch": batch if batches > 1 else 0,
        "minibatches": batches,
        "seed": params.seed,
        "permutations": params.nulls,
        "resamples": resamples,
        "units": laid.units,
        "unit_count": len(laid.left),
    }

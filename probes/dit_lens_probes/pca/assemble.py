"""From moments and tokens to one dataset: what components explain where, and the maps of one trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens_probes.pca.components import Components, components_of, explained_by
from dit_lens_probes.pca.gathered import Cell, Gathered, Tokens
from dit_lens_probes.pca.moments import Moments, merge_moments

if TYPE_CHECKING:
    from dit_lens_probes.pca.params import PcaParams

__all__ = ["assemble"]

_MAP = ("branch", "step", "layer")
_COLOURS = 3
_CONSTANT = "the representation is the same in all tokens, or not finite"


def assemble(state: Gathered, params: PcaParams) -> xr.Dataset:
    """Find the components of every cell, or of every layer, and lay everything out.

    Parameters
    ----------
    state : Gathered
    params : PcaParams

    Returns
    -------
    xarray.Dataset
    """
    labels = {dim: sorted({cell[at] for cell in state.moments}) for at, dim in enumerate(_MAP)}
    features = len(next(iter(state.moments.values())).mean_D)
    count = min(params.components, features)
    bases = _bases(state.moments, count, params)
    tables = _tables(labels, count, features)
    for cell, moments in state.moments.items():
        _fill(tables, tuple(labels[dim].index(cell[at]) for at, dim in enumerate(_MAP)), bases[cell], moments)
    dims = {
        "explained": (*_MAP, "component"),
        "gap": (*_MAP, "component"),
        "vector": (*_MAP, "component", "feature"),
    }
    data: dict[str, Any] = {
        name: (dims.get(name, _MAP), table, {"long_name": _NAMES[name]}) for name, table in tables.items()
    }
    coords = {**{dim: _labels(labels[dim]) for dim in _MAP}, **_step_coords(state, labels["step"])}
    coords |= {"component": np.arange(count), "feature": np.arange(features)}
    result = xr.Dataset(data, coords=coords, attrs=_facts(state, params))
    return result.merge(_maps(state, bases, labels)) if state.tokens else result


_NAMES = {
    "explained": "share of the variance that the component explains",
    "gap": "how much less the next component explains, as a share of this one",
    "vector": "loadings of the component, of unit length; the largest is positive",
    "total": "variance of all channels together",
    "dimensions": "participation ratio of the variances of all components",
    "mean_ratio": "length of the mean token over the root of the variance",
    "top_channel": "channel of largest variance",
    "top_share": "its share of the variance",
    "tokens": "tokens that were read",
    "reason": "why there is nothing",
}


def _bases(moments: Mapping[Cell, Moments], count: int, params: PcaParams) -> dict[Cell, Components | None]:
    if params.basis == "cell":
        return {cell: components_of(own, count, params.standardise) for cell, own in moments.items()}
    layers: dict[int, list[Cell]] = {}
    for cell in sorted(moments):
        layers.setdefault(cell[2], []).append(cell)
    shared = {
        layer: components_of(merge_moments([moments[cell] for cell in cells]), count, params.standardise)
        for layer, cells in layers.items()
    }
    return {cell: shared[cell[2]] for cell in moments}


def _tables(labels: Mapping[str, Sequence[Any]], count: int, features: int) -> dict[str, npt.NDArray[Any]]:
    shape = tuple(len(labels[dim]) for dim in _MAP)
    tables: dict[str, npt.NDArray[Any]] = {
        "explained": np.full((*shape, count), np.nan),
        "gap": np.full((*shape, count), np.nan),
        "vector": np.full((*shape, count, features), np.nan, dtype=np.float32),
        **{name: np.full(shape, np.nan) for name in ("total", "dimensions", "mean_ratio", "top_share")},
        "top_channel": np.full(shape, -1),
        "tokens": np.zeros(shape, dtype=np.int64),
        "reason": np.full(shape, "", dtype=object),
    }
    return tables


def _fill(
    tables: Mapping[str, npt.NDArray[Any]], at: tuple[int, ...], found: Components | None, moments: Moments
) -> None:
    tables["tokens"][at] = moments.count
    variance_D = np.diag(moments.covariance)
    if found is None or not variance_D.sum() > 0:
        tables["reason"][at] = _CONSTANT
        return
    tables["explained"][at] = explained_by(found, moments)
    tables["gap"][at], tables["vector"][at] = found.gap_K, found.vector_KD
    tables["total"][at], tables["dimensions"][at] = variance_D.sum(), found.dimensions
    tables["mean_ratio"][at] = np.linalg.norm(moments.mean_D) / np.sqrt(variance_D.sum())
    tables["top_channel"][at], tables["top_share"][at] = variance_D.argmax(), variance_D.max() / variance_D.sum()


def _maps(state: Gathered, bases: Mapping[Cell, Components | None], labels: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """Scores of the tokens of one trace on the first three components, every token at its place."""
    trace = next(iter(state.tokens))[0]
    example = next(iter(state.tokens.values()))
    y, x = sorted(set(example.y)), sorted(set(example.x))
    shape = (*(len(labels[dim]) for dim in _MAP), len(example.frames), len(y), len(x), _COLOURS)
    scores = np.full(shape, np.nan, dtype=np.float32)
    rows, columns = [y.index(place) for place in example.y], [x.index(place) for place in example.x]
    for (_, cell), tokens in state.tokens.items():
        basis = bases[cell]
        if basis is not None:
            at = tuple(labels[dim].index(cell[axis]) for axis, dim in enumerate(_MAP))
            placed = scores[at]
            placed[:, rows, columns, : len(basis.vector_KD)] = _scores(tokens, basis)
    dims = (*_MAP, "frame", "y", "x", "colour")
    attrs = {"long_name": "scores on the first three components", "trace": trace}
    coords = {"frame": list(example.frames), "y": y, "x": x, "colour": np.arange(_COLOURS)}
    return xr.Dataset({"map": (dims, scores, attrs)}, coords=coords)


def _scores(tokens: Tokens, basis: Components) -> npt.NDArray[np.float64]:
    flat_ND = tokens.values.reshape(-1, tokens.values.shape[-1])
    return basis.project(flat_ND)[:, :_COLOURS].reshape(*tokens.values.shape[:2], -1)


def _labels(values: Sequence[Any]) -> npt.NDArray[Any]:
    return np.array(values, dtype=object if isinstance(values[0], str) else None)


def _step_coords(state: Gathered, steps: Sequence[Any]) -> dict[str, Any]:
    """Sigma, timestep and expert; traces that disagree in them were refused."""
    facts = [next(state.steps[key] for key in sorted(state.steps) if key[1] == step) for step in steps]
    return {name: ("step", _labels([fact[name] for fact in facts])) for name in facts[0]}


def _facts(state: Gathered, params: PcaParams) -> dict[str, Any]:
    moments = sum(own.scatter_DD.nbytes for own in state.moments.values())
    return {
        "basis": params.basis,
        "standardised": params.standardise,
        "traces_read": len(state.likeness),
        "sign": "the loading of largest size is positive",
        "state_bytes": moments + sum(tokens.values.nbytes for tokens in state.tokens.values()),
    }

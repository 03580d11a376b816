"""Whether traces may be put into one statistic: the same model, the same grid of tokens, the same steps.

An average over unlike traces is a number like any other, and means nothing. What has to agree is taken from every
trace as it is read, and compared when states meet; the first difference is named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dit_lens.probing import ProbeError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Likeness", "UnlikeTraces", "check_alike", "likeness_of", "refuse_unlike"]

Likeness = Mapping[str, str]
"""What has to agree, by name, as text."""

_OF_RUN = ("weights_sha256", "sigmas", "experts", "branches", "tokens")


class UnlikeTraces(ProbeError, ValueError):
    """Traces of different models, grids of tokens, steps or selections were to be put into one statistic.

    Examples
    --------
    >>> issubclass(UnlikeTraces, ValueError), UnlikeTraces.exit_code
    (True, 2)
    """


def likeness_of(manifest: Mapping[str, Any], array: xr.DataArray) -> Likeness:
    """What has to agree, of one trace.

    Parameters
    ----------
    manifest : mapping
        Of the trace.
    array : xarray.DataArray
        One chunk of it; labels of ``step`` are left out, because chunks hold different ones.

    Returns
    -------
    mapping of str to str

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> likeness_of({"model": {"id": "tiny-wan"}}, xr.DataArray(np.ones((1, 2)), dims=("step", "layer")))["layer"]
    '2'
    """
    model = manifest.get("model", "unknown")
    found = {"model": str(model.get("id", model) if isinstance(model, Mapping) else model)}
    found |= {name: _short(manifest[name]) for name in _OF_RUN if name in manifest}
    for dim in array.dims:
        if dim != "step":
            found[str(dim)] = _labels(array, str(dim))
    return found


def refuse_unlike(probe: str, likenesses: Mapping[str, Likeness]) -> None:
    """Raise if two traces differ.

    Parameters
    ----------
    probe : str
        Its name, for the message.
    likenesses : mapping of str to Likeness
        By trace.

    Raises
    ------
    UnlikeTraces

    Examples
    --------
    >>> refuse_unlike("pca", {"a": {"model": "x"}, "b": {"model": "x"}})
    >>> refuse_unlike("pca", {"a": {"model": "x"}, "b": {"model": "y"}})
    Traceback (most recent call last):
    ...
    dit_lens_probes.alike.UnlikeTraces: probe 'pca' needs traces that agree in model; got x of 'a' and y of 'b', ...
    """
    names = sorted(likenesses)
    for other in names[1:]:
        first, second = likenesses[names[0]], likenesses[other]
        for what in dict.fromkeys([*first, *second]):
            one, two = first.get(what, "none"), second.get(what, "none")
            if one != two:
                got = f"{_cut(one)} of '{names[0]}' and {_cut(two)} of '{other}'"
                message = f"probe '{probe}' needs traces that agree in {what}; got {got}, allowed one of them"
                raise UnlikeTraces(f"{message}; choose traces with --trace")


def _labels(array: xr.DataArray, dim: str) -> str:
    """The labels of a dimension; of many, or of none, their number."""
    if dim not in array.coords:
        return str(array.sizes[dim])
    return _short(array[dim].values.tolist())


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def check_alike(probe: str, parts: Sequence[Mapping[str, Likeness]]) -> dict[str, Likeness]:
    """Unite what is known of traces, after it was compared."""
    known = {trace: likeness for part in parts for trace, likeness in part.items()}
    refuse_unlike(probe, known)
    return known

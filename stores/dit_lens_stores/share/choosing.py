"""A selection in words, ``step=0:3,layer=2+5,branch=cond,y=0:2``, as labels of a trace.

Numbers are the model's own, ranges are half open and may have a stride, negative numbers count from the end, words
name themselves. An axis is a dimension, or a coordinate along one: ``y`` and ``x`` choose tokens, ``expert`` steps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from dit_lens_stores.errors import StoreError, close_match

__all__ = ["choose", "parse_selection"]

_RANGE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(\d+))?")
_NUMBER = re.compile(r"-?\d+")
_SHOWN = 12
_FORM = "AXIS=TERM+TERM,..., a term being a number, a range such as 0:3, or a word"


def parse_selection(text: str) -> dict[str, tuple[str, ...]]:
    """Read a selection.

    Parameters
    ----------
    text : str

    Returns
    -------
    dict of str to tuple of str
        Terms by axis.

    Raises
    ------
    StoreError

    Examples
    --------
    >>> parse_selection("step=0:3,layer=2+5")
    {'step': ('0:3',), 'layer': ('2', '5')}
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        axis, mark, terms = (piece.strip() for piece in part.partition("="))
        found = tuple(term.strip() for term in terms.split("+"))
        if not axis or not mark or not all(found) or axis in chosen:
            got = f"'{axis}' twice" if axis in chosen else f"'{part}'"
            raise StoreError(f"a selection cannot be read; got {got}, allowed {_FORM}; correct it")
        chosen[axis] = found
    return chosen


def choose(dataset: xr.Dataset, selection: Mapping[str, Sequence[str]], trace: str) -> dict[str, set[Any]]:
    """Turn a selection into labels by dimension.

    Parameters
    ----------
    dataset : xarray.Dataset
        A trace with all its labels.
    selection : mapping
        Terms by axis.
    trace : str
        For messages.

    Returns
    -------
    dict of str to set

    Raises
    ------
    StoreError
        If there is no such axis or label.

    Examples
    --------
    >>> dataset = xr.Dataset(coords={"token": [0, 1, 2, 3], "y": ("token", [0, 0, 1, 1]), "step": [0, 5]})
    >>> choose(dataset, {"y": ["1"], "step": ["-1"]}, "t0")
    {'token': {2, 3}, 'step': {5}}
    """
    chosen: dict[str, set[Any]] = {}
    for axis, terms in selection.items():
        if axis not in dataset.coords or len(dataset[axis].dims) != 1:
            allowed = ", ".join(str(name) for name in dataset.coords)
            hint = close_match(axis, map(str, dataset.coords)) or "; name one of them"
            raise StoreError(f"trace '{trace}' has no such axis; got '{axis}', allowed {allowed}{hint}")
        dim = str(dataset[axis].dims[0])
        labels = list(dict.fromkeys(dataset[axis].values.tolist()))
        wanted = {label for term in terms for label in _labels(axis, term, labels, trace)}
        held = dataset[dim].values[[value in wanted for value in dataset[axis].values.tolist()]]
        chosen[dim] = chosen.get(dim, set(held.tolist())) & set(held.tolist())
        if not chosen[dim]:
            shown = ",".join(f"{name}={'+'.join(some)}" for name, some in selection.items())
            raise StoreError(
                f"a selection of trace '{trace}' is empty; got {shown}, allowed one {dim} or more; widen it"
            )
    return chosen


def _labels(axis: str, term: str, labels: Sequence[Any], trace: str) -> list[Any]:
    numbers = [label for label in labels if isinstance(label, int | float)]
    if (cut := _RANGE.fullmatch(term)) and numbers:
        found = _cut(cut, numbers)
    elif _NUMBER.fullmatch(term) and numbers:
        number = int(term)
        found = numbers[number:][:1] if -len(numbers) <= number < 0 else [one for one in numbers if one == number]
    else:
        found = [label for label in labels if label == term]
    if not found:
        allowed = ", ".join(map(str, labels[:_SHOWN])) + (", ..." if len(labels) > _SHOWN else "")
        hint = close_match(term, map(str, labels)) or "; select what the trace holds"
        raise StoreError(f"trace '{trace}' has no such {axis}; got '{term}', allowed {allowed}{hint}")
    return found


def _cut(cut: re.Match[str], labels: Sequence[Any]) -> list[Any]:
    """The labels from the start of a range to before its end, and of those every n-th."""
    first, last = (None if text is None else _counted(int(text), labels) for text in cut.groups()[:2])
    inside = [label for label in labels if (first is None or label >= first) and (last is None or label < last)]
    return inside[:: int(cut[3] or 1) or 1]


def _counted(number: int, labels: Sequence[Any]) -> Any:
    """The label that a number names; a negative one counts from the end."""
    return number if number >= 0 or number < -len(labels) else labels[number]

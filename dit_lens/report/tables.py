"""Matrices and curves: numbers along the axes of a run, one set for each trace, or for all together.

Two places of a run make a matrix, and whatever else there is to choose becomes its pages; one place, or none, makes a
curve, and the rest becomes its lines. A comparison of every step and layer with every other has too many sides for a
page: it is cut twice, into layer by layer at each step, and step by step at each layer.

Shapes: P pages, R rows, C columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens.report.axes import PLACES, REPEATS, axis_of, label_texts, labels_of, sets_of
from dit_lens.report.quantise import Blobs, pack_array
from dit_lens.report.sorting import Sorted, each_trace, mates_of, title_of, units_of
from dit_lens.report.sources import Source
from dit_lens.report.words import Words

__all__ = ["Tables", "build_tables", "number_words"]

_PAGES, _LINES = 256, 24
_DIVERGING = 0.1  # of the largest value: smaller negative ones are noise around zero
_PAIRS = {"step", "layer", "step_b", "layer_b"}
_DIGITS = 9
_ENDS = {"low": "lower end of the interval", "high": "upper end of the interval"}


@dataclass(frozen=True)
class _Layout:
    """Which dimensions go where; ``rows`` is empty for a curve, whose lines are its pages."""

    rows: str
    columns: str
    pages: tuple[str, ...]


_Entry = tuple[dict[str, Any], xr.DataArray, _Layout]


@dataclass
class Tables:
    """What was made of the tables of results."""

    matrices: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build_tables(found: Sorted, blobs: Blobs) -> Tables:
    """Make matrices and curves of a result.

    Parameters
    ----------
    found : Sorted
        What cannot be drawn is noted in it.
    blobs : Blobs

    Returns
    -------
    Tables

    Examples
    --------
    >>> from dit_lens.report.sorting import sort_variables
    >>> data = xr.Dataset({"mean": (("step", "layer"), np.eye(2)), "peak": ("step", [1.0, 2.0])})
    >>> made = build_tables(sort_variables(Source("mine", data, {})), Blobs())
    >>> [matrix["rows"]["dim"] for matrix in made.matrices], [curve["x"]["dim"] for curve in made.curves]
    (['step'], ['step'])
    """
    made = Tables()
    for name in found.tables:
        _add(found, name, made, blobs)
    return made


def _add(found: Sorted, name: str, made: Tables, blobs: Blobs) -> None:
    """Make what one variable becomes, or say why it becomes nothing."""
    matrices, curves, refused = _built(found, name, "")
    for mate, words in _mates_in_words(found, name) if matrices else ():
        more = _built(found, mate, words)
        matrices, curves = matrices + more[0], curves + more[1]
    drawn = [entry for entry in matrices if np.isfinite(entry[1].values).any()]
    lined = [curve for curve in curves if curve["lines"]]
    made.curves += lined
    if (everywhere := _everywhere(drawn)) is not None:
        found.left[name] = f"{everywhere:.4g} everywhere"
    else:
        made.matrices += _packed(drawn, blobs)
    if not (drawn or lined or refused):
        found.left.setdefault(name, "nothing in it")


def _built(found: Sorted, variable: str, words: str) -> tuple[list[_Entry], list[dict[str, Any]], bool]:
    """Matrices, curves, and whether a cut has too many pages; ``words`` say what it is to another."""
    matrices: list[_Entry] = []
    curves, refused = [], False
    for trace, values in _cuts(found.source, variable):
        named = values.assign_attrs(long_name=", ".join(filter(None, (title_of(values), words))))
        for cut, one in _cut_pairs(named):
            place = _layout(one)
            if isinstance(place, str):
                found.left[f"{variable} {cut}".rstrip()], refused = place, True
            elif place.rows:
                matrices.append((_matrix(found.source, variable, trace, one, place), one, place))
            else:
                curves.append(_curve(found.source, variable, trace, one, place))
    return matrices, curves, refused


def _mates_in_words(found: Sorted, name: str) -> list[tuple[str, str]]:
    """The ends of the interval of a matrix, its control and the ends of that: matrices of their own."""
    data, mates = found.source.data, mates_of(found.source.data, name)
    ends = [(mates[end], _ENDS[end]) for end in _ENDS if end in mates]
    if "control" not in mates:
        return ends
    of_control = mates_of(data, mates["control"])
    of_control_ends = [(of_control[end], f"control, {_ENDS[end]}") for end in _ENDS if end in of_control]
    return [*ends, (mates["control"], "control"), *of_control_ends]


def number_words(found: Sorted) -> Words:
    """The variables of a result that are one number each, as labelled lines; the mean over repeats.

    Examples
    --------
    >>> from dit_lens.report.sorting import sort_variables
    >>> number_words(sort_variables(Source("mine", xr.Dataset({"calls": ("question", [2, 4])}), {})))
    [['calls, mean over 2 questions', '3']]
    """
    data, lines = found.source.data, []
    for name in found.numbers:
        lines.append(_number(data, name, ""))
        if control := mates_of(data, name).get("control"):
            lines.append(_number(data, control, "control: "))
    return [line for line in lines if line[1]]


def _number(data: xr.Dataset, name: str, head: str) -> list[str]:
    """One line, with the interval where there is one; without a number nothing stands in it."""
    mean, mates = _mean(data[name]), mates_of(data, name)
    ends = [float(_mean(data[mates[end]])) for end in _ENDS if end in mates]
    interval = f" [{', '.join(f'{end:.4g}' for end in ends)}]" if ends and np.isfinite(ends).all() else ""
    return [f"{head}{title_of(mean)}", f"{float(mean):.4g}{interval}" if np.isfinite(float(mean)) else ""]


def _everywhere(made: Sequence[_Entry]) -> float | None:
    """The one value of all matrices, if there is but one."""
    values = np.unique(np.concatenate([one.values[np.isfinite(one.values)] for _, one, _ in made] or [np.zeros(0)]))
    return float(values[0]) if len(values) == 1 else None


def _cuts(source: Source, name: str) -> Iterator[tuple[str | None, xr.DataArray]]:
    """Trace by trace, averaged over repeats, without dimensions of one label."""
    for trace, values in each_trace(source, source.data[name]):
        yield trace, _read(values)


def _read(values: xr.DataArray) -> xr.DataArray:
    return _mean(values).astype(np.float64).load()


def _mean(values: xr.DataArray) -> xr.DataArray:
    repeats = [dim for dim in values.dims if dim in REPEATS]
    if not repeats:
        return values
    several = [dim for dim in repeats if values.sizes[dim] > 1]
    over = " and ".join(f"{values.sizes[dim]} {str(dim).replace('_', ' ')}s" for dim in several)
    title = f"{title_of(values)}, mean over {over}" if several else title_of(values)
    return values.mean(repeats, keep_attrs=True).assign_attrs(long_name=title)


def _cut_pairs(values: xr.DataArray) -> list[tuple[str, xr.DataArray]]:
    """Both cuts of a comparison of all with all, in words; anything else as it is."""
    if not set(values.dims) >= _PAIRS:
        return [("", _squeezed(values))]
    cuts = []
    for fixed, free in (("step", "layer"), ("layer", "step")):
        same = xr.DataArray(np.arange(values.sizes[fixed]), dims=fixed)
        cut = values.isel({f"{fixed}_b": same}).drop_vars(f"{fixed}_b", errors="ignore")
        words = f"{free} by {free} at each {fixed}"
        cuts.append((words, _squeezed(cut.assign_attrs(long_name=f"{title_of(values)}: {words}"))))
    return cuts


def _squeezed(values: xr.DataArray) -> xr.DataArray:
    """Dimensions of one label go, but what they fix stays in the title."""
    single = [str(dim) for dim in values.dims if values.sizes[dim] == 1]
    if len(single) == values.ndim:
        single = single[1:]
    fixed = [text for dim in single if dim in values.coords for text in label_texts(values, dim)]
    title = ", ".join([title_of(values), *fixed])
    return values.isel(dict.fromkeys(single, 0)).assign_attrs(long_name=title)


def _layout(values: xr.DataArray) -> _Layout | str:
    places = [dim for dim in PLACES if dim in values.dims]
    rest = [str(dim) for dim in values.dims if dim not in places]
    if len(places) < 2:
        x = places[0] if places else max(rest, key=lambda dim: values.sizes[dim])
        lines = tuple(dim for dim in rest if dim != x)
        if prod(values.sizes[dim] for dim in lines) <= _LINES:
            return _Layout("", x, lines)
        places, rest = [max(lines, key=lambda dim: values.sizes[dim]), x], list(lines)
        rest.remove(places[0])
    rows, columns = _sides(places)
    pages = tuple(dim for dim in [*rest, *places] if dim not in (rows, columns))
    count = prod(values.sizes[dim] for dim in pages)
    if count > _PAGES:
        return f"{' x '.join(f'{values.sizes[dim]} {dim}' for dim in pages)} are more than {_PAGES} pages"
    return _Layout(rows, columns, pages)


def _sides(places: Sequence[str]) -> tuple[str, str]:
    """A dimension and its second, or what is done and what is observed, face each other."""
    if "observed" in places:
        return next(dim for dim in places if dim != "observed"), "observed"
    pair = next((dim for dim in places if f"{dim}_b" in places), None)
    return (pair, f"{pair}_b") if pair else (places[0], places[1])


def _head(source: Source, name: str, trace: str | None, values: xr.DataArray) -> dict[str, Any]:
    title, units = title_of(values), units_of(values)
    return {"name": name, "result": source.name, "title": title, "units": units, "trace": trace}


def _matrix(source: Source, name: str, trace: str | None, values: xr.DataArray, at: _Layout) -> dict[str, Any]:
    paged, observed = sets_of(values, at.pages), at.columns == "observed"
    pages = {"dim": ", ".join(at.pages), "values": _page_labels(values, at.pages)} if at.pages else None
    return {
        **_head(source, name, trace, values),
        "pages": pages,
        **({"page_sets": paged} if paged else {}),
        "rows": axis_of(values, at.rows),
        "columns": axis_of(values, at.columns),
        "row_sets": {} if observed and at.rows == "step" else sets_of(values, [at.rows]),
        "column_sets": sets_of(values, [at.columns]),
        "warnings": [str(text) for text in source.data.attrs.get("warnings", ())],
    }


def _page_labels(values: xr.DataArray, pages: Sequence[str]) -> list[Any]:
    if len(pages) == 1:
        return labels_of(values, pages[0])
    return _combined([label_texts(values, dim) for dim in pages])


def _combined(texts: Sequence[Sequence[str]]) -> list[str]:
    combined = [""]
    for own in texts:
        combined = [f"{head}, {text}" if head else text for head in combined for text in own]
    return combined


def _packed(made: Sequence[_Entry], blobs: Blobs) -> list[dict[str, Any]]:
    """All matrices of one variable have one colour scale."""
    known = [values.values[np.isfinite(values.values)] for _, values, _ in made]
    low, high = (min(map(np.min, known)), max(map(np.max, known))) if known else (0.0, 0.0)
    diverging = bool(low < -_DIVERGING * abs(high))
    low, high = (-max(-low, high), max(-low, high)) if diverging else (low, high)
    for matrix, values, at in made:
        ordered_PRC = values.transpose(*at.pages, at.rows, at.columns).values
        ordered_PRC = ordered_PRC.reshape(-1, *ordered_PRC.shape[len(at.pages) :])
        matrix["data"] = pack_array(ordered_PRC, blobs).array
        matrix |= {"range": [float(low), float(high)], "diverging": diverging}
    return [matrix for matrix, _, _ in made]


def _curve(source: Source, name: str, trace: str | None, values: xr.DataArray, at: _Layout) -> dict[str, Any]:
    lines, control = _lines(values, _ends(source, name, trace), at, ""), mates_of(source.data, name).get("control")
    beside = None if control is None else _mate(source, control, trace)
    if control is not None and beside is not None and at.columns in beside.dims:
        own = _Layout("", at.columns, tuple(dim for dim in at.pages if dim in beside.dims))
        lines += _lines(beside, _ends(source, control, trace), own, "control")
    return {
        **_head(source, name, trace, values),
        "x": axis_of(values, at.columns),
        "lines": [line for line in lines if any(value is not None for value in line["y"])],
        "floors": _floors(source, name, values),
    }


def _ends(source: Source, name: str, trace: str | None) -> dict[str, xr.DataArray]:
    """Both ends of an interval, if there is one."""
    mates = mates_of(source.data, name)
    return {what: _mate(source, mates[what], trace) for what in ("low", "high") if what in mates}


def _mate(source: Source, name: str, trace: str | None) -> xr.DataArray:
    """What stands beside a variable, cut as it was cut."""
    return _squeezed(_read(next(one for own, one in each_trace(source, source.data[name]) if own in (trace, None))))


def _lines(values: xr.DataArray, ends: dict[str, xr.DataArray], at: _Layout, control: str) -> list[dict[str, Any]]:
    labels = _combined([label_texts(values, dim) for dim in at.pages])
    tables = {what: _table(one, at) for what, one in {"y": values, **ends}.items()}
    return [
        {
            "label": ", ".join(filter(None, (control, label))),
            **{what: _numbers(tables[what][row]) if what in tables else None for what in ("y", "low", "high")},
        }
        for row, label in enumerate(labels)
    ]


def _table(values: xr.DataArray, at: _Layout) -> npt.NDArray[np.float64]:
    return np.asarray(values.transpose(*at.pages, at.columns).values.reshape(-1, values.sizes[at.columns]))


def _numbers(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]


def _floors(source: Source, name: str, values: xr.DataArray) -> list[dict[str, Any]]:
    """Single numbers of the same quantity, and what a video scores in which nothing happens."""
    quantity, data = source.data[name].attrs.get("long_name"), source.data
    floors = []
    for other in sorted(map(str, data.data_vars)):
        own = data[other]
        alike = quantity and own.attrs.get("long_name") == quantity and not own.dims
        if not other.endswith(("_low", "_high")) and (alike or (other == "floor" and name.startswith("score"))):
            found = float(_mean(own).values) if set(own.dims) <= set(REPEATS) else np.nan
            floors += (
                [{"label": other.removesuffix("_mean").replace("_", " "), "y": found}] if np.isfinite(found) else []
            )
    return floors

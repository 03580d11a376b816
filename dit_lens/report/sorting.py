"""What each variable of a result becomes on the page, told by its dimensions and types, never by the name of its probe.

Over ``y`` and ``x`` (or ``token`` with their places) it is a map; pictures along steps are a film, pictures without are
the frames under the maps; numbers along one axis are a curve, along more a matrix, and one number for each trace is a
fact about its run. The ends of an interval, ``NAME_low`` and ``NAME_high``, belong to ``NAME_mean``, ``NAME_pooled`` or
``NAME``; ``control_NAME`` is drawn beside ``NAME``; what was measured of single units is left to their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import xarray as xr

from dit_lens.report.axes import REPEATS, labels_of
from dit_lens.report.sources import ALL_TRACES, Source

__all__ = ["Sorted", "each_trace", "mates_of", "only_trace", "sort_variables", "title_of", "units_of"]

_CENTRES = ("_mean", "_pooled", "")
_CONTROL = "control_"
_PICTURE = {"video_y", "video_x", "rgb"}
_UNITS = (*REPEATS, "trace_pair")


@dataclass
class Sorted:
    """The variables of one result by what they become; those that become nothing, with the reason."""

    source: Source
    maps: list[str] = field(default_factory=list)
    films: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    def note(self) -> list[str]:
        """What is not drawn, in words; nothing if all is."""
        if not self.left:
            return []
        reasons = dict.fromkeys(self.left.values())
        parts = [f"{', '.join(n for n, why in self.left.items() if why == reason)} ({reason})" for reason in reasons]
        return [f"{self.source.name}: not drawn: {'; '.join(parts)}."]


def sort_variables(source: Source) -> Sorted:
    """Sort the variables of a result.

    Examples
    --------
    >>> data = xr.Dataset({"energy": (("step", "y", "x"), [[[1.0]]]), "energy_mean": ("step", [1.0])})
    >>> found = sort_variables(Source("energy", data, {}))
    >>> found.maps, found.tables
    (['energy'], ['energy_mean'])
    """
    found = Sorted(source)
    for name in sorted(map(str, source.data.data_vars)):  # a folder lists them in any order
        kind = _kind(source.data, name)
        if kind in ("maps", "films", "frames", "tables", "facts", "numbers"):
            getattr(found, kind).append(name)
        elif kind:
            found.left[name] = kind
    return found


def title_of(values: xr.DataArray) -> str:
    """The name that a reader sees.

    Examples
    --------
    >>> title_of(xr.DataArray(1.0, name="top_token")), title_of(xr.DataArray(1.0, attrs={"long_name": "L2 norm"}))
    ('top token', 'L2 norm')
    """
    return str(values.attrs.get("long_name") or str(values.name).replace("_", " "))


def units_of(values: xr.DataArray) -> str:
    """The units of a variable; nothing for a pure number.

    Examples
    --------
    >>> units_of(xr.DataArray(1.0, attrs={"units": "pixels"})), units_of(xr.DataArray(1.0, attrs={"units": "1"}))
    ('pixels', '')
    """
    units = str(values.attrs.get("units", ""))
    return "" if units == "1" else units


def mates_of(data: xr.Dataset, name: str) -> dict[str, str]:
    """The variables that are drawn together with one: ``low`` and ``high`` of its interval, and its ``control``.

    Examples
    --------
    >>> one = ("step", [1.0])
    >>> mates_of(xr.Dataset({"a_mean": one, "a_low": one, "a_high": one, "control_a_mean": one}), "a_mean")
    {'low': 'a_low', 'high': 'a_high', 'control': 'control_a_mean'}
    """
    stem = next(name.removesuffix(end) for end in _CENTRES if name.endswith(end))
    named = {"low": f"{stem}_low", "high": f"{stem}_high", "control": f"{_CONTROL}{name}"}
    dims = set(data[name].dims)
    found = {what: mate for what, mate in named.items() if mate in data and set(data[mate].dims) <= dims}
    if any(set(data[named[end]].dims) != dims for end in ("low", "high") if end in found) or "high" not in found:
        return {what: mate for what, mate in found.items() if what == "control"}
    return found


def each_trace(source: Source, values: xr.DataArray) -> Iterator[tuple[str | None, xr.DataArray]]:
    """A variable trace by trace; as it is, with None, if it has none."""
    if "trace" not in values.dims:
        yield None, values
        return
    for at, trace in enumerate(labels_of(values, "trace")):
        yield str(trace), values.isel(trace=at, drop=True)


def only_trace(source: Source, values: xr.DataArray) -> str:
    """Whose a variable without the dimension ``trace`` is: what it names, the one trace of its result, or all traces.

    Examples
    --------
    >>> only_trace(Source("mine", xr.Dataset(), {"a": ""}), xr.DataArray(1.0))
    'a'
    >>> only_trace(Source("mine", xr.Dataset(), {"a": "", "b": ""}), xr.DataArray(1.0))
    'all traces'
    """
    named = values.attrs.get("trace")
    if isinstance(named, str) and named in source.traces:
        return named
    return next(iter(source.traces)) if len(source.traces) == 1 else ALL_TRACES


def _kind(data: xr.Dataset, name: str) -> str:
    """A list of ``Sorted``, the reason for none, or nothing to say."""
    values: Any = data[name]
    dims = set(values.dims)
    if not values.size:
        return "nothing in it"
    if dims >= _PICTURE and values.dtype.kind == "u":
        return "films" if "step" in dims else "frames"
    if values.dtype.kind not in "fiub":
        return "facts" if dims and dims <= {"trace", "branch"} and "trace" in dims else "text"
    if _is_map(values):
        return "maps"
    if _is_mate(data, name):
        return ""
    if dims & set(_UNITS) and any(f"{name}{end}" in data for end in _CENTRES[:2]):
        return "of single units; their mean is drawn"
    rest = dims - set(REPEATS)
    if not rest:
        return "numbers"
    return "facts" if "trace" in rest and rest <= {"trace", "branch"} else "tables"


def _is_map(values: xr.DataArray) -> bool:
    on_tokens = "token" in values.dims and all(
        axis in values.coords and values[axis].dims == ("token",) for axis in ("y", "x")
    )
    return {"y", "x"} <= set(values.dims) or on_tokens


def _is_mate(data: xr.Dataset, name: str) -> bool:
    stems = [name.removesuffix(end) for end in ("_low", "_high") if name.endswith(end)]
    centres = [f"{stem}{end}" for stem, end in product(stems, _CENTRES)]
    if name.startswith(_CONTROL):
        centres.append(name.removeprefix(_CONTROL))
    drawn = [centre for centre in centres if centre in data and not _is_map(data[centre])]
    return any(name in mates_of(data, centre).values() for centre in drawn)

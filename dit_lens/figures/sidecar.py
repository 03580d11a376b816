"""What lies beside a figure: the data that it shows, and a record of how it was made.

``FIGURE.csv`` is a table with a row for every number: which variable, at which labels, with sigma and expert wherever
there is a step. A table longer than 20 000 rows nobody reads; then the same lies in ``FIGURE.zarr``, for xarray.
``FIGURE.json`` holds the command, the result by its SHA-256, the parameters, and versions. It has no date and no
absolute path, so a figure that is made again is the same down to its record.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dit_lens.figures.command import shown
from dit_lens.figures.places import MARK, companions

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens.probing import AnyProbe

__all__ = ["ROWS_AT_MOST", "facts_of", "table_of", "write_data", "write_record"]

ROWS_AT_MOST = 20_000
_PACKAGES = ("dit-lens", "matplotlib", "numpy", "xarray")


def table_of(data: xr.Dataset) -> tuple[list[str], Iterable[list[Any]]]:
    """A dataset as the head and the rows of one table; what is NaN is not drawn, and has no row.

    Examples
    --------
    >>> import xarray as xr
    >>> data = xr.Dataset({"score": ("step", [0.5, 1.0])}, coords={"step": [0, 4], "sigma": ("step", [1.0, 0.25])})
    >>> head, rows = table_of(data)
    >>> head, list(rows)
    (['variable', 'step', 'sigma', 'value'], [['score', 0, 1.0, 0.5], ['score', 4, 0.25, 1.0]])
    """
    dims = dict.fromkeys(str(dim) for variable in data.data_vars.values() for dim in variable.dims)
    named = [*dims, *sorted(str(name) for name in data.coords if name not in dims)]  # Zarr keeps no order
    return ["variable", *named, "value"], _rows(data, named)


def write_data(data: xr.Dataset, figure: Path) -> Path:
    """Write what a figure shows beside it.

    Parameters
    ----------
    data : xarray.Dataset
    figure : pathlib.Path
        The file or folder of the figure; ``.csv`` or ``.zarr`` is added to its name.

    Returns
    -------
    pathlib.Path
    """
    table, folder = companions(figure)
    table.unlink(missing_ok=True)  # of an earlier figure, whose data may have been larger or smaller
    shutil.rmtree(folder, ignore_errors=True)
    if sum(variable.size for variable in data.data_vars.values()) > ROWS_AT_MOST:
        from dit_lens.probing.results import plain_text

        bare = plain_text(data.drop_encoding()).assign_attrs({MARK: "data"})
        bare.to_zarr(folder, mode="w", zarr_format=3, consolidated=False)
        return folder
    text = io.StringIO()
    head, rows = table_of(data)
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    table.write_text(text.getvalue(), encoding="utf-8")
    return table


def facts_of(result: xr.Dataset, probe: AnyProbe) -> dict[str, Any]:
    """What a figure was made from.

    Returns
    -------
    dict
        Probe and parameters, the result by its hash and what that was made from, and versions.
    """
    from dit_lens.probing import result_sha256

    params = getattr(probe, "params", None)
    kept = ("probe_version", "probe_package", "traces", "manifest_sha256", "questions", "seeds", "software")
    return {
        "probe": probe.name,
        "drawn_by_version": probe.version,
        "params": shown(params.model_dump(mode="json")) if params is not None else {},
        "result_sha256": result_sha256(result),
        "result": {name: _listed(result.attrs[name]) for name in kept if name in result.attrs},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }


def write_record(path: Path, facts: Mapping[str, Any], files: Sequence[Path]) -> Path:
    """Write the record of a figure, with the hashes of its files."""
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}
    document = {MARK: "1.0", **facts, "sha256": digests}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _rows(data: xr.Dataset, named: Sequence[str]) -> Iterable[list[Any]]:
    for name, variable in data.data_vars.items():
        labels = {each: variable.coords[each].broadcast_like(variable) for each in named if each in variable.coords}
        columns = [
            labels[each].transpose(*variable.dims).values.ravel().tolist() if each in labels else None for each in named
        ]
        values = np.asarray(variable.values)
        for at, value in enumerate(values.ravel().tolist()):
            if value is not None and value == value and value != "":
                yield [name, *("" if column is None else column[at] for column in columns), _short(value, values.dtype)]


def _short(value: Any, dtype: np.dtype[Any]) -> Any:
    """A number of single precision with the digits that it has, not with those that it gets as a double."""
    return str(dtype.type(value)) if dtype.kind == "f" and dtype.itemsize < 8 else value


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

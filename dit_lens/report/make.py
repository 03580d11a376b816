"""Put a report together: what the page shows as plain data, and the numbers and pictures beside it.

Everything but the maps is made first, because it is small; the maps share what the cap leaves. How well they compress
was estimated from a sample, so the page is measured when it is whole, and made again a little smaller if need be.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from dit_lens.engine.disk import parse_size
from dit_lens.report.apart import tell_apart
from dit_lens.report.films import build_films, find_films
from dit_lens.report.fitting import fit, sample, too_small
from dit_lens.report.maps import Kept, MapVariable, build_map, find_maps
from dit_lens.report.page import render
from dit_lens.report.quantise import Blobs, FileBlobs
from dit_lens.report.runs import build_runs
from dit_lens.report.sorting import Sorted, sort_variables
from dit_lens.report.sources import ALL_TRACES, Given, Source, read_sources, traces_of
from dit_lens.report.stored import Stored, open_traces
from dit_lens.report.tables import Tables, build_tables, number_words
from dit_lens.report.words import result_words
from dit_lens_stores.printable import printable

__all__ = ["CAP", "FOLDER", "Report", "make_report"]

CAP = "30MB"
"""The largest page, if nothing else is said: what a mail still carries."""
FOLDER = "blobs"
"""Where the numbers and pictures of a bundle are, beside its page."""
_TEXT = 4000
_FILMS, _FRAMES = 1 / 3, 1 / 6  # of the cap
_HEAD_BYTES = 4000  # what a map takes beside its numbers, about
Payload = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """A report that is not written yet.

    Attributes
    ----------
    payload : dict
        What the page shows, as JSON can hold it; every text in it is text.
    blobs : tuple of bytes
        What the payload points to: arrays under gzip, and pictures.
    files : tuple of str, optional
        The names of the files that hold them instead.
    """

    payload: Payload
    blobs: tuple[bytes, ...]
    files: tuple[str, ...] | None = None

    @property
    def html(self) -> str:
        """The page; in one file, unless its blobs are in files."""
        return render(self.payload, self.blobs, files=self.files)


def make_report(
    results: Sequence[Given],
    *,
    store: str | Path | None = None,
    cap: str | int = CAP,
    decode: bool = True,
    out: str | Path = "report.html",
    files: Path | None = None,
) -> Report:
    """Make a report of results.

    Parameters
    ----------
    results : sequence of path or xarray.Dataset
        Saved results of any probes, or datasets as ``analyze`` returns them.
    store : str or pathlib.Path, optional
        The store that they were made from: for manifests, frames and edits.
    cap : str or int
        Bytes that the page may take.
    decode : bool
        Decode the last latents of a store without videos, if nothing else shows the frames.
    out : str or pathlib.Path
        Where it will be written, for the command that the page states.
    files : pathlib.Path, optional
        A folder for the blobs, which are written at once and have no cap.

    Returns
    -------
    Report

    Raises
    ------
    NotAResult, NoResults, MixedTraces
        If the results cannot be read, or do not belong together.
    NotAStore, ForeignStore
        If the store is none, or not theirs.
    BadSize, CapTooSmall
        If the cap cannot be read or kept.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> energy = xr.DataArray(np.ones((2, 3, 3)), dims=("step", "y", "x"), name="energy")
    >>> report = make_report([energy.to_dataset().assign_attrs(probe="mine", traces=["a"])])
    >>> [(one["name"], one["data"]["shape"]) for one in report.payload["maps"]]
    [('energy', [1, 2, 1, 1, 3, 3])]
    """
    limit = cap if isinstance(cap, int) else parse_size(cap)
    if files is None and (shell := _size(_shell([], []), Blobs())) > limit:
        raise too_small(limit, shell)
    sources = read_sources(results)
    stored = open_traces(store, traces_of(sources), decode)
    found = [sort_variables(source) for source in sources]
    blobs = Blobs() if files is None else FileBlobs(folder=files)
    payload = _small_parts(sources, found, stored, math.inf if files else limit, blobs)
    payload["command"] = _command(results, store, cap, decode, out, files is not None)
    if files is not None:
        return _filled(payload, [(variable, variable.all) for variable in find_maps(found)], blobs)
    return _with_maps(payload, find_maps(found), limit, blobs)


def _small_parts(
    sources: Sequence[Source], found: Sequence[Sorted], stored: Stored, cap: float, blobs: Blobs
) -> Payload:
    films = find_films(found)
    traces = list(traces_of(sources))
    shown = {trace for variable in find_maps(found) for trace, _, _ in variable.cuts()} | {one.trace for one in films}
    if ALL_TRACES in shown:
        traces.append(ALL_TRACES)
    runs, of_runs = build_runs(traces, found, films, stored, cap * _FRAMES, blobs)
    of_traces, of_films = build_films(films, cap * _FILMS, blobs)
    tables = [build_tables(one, blobs) for one in found]
    notes = [*stored.notes, *of_runs, *of_films, *_of_matrices(tables), *(line for one in found for line in one.note())]
    results = [{"name": one.source.name, "words": result_words(one.source) + number_words(one)} for one in found]
    return {
        **_shell(sources, notes),
        "results": results,
        "runs": runs,
        "films": of_traces,
        "matrices": [matrix for one in tables for matrix in one.matrices],
        "curves": [curve for one in tables for curve in one.curves],
    }


def _shell(sources: Sequence[Source], notes: Sequence[str]) -> Payload:
    from dit_lens import __version__

    traces = traces_of(sources)
    of = f" of {len(traces)} trace{'s' if len(traces) > 1 else ''}" if traces else ""
    return {
        "version": 1,
        "title": ", ".join(source.name for source in sources) + of,
        "software": f"dit-lens {__version__}",
        "command": "",
        "notes": list(notes),
        **{name: [] for name in ("results", "runs", "maps", "matrices", "films", "curves")},
    }


def _with_maps(payload: Payload, variables: Sequence[MapVariable], cap: int, blobs: Blobs) -> Report:
    sampled = [sample(variable) for variable in variables]
    maps = sum(variable.count for variable in variables)
    spent = float(_size(payload, blobs) + maps * _HEAD_BYTES)
    if spent > cap:
        raise too_small(cap, spent)
    while True:
        kept = fit(variables, sampled, cap, spent)
        report = _filled(payload, list(zip(variables, kept, strict=True)), Blobs(list(blobs.items)))
        size = len(report.html.encode())
        if size <= cap:
            return report
        spent += (size - cap) * 1.05


def _filled(payload: Payload, kept: Sequence[tuple[MapVariable, Kept]], blobs: Blobs) -> Report:
    maps, notes = [], []
    for variable, own in kept:
        made, said = build_map(variable, own, blobs)
        maps += made
        notes += said
    whole = _clean(payload | {"notes": [*notes, *payload["notes"]]}) | {"maps": tell_apart(_clean(maps))}
    names = tuple(f"{FOLDER}/{number}.bin" for number in range(len(blobs.items)))
    return Report(whole, tuple(blobs.items), names if isinstance(blobs, FileBlobs) else None)


def _of_matrices(tables: Sequence[Tables]) -> list[str]:
    errors = [
        (matrix["data"]["error"] / max(matrix["range"][1] - matrix["range"][0], 1e-300), matrix["data"]["error"])
        for one in tables
        for matrix in one.matrices
    ]
    if not errors:
        return []
    share, error = max(errors)
    return [
        f"Matrices are stored in two bytes a value; the largest error, as measured, is {error:.3g} ({share:.2g} of "
        f"the colour scale)."
    ]


def _size(payload: Payload, blobs: Blobs) -> int:
    return len(render(_clean(payload), blobs.items).encode())


def _command(
    results: Sequence[Given], store: str | Path | None, cap: str | int, decode: bool, out: str | Path, bundle: bool
) -> str:
    """The command that makes the page, without the folders of this machine; none where a result has no file."""
    named = [Path(given).name for given in results if not isinstance(given, xr.Dataset)]
    if len(named) < len(results):
        return ""
    words = ["dit-lens", "report", *named]
    words += [] if store is None else ["--store", str(store).rstrip("/").rpartition("/")[2]]
    words += [] if cap == CAP or bundle else ["--cap", str(cap)]
    words += [] if decode else ["--no-decode"]
    return shlex.join([*words, "--bundle" if bundle else "-o", Path(out).name])


def _clean(value: Any) -> Any:
    """The same with every text printable and of bounded length; keys are ours."""
    if isinstance(value, str):
        text = printable(value, "\n")
        return text if len(text) <= _TEXT else f"{text[:_TEXT]} …"
    if isinstance(value, Mapping):
        return {key: _clean(entry) for key, entry in value.items()}
    return [_clean(entry) for entry in value] if isinstance(value, (list, tuple)) else value

"""The results that a report is made of, opened and checked against each other before anything is read.

Results may be of any probe. What holds them together is the traces that they name: a page on which each result speaks
of another run would compare what cannot be compared, so results must have a trace in common, and one name must mean one
run. Results that name no traces, as those of causal probes, stand beside any others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from dit_lens.probing import load_result
from dit_lens.report.errors import MixedTraces, NoResults
from dit_lens_stores.errors import few

__all__ = ["ALL_TRACES", "Given", "Source", "read_sources", "traces_of"]

Given = str | Path | xr.Dataset
ALL_TRACES = "all traces"
"""What stands for the trace in a result that has maps and averages over traces."""
SHOWN = 4
"""Traces that a message names."""


@dataclass(frozen=True, eq=False)
class Source:
    """One result.

    Attributes
    ----------
    name : str
        The name of its probe; with that of its file where two results are of one probe.
    data : xarray.Dataset
        Values are read when they are used.
    traces : dict of str to str
        The traces that it names, and the hash of the manifest of each as far as it is known.
    """

    name: str
    data: xr.Dataset
    traces: Mapping[str, str]


def read_sources(results: Sequence[Given]) -> list[Source]:
    """Open results, and check that they belong together.

    Parameters
    ----------
    results : sequence of path or xarray.Dataset

    Returns
    -------
    list of Source

    Raises
    ------
    NotAResult
        If a path holds no result.
    NoResults
        If there is none, or one twice.
    MixedTraces
        If they have no trace in common.

    Examples
    --------
    >>> [source.name for source in read_sources([xr.Dataset(attrs={"probe": "mine"})])]
    ['mine']
    """
    if not results:
        raise NoResults(
            "a report needs a result; got none, allowed one or more; name one that 'dit-lens analyze' saved"
        )
    paths = [Path(given).resolve() for given in results if not isinstance(given, xr.Dataset)]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise NoResults(f"a result was given twice; got '{twice[0].name}' again, allowed each once; remove one")
    opened = [given if isinstance(given, xr.Dataset) else load_result(given) for given in results]
    names = _names(opened, results)
    sources = [Source(name, data, _traces(data)) for name, data in zip(names, opened, strict=True)]
    _check_together(sources)
    return sources


def traces_of(sources: Iterable[Source]) -> dict[str, str]:
    """All traces that results name, in order, with the hashes of their manifests where they are known.

    Examples
    --------
    >>> traces_of([Source("a", xr.Dataset(), {"t0": ""}), Source("b", xr.Dataset(), {"t0": "ab", "t1": ""})])
    {'t0': 'ab', 't1': ''}
    """
    found: dict[str, str] = {}
    for source in sources:
        for trace, digest in source.traces.items():
            found[trace] = digest or found.get(trace, "")
    return found


def _names(opened: Sequence[xr.Dataset], results: Sequence[Given]) -> list[str]:
    """The probe's name; where several results are of one probe, with the name of the file or a number."""
    probes = [str(data.attrs.get("probe", "result")) for data in opened]
    names: list[str] = []
    for probe, given in zip(probes, results, strict=True):
        stem = str(len(names) + 1) if isinstance(given, xr.Dataset) else Path(given).stem
        name = probe if probes.count(probe) == 1 else f"{probe} ({stem})"
        names.append(name if name not in names else f"{probe} ({len(names) + 1})")
    return names


def _traces(data: xr.Dataset) -> dict[str, str]:
    """What the attributes name comes first, because that is the order in which the traces were given."""
    named = [str(trace) for trace in _listed(data.attrs.get("traces"))]
    digests = [str(digest) for digest in _listed(data.attrs.get("manifest_sha256"))]
    found = dict(zip(named, digests, strict=False)) if len(named) == len(digests) else dict.fromkeys(named, "")
    along = (
        [str(trace) for trace in data["trace"].values.tolist()] if "trace" in data.coords and data["trace"].ndim else []
    )
    return {**found, **{trace: "" for trace in along if trace not in found}}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _check_together(sources: Sequence[Source]) -> None:
    known = [source for source in sources if source.traces]
    if known and not set.intersection(*(set(source.traces) for source in known)):
        held = "; ".join(f"{source.name}: {few(source.traces, SHOWN)}" for source in known)
        raise MixedTraces(
            f"the results are of different traces; got {held}, allowed results with a trace in "
            f"common; make a report of each"
        )
    for trace in traces_of(known):
        digests = {source.traces[trace]: source.name for source in known if source.traces.get(trace)}
        if len(digests) > 1:
            raise MixedTraces(
                f"trace '{trace}' is another run in each of {', '.join(digests.values())}; got manifests "
                f"{' and '.join(digest[:8] for digest in digests)}, allowed one run of a name; analyze one store again"
            )

"""Run a probe over the traces of a store, chunk by chunk.

Everything that can be wrong is found first: the probe, its parameters, the traces, the captures that they hold. Then
the chunks stream through ``map`` and a running ``combine``; one chunk and a few states are in memory at a time, however
large the store. The result says in its attributes what it was made from: probe, version, parameters, traces, and the
hash of each trace's manifest.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import xarray as xr

from dit_lens.captures import Capture
from dit_lens.probing.blame import blame, who
from dit_lens.probing.chunks import TraceCut, cut_trace
from dit_lens.probing.errors import BadParams, NothingToAnalyze, ProbeFailed
from dit_lens.probing.fold import Fold
from dit_lens.probing.params import build_probe
from dit_lens.probing.protocol import AnyProbe, Probe, is_causal
from dit_lens.probing.registry import get_probe, package_of
from dit_lens_stores import open_store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dit_lens_stores import Store

__all__ = ["Analysis", "analyze", "captures_for", "draw_result", "make_probe", "prepare"]

Progress = Callable[[int, int], None]

_log = logging.getLogger(__name__)


def analyze(
    store: Store | str | Path,
    probe: str | type[AnyProbe] | AnyProbe,
    params: Mapping[str, Any] | None = None,
    traces: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Ask a probe's question of the traces of a store.

    Parameters
    ----------
    store : Store, str or Path
    probe : str, type of Probe, or Probe
        A name (``"energy"``, ``"dist:name"``, ``"./mine.py:Class"``), a class, or a probe that has its parameters.
    params : mapping, optional
        Parameters of the probe; only with a name or a class.
    traces : sequence of str, optional
        Which traces; by default every complete one. Those left out are named in the attribute ``skipped``.
    progress : callable, optional
        Called with (chunks done, chunks in all).

    Returns
    -------
    xarray.Dataset
        The result, with its provenance in the attributes.

    Raises
    ------
    UnknownProbe, BrokenProbe, BadParams, MissingCapture, NothingToAnalyze
        Before anything is computed.
    ProbeFailed
        If the probe raises while it runs.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr", ["block.out:energy"])
    >>> result = analyze(store, "energy")
    >>> result["energy"].dims
    ('trace', 'branch', 'step', 'layer', 'frame', 'y', 'x')
    >>> result.attrs["probe"], result.attrs["traces"]
    ('energy', ['a', 'b'])
    """
    return prepare(store, probe, params, traces).run(progress)


@dataclass(frozen=True)
class Analysis:
    """A probe and the traces that it will read, after everything that could be wrong with them was looked for.

    Attributes
    ----------
    probe : Probe
    cuts : tuple of TraceCut
    skipped : tuple of str
        Traces that are left out because they are not complete.
    """

    probe: Probe
    cuts: tuple[TraceCut, ...]
    skipped: tuple[str, ...]

    def run(self, progress: Progress | None = None) -> xr.Dataset:
        """Compute the result."""
        result = _stream(self.probe, self.cuts, progress)
        return result.assign_attrs(_provenance(self.probe, self.cuts, self.skipped))


def prepare(
    store: Store | str | Path,
    probe: str | type[AnyProbe] | AnyProbe,
    params: Mapping[str, Any] | None = None,
    traces: Sequence[str] | None = None,
) -> Analysis:
    """Check what ``analyze`` is given, without computing anything: several probes are all checked before one runs.

    The parameters and the errors are those of ``analyze``.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr", ["block.out:energy"])
    >>> [cut.trace_id for cut in prepare(store, "energy").cuts]
    ['a', 'b']
    """
    ready = _reading(make_probe(probe, params))
    store = open_store(store) if isinstance(store, str | Path) else store
    chosen, skipped = _choose(store, traces)
    with blame(ready, "captures"):
        cuts = tuple(cut_trace(trace_id, store[trace_id], ready) for trace_id in chosen)
    if check := getattr(ready, "check", None):
        with blame(ready, "check"):
            check({cut.trace_id: cut.labels for cut in cuts})
    return Analysis(ready, cuts, tuple(skipped))


def captures_for(probe: str | type[AnyProbe] | AnyProbe) -> tuple[Capture, ...]:
    """What a trace must hold for a probe; if the probe cannot say, the message names it and its package.

    Examples
    --------
    >>> [str(capture) for capture in captures_for("energy")]
    ['block.out:energy']
    """
    ready = _reading(make_probe(probe))
    with blame(ready, "captures"):
        return tuple(wish if isinstance(wish, Capture) else Capture.parse(wish) for wish in ready.captures())
    raise AssertionError("unreachable")  # for type checkers, as in draw_result


def make_probe(probe: str | type[AnyProbe] | AnyProbe, params: Mapping[str, Any] | None = None) -> AnyProbe:
    """Whatever names a probe, made ready with its parameters.

    Examples
    --------
    >>> make_probe("energy", {"scale": "raw"}).params.scale
    'raw'
    """
    if isinstance(probe, str):
        probe = get_probe(probe)
    if isinstance(probe, type):
        return build_probe(probe, params)
    if params:
        message = f"probe '{probe.name}' was given with its parameters already; got {', '.join(params)}, allowed none"
        raise BadParams(f"{message}; give the class instead")
    return probe


def draw_result(probe: AnyProbe, result: xr.Dataset) -> dict[str, Figure]:
    """Let a probe draw its result; if it raises, the message names the probe and its package.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> probe = make_probe("energy")
    >>> result = analyze(synthetic_store(getfixture("tmp_path") / "x.zarr", ["block.out:energy"]), probe)
    >>> sorted(draw_result(probe, result))
    ['layer_over_steps', 'layers_by_frames']
    """
    with blame(probe, "draw"):
        return probe.draw(result)
    raise AssertionError("unreachable")  # for type checkers: the block above either returns or raises


def _reading(probe: AnyProbe) -> Probe:
    """Only a probe that reads traces can be asked here."""
    if is_causal(probe):
        raise BadParams(
            f"probe '{probe.name}' changes runs and reads no traces; got '{probe.name}', allowed a probe with "
            f"captures; run it with dit-lens intervene"
        )
    return cast("Probe", probe)


def _choose(store: Store, traces: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The traces to read, and those that are left out because they are not complete."""
    if traces is not None:
        chosen, skipped = list(dict.fromkeys(traces)), list[str]()
    else:
        chosen = [trace_id for trace_id in store.traces if store.status(trace_id) == "complete"]
        skipped = [f"{trace_id}: {store.status(trace_id)}" for trace_id in store.traces if trace_id not in chosen]
    if skipped:
        _log.warning("%d traces are not complete and were left out: %s", len(skipped), ", ".join(skipped))
    if not chosen:
        found = ", ".join(skipped) or "no trace"
        raise NothingToAnalyze(f"the store has nothing to analyze; got {found}, allowed complete traces; trace first")
    return chosen, skipped


def _stream(probe: Probe, cuts: Sequence[TraceCut], progress: Progress | None) -> xr.Dataset:
    fold, done, total = Fold(probe.combine), 0, sum(len(cut.places) for cut in cuts)
    for cut in cuts:
        for place in cut.places:
            chunk = cut.chunk(place)
            with blame(probe, "map or combine", cut.trace_id, place):
                fold.add(probe.map(chunk))
            done += 1
            if progress:
                progress(done, total)
    with blame(probe, "finish"):
        result = probe.finish(fold.result())
    if not isinstance(result, xr.Dataset):
        raise ProbeFailed(f"{who(probe)} failed in finish; got a {type(result).__name__}, allowed an xarray.Dataset")
    return result


def _provenance(probe: Probe, cuts: Sequence[TraceCut], skipped: Sequence[str]) -> dict[str, Any]:
    """Flat attributes, so that a result can be written to Zarr and to netCDF alike."""
    from dit_lens import __version__

    params = getattr(probe, "params", None)
    return {
        "probe": probe.name,
        "probe_version": probe.version,
        "probe_package": package_of(type(probe)) or type(probe).__module__,
        "params": params.model_dump_json() if params is not None else "{}",
        "captures": [str(capture) for capture in probe.captures()],
        "traces": [cut.trace_id for cut in cuts],
        "manifest_sha256": [_digest(cut.manifest) for cut in cuts],
        "skipped": list(skipped),
        "software": f"dit-lens {__version__}",
    }


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True, default=str).encode()).hexdigest()

"""Run a probe over the traces of one store or several, chunk by chunk.

Everything that can be wrong is found first: the probe, its parameters, the traces, the captures that they hold. Then
the chunks stream through ``map`` and ``combine`` (``dit_lens.probing.analysis``). The result says in its attributes
what it was made from: probe, version, parameters, traces, and the hash of each trace's manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dit_lens.captures import Capture
from dit_lens.probing.analysis import Analysis, Progress
from dit_lens.probing.blame import blame
from dit_lens.probing.chunks import cut_trace
from dit_lens.probing.errors import BadParams
from dit_lens.probing.params import build_probe
from dit_lens.probing.protocol import AnyProbe, Probe, is_causal
from dit_lens.probing.registry import get_probe
from dit_lens.probing.schedulers import check_scheduler
from dit_lens.probing.sources import choose_traces, open_stores

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client
    from matplotlib.figure import Figure

    from dit_lens.probing.sources import Stores

__all__ = ["Analysis", "analyze", "captures_for", "draw_result", "make_probe", "prepare"]


def analyze(
    store: Stores,
    probe: str | type[AnyProbe] | AnyProbe,
    params: Mapping[str, Any] | None = None,
    traces: Sequence[str] | None = None,
    progress: Progress | None = None,
    scheduler: str | Client | None = None,
) -> xr.Dataset:
    """Ask a probe's question of the traces of a store, or of several.

    Parameters
    ----------
    store : Store, str, Path, or list of these
    probe : str, type of Probe, or Probe
        A name (``"energy"``, ``"dist:name"``, ``"./mine.py:Class"``), a class, or a probe that has its parameters.
    params : mapping, optional
        Parameters of the probe; only with a name or a class.
    traces : sequence of str, optional
        Which traces; by default every complete one. Those left out are named in the attribute ``skipped``. An id that
        several stores hold is called ``STORE/ID`` in the result, and means all of them here.
    progress : callable, optional
        Called with (bytes done, bytes in all).
    scheduler : str or distributed.Client, optional
        ``"threads"``, ``"processes"``, or a cluster by its address or client; needs ``dit-lens[dask]``. Without it the
        chunks are read one after another in this thread.

    Returns
    -------
    xarray.Dataset
        The result, with its provenance in the attributes. However the work was split, it is the same up to the
        rounding of the probe's own ``combine``.

    Raises
    ------
    UnknownProbe, BrokenProbe, BadParams, MissingCapture, NothingToAnalyze, SameStore, BadScheduler, MissingDask
        Before anything is computed.
    ProbeFailed
        If the probe raises while it runs.
    WorkersLost
        If workers of a cluster die again and again.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr", ["block.out:energy"])
    >>> result = analyze(store, "energy")
    >>> result["energy"].dims
    ('trace', 'branch', 'step', 'layer', 'frame', 'y', 'x')
    >>> result.attrs["probe"], result.attrs["traces"]
    ('energy', ['a', 'b'])
    >>> analyze(store, "energy", scheduler="threads").identical(result)
    True
    """
    check_scheduler(scheduler)
    return prepare(store, probe, params, traces).run(progress, scheduler)


def prepare(
    store: Stores,
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
    chosen, skipped = choose_traces(open_stores(store), traces)
    with blame(ready, "captures"):
        cuts = tuple(cut_trace(origin.label, home[origin.trace_id], ready) for origin, home in chosen)
    if check := getattr(ready, "check", None):
        with blame(ready, "check"):
            check({cut.trace_id: cut.labels for cut in cuts})
    return Analysis(ready, tuple(origin for origin, _ in chosen), cuts, tuple(skipped))


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

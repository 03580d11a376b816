"""The units of an analysis: one chunk of one trace each, small enough to be sent anywhere.

A unit says in plain text where its trace lies and which part of it is meant; whoever works on it opens the store anew.
The streaming loop, a pool of threads or processes, a cluster and the parts of ``--shard`` all do the same two things
with it: ``map_chunk`` and ``merge_states``. A store that was opened for one run is kept open for that run's next unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from dit_lens.probing.blame import blame
from dit_lens.probing.chunks import TraceCut, cut_trace
from dit_lens.probing.protocol import Probe, State
from dit_lens.probing.sources import Origin

__all__ = ["Unit", "map_chunk", "map_unit", "merge_states", "units_of"]

_OPEN = 4  # traces that a process keeps open: units come in the order of their traces


@dataclass(frozen=True)
class Unit:
    """One chunk of one trace.

    Attributes
    ----------
    origin : Origin
    place : mapping of str to int
        The labels that fix the chunk.
    nbytes : int
        What is read for it, in memory.

    Examples
    --------
    >>> import pickle
    >>> unit = Unit(Origin("a", "x.zarr", "a"), {"step": 3}, 4096)
    >>> pickle.loads(pickle.dumps(unit)) == unit
    True
    """

    origin: Origin
    place: Mapping[str, int]
    nbytes: int


@dataclass(frozen=True)
class _Asked:
    """A trace as one run cuts it; another run may find another store at the same address."""

    run: str
    origin: Origin
    probe: Probe = field(compare=False)


def units_of(origin: Origin, cut: TraceCut) -> tuple[Unit, ...]:
    """All units of a trace, in the order of its places.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> from dit_lens_probes.energy import Energy
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr")
    >>> units = units_of(Origin("a", str(store.path), "a"), cut_trace("a", store["a"], Energy()))
    >>> len(units), units[0].place, units[0].nbytes  # 2 branches, 3 layers, 3 frames of 20 tokens
    (4, {'step': 0}, 1440)
    """
    return tuple(Unit(origin, place, cut.bytes_at(place)) for place in cut.places)


def map_chunk(probe: Probe, cut: TraceCut, place: Mapping[str, int]) -> State:
    """Read one chunk and map it; if the probe raises, the message names it and the chunk."""
    chunk = cut.chunk(place)
    with blame(probe, "map", cut.trace_id, place):
        return probe.map(chunk)
    raise AssertionError("unreachable")  # for type checkers: the block above either returns or raises


def map_unit(probe: Probe, run: str, unit: Unit) -> State:
    """Open the trace of a unit and map its chunk.

    Parameters
    ----------
    probe : Probe
    run : str
        What tells this run from others; a trace that it has open is not opened again.
    unit : Unit

    Returns
    -------
    State
    """
    return map_chunk(probe, _cut(_Asked(run, unit.origin, probe)), unit.place)


def merge_states(probe: Probe, states: Sequence[State]) -> State:
    """Combine states; if the probe raises, the message names it."""
    with blame(probe, "combine"):
        return probe.combine(states)
    raise AssertionError("unreachable")


@lru_cache(maxsize=_OPEN)
def _cut(asked: _Asked) -> TraceCut:
    with blame(asked.probe, "captures"):
        return cut_trace(asked.origin.label, asked.origin.open(), asked.probe)
    raise AssertionError("unreachable")

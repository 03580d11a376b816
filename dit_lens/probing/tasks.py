"""The tasks of an analysis under dask: one for each unit, and those that merge their states in a tree.

Neighbouring states meet four at a time, so that few of them wait at once and no machine has to hold them all. A probe
travels by value if it lives in a file of the user, which no other process can import, and by name if it is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import uuid4

from dit_lens.probing.files import FILE_MODULE
from dit_lens.probing.protocol import Probe, State
from dit_lens.probing.units import Unit, map_unit, merge_states

if TYPE_CHECKING:
    from dask.delayed import Delayed

__all__ = ["build_tree"]

_AT_ONCE = 4  # states that one task merges


@dataclass(frozen=True)
class _Held:
    """A probe in this process."""

    probe: Probe


@dataclass(frozen=True)
class _Packed:
    """A probe on its way to another process, where it is unpacked once."""

    packed: bytes

    @property
    def probe(self) -> Probe:
        return _unpack(self.packed)


@dataclass(frozen=True)
class _Map:
    carrier: _Held | _Packed
    run: str
    unit: Unit

    def __call__(self) -> State:
        return map_unit(self.carrier.probe, self.run, self.unit)


@dataclass(frozen=True)
class _Merge:
    carrier: _Held | _Packed

    def __call__(self, states: Sequence[State]) -> State:
        return merge_states(self.carrier.probe, states)


def build_tree(probe: Probe, units: Sequence[Unit], pack: bool = True) -> tuple[list[Delayed], Delayed]:
    """One task for each unit, and the root of the tree in which their states meet.

    Parameters
    ----------
    probe : Probe
    units : sequence of Unit
        At least one.
    pack : bool
        Whether the tasks leave this process.

    Returns
    -------
    tuple of list of dask.delayed.Delayed, and dask.delayed.Delayed

    Examples
    --------
    >>> from dit_lens.probing import prepare
    >>> from dit_lens.testing import synthetic_store
    >>> analysis = prepare(synthetic_store(getfixture("tmp_path") / "x.zarr"), "energy")
    >>> maps, root = build_tree(analysis.probe, analysis.units)
    >>> len(maps), len(root.dask)  # eight units, two fours and their root
    (8, 11)
    """
    from dask.delayed import delayed

    carrier, run = _Packed(_pack(probe)) if pack else _Held(probe), uuid4().hex
    maps = [
        delayed(_Map(carrier, run, unit), name=f"unit-{run}-{i}", traverse=False)(dask_key_name=f"map-{run}-{i}")
        for i, unit in enumerate(units)
    ]
    merge, level, depth = delayed(_Merge(carrier), name=f"merge-{run}", traverse=False), maps, 0
    while depth == 0 or len(level) > 1:  # a single state is merged as well: it goes through what all go through
        parts = [level[start : start + _AT_ONCE] for start in range(0, len(level), _AT_ONCE)]
        level = [merge(part, dask_key_name=f"combine-{run}-{depth}-{i}") for i, part in enumerate(parts)]
        depth += 1
    return maps, level[0]


def _pack(probe: Probe) -> bytes:
    """The probe as bytes; a class from a file goes with it, and with its states from now on."""
    import cloudpickle

    name = type(probe).__module__
    if name.startswith(FILE_MODULE):
        cloudpickle.register_pickle_by_value(sys.modules[name])
    return bytes(cloudpickle.dumps(probe))


@lru_cache(maxsize=2)
def _unpack(packed: bytes) -> Probe:
    import cloudpickle

    probe: Probe = cloudpickle.loads(packed)
    return probe

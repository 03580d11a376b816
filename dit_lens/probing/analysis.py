"""A probe and the traces that it reads, ready to run: in a loop, under dask, or in parts.

The loop is the default: chunks stream through ``map`` and a running ``combine``, and one chunk and a few states are in
memory at a time, however large the stores. dask does the same units on more threads, processes or machines. Parts of
them can be left to other jobs, and their states joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import xarray as xr

from dit_lens.probing.blame import blame, who
from dit_lens.probing.chunks import TraceCut, forget_video
from dit_lens.probing.errors import BadParams, ProbeFailed
from dit_lens.probing.fold import Fold
from dit_lens.probing.protocol import Probe, State
from dit_lens.probing.provenance import identity_of, provenance
from dit_lens.probing.schedulers import fold_on
from dit_lens.probing.shards import read_shards, write_shard
from dit_lens.probing.sources import Origin
from dit_lens.probing.states import check_state
from dit_lens.probing.units import Unit, map_chunk, merge_states, units_of

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Analysis", "Progress"]

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all): of what is read, in memory, which need not be what lies on the disk."""


@dataclass(frozen=True)
class Analysis:
    """A probe and the traces that it will read, after everything that could be wrong with them was looked for.

    Attributes
    ----------
    probe : Probe
    origins : tuple of Origin
        Where each trace lies.
    cuts : tuple of TraceCut
        The traces, open, in the same order.
    skipped : tuple of str
        Traces that are left out because they are not complete.

    Examples
    --------
    >>> from dit_lens.probing import prepare
    >>> from dit_lens.testing import synthetic_store
    >>> folder = getfixture("tmp_path")
    >>> analysis = prepare(synthetic_store(folder / "x.zarr"), "energy")
    >>> len(analysis.units), analysis.nbytes
    (8, 11520)
    >>> [analysis.write_shard((part, 2), folder).name for part in range(2)]
    ['energy.shard-0-of-2.state', 'energy.shard-1-of-2.state']
    >>> analysis.join_shards(folder).identical(analysis.run())
    True
    """

    probe: Probe
    origins: tuple[Origin, ...]
    cuts: tuple[TraceCut, ...]
    skipped: tuple[str, ...]

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The chunks of all traces, in order."""
        return tuple(unit for origin, cut in self._open.items() for unit in units_of(origin, cut))

    @cached_property
    def _open(self) -> dict[Origin, TraceCut]:
        return dict(zip(self.origins, self.cuts, strict=True))

    @property
    def nbytes(self) -> int:
        """How much is read in all, in memory."""
        return sum(unit.nbytes for unit in self.units)

    def run(self, progress: Progress | None = None, scheduler: str | Client | None = None) -> xr.Dataset:
        """Compute the result."""
        return self._finish(self._fold(self.units, progress, scheduler))

    def write_shard(
        self,
        part: tuple[int, int],
        folder: str | Path,
        progress: Progress | None = None,
        scheduler: str | Client | None = None,
    ) -> Path:
        """Compute part i of n, every n-th unit from the i-th on, and write its state into a folder.

        Parameters
        ----------
        part : tuple of int
            (i, n), i from 0 on.
        folder : str or Path
            The same for all parts.
        progress, scheduler
            As for ``analyze``.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        BadParams
            If there is no such part, or it would be empty.
        BadState
            If no file can keep a state of the probe; found out with the first unit.
        """
        number, count = part
        if not 0 <= number < count <= len(self.units):
            raise BadParams(
                f"no part {number} of {count} can be made; got {number}/{count}, allowed 0/N to N-1/N with N from 1 to "
                f"{len(self.units)}, the number of chunks; choose another"
            )
        mine = self.units[number::count]
        check_state(self._map(mine[0]), self.probe)
        state = self._fold(mine, progress, scheduler)
        return write_shard(state, self.probe, self._identity, part, Path(folder))

    def join_shards(self, folder: str | Path) -> xr.Dataset:
        """Join the parts that ``write_shard`` left in a folder into the result; no chunk is read.

        Raises
        ------
        MissingShard, OtherShard, BadShard
            If one is missing, belongs to another probe, parameters or traces, or cannot be read.
        """
        fold = self._new_fold()
        for state in read_shards(self.probe, self._identity, Path(folder)):
            fold.add(state)
        return self._finish(fold.result())

    def check_shards(self, folder: str | Path) -> None:
        """Look at the parts in a folder without reading their states; the errors are those of ``join_shards``."""
        read_shards(self.probe, self._identity, Path(folder))

    @property
    def _identity(self) -> dict[str, Any]:
        return identity_of(self.probe, self.cuts, self.nbytes)

    def _fold(self, units: Sequence[Unit], progress: Progress | None, scheduler: str | Client | None) -> State:
        done, total = 0, sum(unit.nbytes for unit in units)

        def tell(number: int) -> None:
            nonlocal done
            done += units[number].nbytes
            if progress:
                progress(done, total)

        try:
            return self._loop(units, tell) if scheduler is None else fold_on(scheduler, self.probe, units, tell)
        finally:
            forget_video()

    def _loop(self, units: Sequence[Unit], tell: Callable[[int], None]) -> State:
        fold = self._new_fold()
        for number, unit in enumerate(units):
            fold.add(self._map(unit))
            tell(number)
        return fold.result()

    def _new_fold(self) -> Fold:
        return Fold(lambda states: merge_states(self.probe, states))

    def _map(self, unit: Unit) -> State:
        return map_chunk(self.probe, self._open[unit.origin], unit.place)

    def _finish(self, state: State) -> xr.Dataset:
        with blame(self.probe, "finish"):
            result = self.probe.finish(state)
        if not isinstance(cast("object", result), xr.Dataset):  # a promise that is checked here, not believed
            got = type(result).__name__
            raise ProbeFailed(f"{who(self.probe)} failed in finish; got a {got}, allowed an xarray.Dataset")
        return result.assign_attrs(provenance(self.probe, self.cuts, self.skipped))

"""One unit of the swap: both runs and the stranger's recorded once, then one run for each window, source and direction.

What is recorded goes into a scratch store; an edit streams it from there, one event at a time, so a donor's activations
are never in memory together. Of a run with a swap only x0 is read, and kept in memory. ``forward`` swaps the donor's
into the question's run, ``backward`` the question's into the donor's. Whatever the source, the effect is measured on
the way to the other run of the pair: that of the stranger and of noise says how much of it anything would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from dit_lens import Edit, Mask, Result, Stored
from dit_lens_probes.swap.answers import flipped, read_answer
from dit_lens_probes.swap.effects import effect_and_moved
from dit_lens_probes.swap.noise import SameNorm
from dit_lens_probes.swap.pairs import Pair, pair_of
from dit_lens_probes.swap.places import Places, find_places, pooled_mask, token_mask
from dit_lens_stores import Store, create_store

if TYPE_CHECKING:
    from dit_lens.causal import Context, Unit
    from dit_lens_probes.swap.params import SwapParams

__all__ = ["DIRECTIONS", "MEASURES", "SOURCES", "Swaps", "measure_unit"]

DIRECTIONS = ("forward", "backward")
SOURCES = ("donor", "random", "noise")
MEASURES = ("effect", "moved", "effect_end", "flipped", "score", "solved")
_OTHER = {"own": "donor", "donor": "own"}


@dataclass(frozen=True)
class Ran:
    """What is read of one run: x0 after the last swap, the last latents, and the video's answer and scores."""

    x0: npt.NDArray[np.float64]
    latents: torch.Tensor
    video: npt.NDArray[np.uint8] | None

    @property
    def end(self) -> npt.NDArray[np.float64]:
        """The last latents, which are x0 of the end."""
        return self.latents[0].double().cpu().numpy()


class Swaps:
    """The runs of one unit.

    Parameters
    ----------
    context : Context
    params : SwapParams
    unit : Unit
    folder : pathlib.Path
        For the scratch store.
    """

    def __init__(self, context: Context, params: SwapParams, unit: Unit, folder: Path) -> None:
        self.context, self.params = context, params
        self.pair: Pair = pair_of(unit, params)
        self.places: Places = find_places(context.layout, params)
        self.store: Store = create_store(folder / "runs.zarr")
        both = (self.pair.own.question, self.pair.donor.question)
        self._mask: Mask | None = token_mask(both, params.region, context.layout)
        _, *grid = context.layout.latent
        self._read = pooled_mask(both, params.read, context.layout, (grid[0], grid[1], grid[2]))

    def record(self, name: str) -> Ran:
        """Run ``own``, ``donor`` or ``stranger`` as it is, and keep what can be swapped."""
        unit = getattr(self.pair, name)
        whole = self.params.verdict and name != "stranger"
        lens, read = self.context.lens, self.places.captures
        result = lens.trace(self.context.request(unit), read, self.store, trace_id=name, **self._course(unit, whole))
        return self._ran(result, self.store[name]["x0.guided.raw"])

    def swap(self, into: str, source: str, window: Sequence[int]) -> Ran:
        """Run ``into`` with a window of layers from a source: ``own``, ``donor``, ``random`` or ``noise``."""
        unit = getattr(self.pair, into)
        edit = Edit("block.out", self.places.where(tuple(window)), "replace", self._source(into, source), self._mask)
        lens, course = self.context.lens, self._course(unit, self.params.verdict)
        result = lens.generate(self.context.request(unit), edits=[edit], keep=[self.places.read], **course)
        return self._ran(result, result.kept["x0.guided.raw"])

    def _source(self, into: str, source: str) -> Any:
        if source == "noise":
            return SameNorm(self.store.path, into, _OTHER[into], self.params.noise_seed)
        return Stored(str(self.store.path), "stranger" if source == "random" else source)

    def _course(self, unit: Unit, whole: bool) -> dict[str, Any]:
        """To the end and decoded, or to the last swap."""
        stop = None if whole else self.places.steps[-1]
        return {"stop_after": stop, "decode": whole and unit.question.puzzle is not None}

    def _ran(self, result: Result, x0_SCFHW: xr.DataArray) -> Ran:
        x0 = x0_SCFHW.sel(step=self.places.steps[-1]).values.astype(np.float64)
        return Ran(x0 if self._read is None else x0[:, self._read], result.latents, result.video)


def measure_unit(context: Context, params: SwapParams, unit: Unit) -> xr.Dataset:
    """Everything that is measured of one question with one seed.

    Parameters
    ----------
    context : Context
    params : SwapParams
    unit : Unit

    Returns
    -------
    xarray.Dataset
        ``MEASURES`` over (direction, source, layer); ``sham_identical`` and ``flippable`` over direction; ``calls``.
    """
    with context.scratch() as folder, context.counting() as calls:
        swaps = Swaps(context, params, unit, folder)
        runs = {name: swaps.record(name) for name in ("own", "donor", "stranger")}
        tables = [_direction(swaps, runs, into, source) for into, source in _OTHER.items()]
        sham = [_sham(swaps, runs, into) for into in _OTHER]
    answers = [read_answer(getattr(swaps.pair, name).question, runs[name].video) for name in _OTHER]
    dims = ("direction", "source", "layer")
    table = np.array(tables)
    return xr.Dataset(
        {
            **{name: (dims, table[..., at]) for at, name in enumerate(MEASURES)},
            "sham_identical": ("direction", np.array(sham)),
            "flippable": ((), not np.isnan(flipped(answers[0], answers[1], None))),
            "calls": ((), calls.count),
        },
        coords={
            "direction": list(DIRECTIONS),
            "source": list(SOURCES),
            "layer": [window[0] for window in swaps.places.windows],
            "layer_to": ("layer", [window[-1] for window in swaps.places.windows]),
        },
    )


def _direction(swaps: Swaps, runs: dict[str, Ran], into: str, source: str) -> list[list[list[float]]]:
    """The measures of every source and window, one direction."""
    named = {"donor": source, "random": "random", "noise": "noise"}
    return [
        [_measured(swaps, runs, into, swaps.swap(into, named[each], window)) for window in swaps.places.windows]
        for each in SOURCES
    ]


def _measured(swaps: Swaps, runs: dict[str, Ran], into: str, patched: Ran) -> list[float]:
    own, donor = runs[into], runs[_OTHER[into]]
    unit, other = getattr(swaps.pair, into), getattr(swaps.pair, _OTHER[into])
    end = float("nan")
    if swaps.params.verdict:
        end, _ = effect_and_moved(own.end, donor.end, patched.end)
    answers = read_answer(unit.question, own.video), read_answer(other.question, donor.video)
    score = swaps.context.score(unit, patched.video)
    return [
        *effect_and_moved(own.x0, donor.x0, patched.x0),
        end,
        flipped(*answers, read_answer(unit.question, patched.video)),
        score["score"],
        score["solved"],
    ]


def _sham(swaps: Swaps, runs: dict[str, Ran], into: str) -> bool:
    """Whether every layer's own output in its place changes no bit: of all windows at once, or of none."""
    return torch.equal(swaps.swap(into, into, swaps.places.layers).latents, runs[into].latents)

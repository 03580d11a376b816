"""The runs of one unit: the clean one, its controls, and any number with noise, each measured against the clean one.

The clean run is traced, because others go on from it; of those only what is measured is kept, in memory, and becomes a
row of numbers. The activations of the clean run lie in a scratch file until the unit is done.

Shapes: S steps, B branches, L layers, C channels, F frames, H, W latent height and width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from dit_lens.causal.layers import LayerDistances, relative_distance
from dit_lens.edits import Edit, Start
from dit_lens.errors import BadEdit
from dit_lens_probes.noise.alike import cka_distance
from dit_lens_probes.noise.injected import Clean
from dit_lens_probes.noise.sweep import CAPTURES, Sweep
from dit_lens_stores import open_store

if TYPE_CHECKING:
    from dit_lens import Result
    from dit_lens.causal import Context, Unit
    from dit_lens_stores import Trace

    There = Trace | Mapping[str, xr.DataArray]

__all__ = ["Measured", "Runs"]

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What one run is, beside the clean one.

    Attributes
    ----------
    score, solved : float
        By the rules of the puzzle; NaN without.
    final_distance : float
        Of the latents that it ends with.
    latent_distance_S, x0_distance_S : numpy.ndarray
        At each step; of the latents that it starts from, and of the clean latent that it expects.
    layer_distance_SBL, layer_cka_SBL : numpy.ndarray
        Of the activations: relative distance, and 1 - CKA.
    identical : bool
        Whether it ends with the same latents, bit for bit.
    resets : tuple of int
        Steps before which the solver forgot.
    """

    score: float
    solved: float
    final_distance: float
    latent_distance_S: Numbers
    x0_distance_S: Numbers
    layer_distance_SBL: Numbers
    layer_cka_SBL: Numbers
    identical: bool
    resets: tuple[int, ...]


class Runs:
    """Run one unit in any way; the clean run comes first, when this is made.

    Parameters
    ----------
    context : Context
    unit : Unit
    sweep : Sweep
    folder : pathlib.Path
        A scratch folder.
    late_start : bool
        Whether runs may go on from the clean one.
    """

    def __init__(self, context: Context, unit: Unit, sweep: Sweep, folder: Path, late_start: bool) -> None:
        self._context, self._unit, self._folder = context, unit, folder
        self._request = context.request(unit)
        self._layers = LayerDistances(folder / "clean.raw", context.layout, sweep.layers) if sweep.layers else None
        self._cka = sweep.cka
        keeping = [self._layers.keeping()] if self._layers else []
        store = folder / "clean.zarr"
        self._result = context.lens.trace(self._request, CAPTURES, store, edits=keeping, trace_id="clean")
        self._trace = open_store(store)["clean"]
        self._starts = late_start and self._can_start()
        self._controls: dict[tuple[int, ...], Measured] = {}
        self._clean = self._measured(self._result, self._trace, self._empty_layers(), self._empty_layers())

    def clean_steps(self, steps: Sequence[int]) -> dict[int, Clean]:
        """Latents and x0 of some steps of the clean run."""
        latents, x0 = self._trace["latent.raw"], self._trace["x0.guided.raw"]
        sigmas = self._context.layout.sigmas
        return {
            step: Clean(_tensor(latents, step), _tensor(x0, step), float("nan") if sigmas is None else sigmas[step])
            for step in steps
        }

    @property
    def clean(self) -> Measured:
        """The clean run, beside itself."""
        return self._clean

    def noisy(self, edits: Sequence[Edit], first: int = 0) -> Measured:
        """A run with edits from a step on."""
        return self._compared(edits, start=self._start(first))

    def control(self, resets: tuple[int, ...]) -> Measured:
        """The run with the solver's resets of another run, and nothing else; the clean one where there are none."""
        if not any(resets):  # before step 0 there is nothing to forget
            return self._clean
        if resets not in self._controls:
            self._controls[resets] = self._reset(resets)
        return self._controls[resets]

    def started(self, step: int) -> Measured:
        """The clean run again, from a late step on: shows that going on from there is exact."""
        return self.noisy([], step)

    def _reset(self, resets: tuple[int, ...]) -> Measured:
        return self._compared([], start=self._start(min(resets)), resets=resets)

    def _compared(self, edits: Sequence[Edit], **course: Any) -> Measured:
        """A run beside the clean one; what watches it changes nothing."""
        found = self._empty_layers(), self._empty_layers()
        watching = [self._layers.comparing(found[0])] if self._layers else []
        watching += [self._layers.comparing(found[1], cka_distance)] if self._layers and self._cka else []
        result = self._context.lens.generate(self._request, edits=[*edits, *watching], keep=CAPTURES[:2], **course)
        return self._measured(result, result.kept, *found)

    def _can_start(self) -> bool:
        """Whether this pipeline and scheduler can go on from a stored step."""
        try:
            self._context.lens.plan_edits(self._request, start=self._start_at(self._context.steps - 1))
        except BadEdit:
            return False
        return True

    def _start(self, step: int) -> Start | None:
        return self._start_at(step) if self._starts and step > 0 else None

    def _start_at(self, step: int) -> Start:
        return Start((self._folder / "clean.zarr").as_posix(), "clean", step)

    def _empty_layers(self) -> Numbers:
        layout = self._context.layout
        return self._layers.empty() if self._layers else np.zeros((layout.steps, len(layout.branches), 0))

    def _measured(self, result: Result, there: There, layers_SBL: Numbers, cka_SBL: Numbers) -> Measured:
        ended, clean = result.latents, self._result.latents
        return Measured(
            **self._context.score(self._unit, result.video),
            final_distance=relative_distance(ended, clean),
            latent_distance_S=self._distances(there, "latent.raw"),
            x0_distance_S=self._distances(there, "x0.guided.raw"),
            layer_distance_SBL=layers_SBL,
            layer_cka_SBL=cka_SBL,
            identical=torch.equal(ended, clean),
            resets=result.resets,
        )

    def _distances(self, there: There, name: str) -> Numbers:
        """At every step that ran; zero before a late start, which goes on from the clean run's own latents."""
        found = np.zeros(self._context.layout.steps)
        for step in map(int, there[name]["step"].values):
            found[step] = relative_distance(_tensor(there[name], step), _tensor(self._trace[name], step))
        return found


def _tensor(array: xr.DataArray, step: int) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.sel(step=step).values))

"""Measure one unit: the clean run, every control, and every condition of the sweep, as one dataset.

What is measured of a place in a sweep has a name that says which sweep it is of: ``score_at_step``, ``score_at_frame``,
``score_at_cell``. Beside each stands the run that it must be compared to, with the solver's resets that the noise
brought about and without the noise: ``control_score_at_step`` and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens_probes.noise.injected import Clean, draw_noise, edits_of, noised, sham_edits
from dit_lens_probes.noise.params import At, NoiseParams
from dit_lens_probes.noise.runs import Runs
from dit_lens_probes.noise.sweep import Place, Sweep

if TYPE_CHECKING:
    from dit_lens.causal import Context, Unit

__all__ = ["PLACE_DIMS", "measure_unit"]

PLACE_DIMS: Mapping[At, tuple[str, ...]] = {"step": ("step",), "frame": ("frame",), "cell": ("step", "frame")}
_LEADING = ("kind", "level", "noise_seed")
_OBSERVED = ("observed",)
_LAYERS = ("observed", "branch", "layer")
_OF_RUN = {
    "score": ("score", ()),
    "solved": ("solved", ()),
    "final_distance": ("final_distance", ()),
    "latent_distance": ("latent_distance_S", _OBSERVED),
    "x0_distance": ("x0_distance_S", _OBSERVED),
    "layer_distance": ("layer_distance_SBL", _LAYERS),
    "layer_cka": ("layer_cka_SBL", _LAYERS),
}
"""By variable: what it is of a run, and the dimensions that it has beside those of the place."""


def measure_unit(context: Context, params: NoiseParams, sweep: Sweep, unit: Unit) -> xr.Dataset:
    """Run everything on one question with one seed.

    Parameters
    ----------
    context : Context
    params : NoiseParams
    sweep : Sweep
    unit : Unit

    Returns
    -------
    xarray.Dataset
    """
    with context.scratch() as folder, context.counting() as calls:
        runs = Runs(context, unit, sweep, folder, params.late_start)
        each = calls.count
        clean = runs.clean_steps(sweep.steps)
        parts = [_controls(runs, sweep, clean)]
        parts += [_swept(runs, params, sweep, unit, at, clean) for at in sweep.at]
        cost = {"calls": calls.count, "calls_of_a_whole_run": each}
    measured = xr.merge(parts, join="exact", compat="no_conflicts").assign(cost)
    return measured.assign_coords(_coordinates(context, sweep))


def _controls(runs: Runs, sweep: Sweep, clean: Mapping[int, Clean]) -> xr.Dataset:
    """The clean run, the sham at each level, and the clean run gone on from the last step of the sweep."""
    shams = [runs.noisy(sham_edits(level, sweep.steps, sweep.frames, dict(clean))) for level in sweep.levels]
    started = runs.started(sweep.steps[-1])
    return xr.Dataset(
        {
            "clean_score": runs.clean.score,
            "clean_solved": runs.clean.solved,
            "sham_identical": ("level", [sham.identical for sham in shams]),
            "sham_distance": ("level", [sham.final_distance for sham in shams]),
            "late_start_identical": started.identical,
        }
    )


def _swept(runs: Runs, params: NoiseParams, sweep: Sweep, unit: Unit, at: At, clean: dict[int, Clean]) -> xr.Dataset:
    """Every place of one sweep with every kind, level and noise seed."""
    places = sweep.places(at)
    shape = (len(sweep.kinds), len(sweep.levels), len(sweep.noises), len(places))
    measured = np.empty(shape, dtype=object)
    controls = np.empty((shape[1], shape[3]), dtype=object)
    doses = np.zeros((*shape, len(runs.clean.latent_distance_S)))
    for index in np.ndindex(*shape):
        kind, level, noise, place = (labels[i] for labels, i in zip(_labels(sweep, places), index, strict=True))
        values = {
            step: noised(kind, params.strength, clean[step], draw_noise(unit, noise, step, clean[step].latent_CFHW))
            for step in place.steps
        }
        edits, dose = edits_of(level, place, values, clean)
        doses[index][list(dose)] = list(dose.values())
        measured[index] = run = runs.noisy(edits, place.first)
        # which steps are reset follows from level and place, so every kind and noise has the same control
        controls[index[1], index[3]] = runs.control(run.resets)
    laid = _Layout(sweep, at)
    return xr.merge(
        [laid.runs(measured, _LEADING), laid.runs(controls, ("level",), "control_"), laid.doses(doses)],
        join="exact",
        compat="no_conflicts",
    )


def _labels(sweep: Sweep, places: Sequence[Place]) -> tuple[Any, ...]:
    return sweep.kinds, sweep.levels, sweep.noises, places


@dataclass(frozen=True)
class _Layout:
    """How the runs of one sweep become variables."""

    sweep: Sweep
    at: At

    def runs(self, measured: npt.NDArray[np.object_], leading: tuple[str, ...], prefix: str = "") -> xr.Dataset:
        """A variable for each thing that is measured of a run."""
        return xr.Dataset(
            {
                f"{prefix}{name}_at_{self.at}": self._variable(_column(measured, attribute), leading, own)
                for name, (attribute, own) in _OF_RUN.items()
                if (own != _LAYERS or self.sweep.layers) and (name != "layer_cka" or self.sweep.cka)
            }
        )

    def doses(self, doses: npt.NDArray[np.float64]) -> xr.Dataset:
        """Of a single step one number; otherwise one for each step with noise."""
        if self.at == "frame":
            return xr.Dataset({"dose_at_frame": self._variable(doses, _LEADING, _OBSERVED)})
        return xr.Dataset({f"dose_at_{self.at}": self._variable(doses.max(axis=-1), _LEADING, ())})

    def _variable(
        self, values: npt.NDArray[np.float64], leading: tuple[str, ...], own: tuple[str, ...]
    ) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
        sizes = {"step": len(self.sweep.steps), "frame": len(self.sweep.frames)}
        dims = PLACE_DIMS[self.at]
        before, behind = values.shape[: len(leading)], values.shape[len(leading) + 1 :]
        return (*leading, *dims, *own), values.reshape(*before, *(sizes[dim] for dim in dims), *behind)


def _column(measured: npt.NDArray[np.object_], attribute: str) -> npt.NDArray[np.float64]:
    """One attribute of an array of runs, with the dimensions that it has itself behind."""
    values = np.array([getattr(run, attribute) for run in measured.ravel()], dtype=np.float64)
    return values.reshape(*measured.shape, *values.shape[1:])


def _coordinates(context: Context, sweep: Sweep) -> dict[str, Any]:
    """Labels; sigma, timestep and expert stand beside both dimensions of steps."""
    observed = context.along_step("observed", "observed_")
    injected = context.along_step("step")
    along = {name: ("step", [values[step] for step in sweep.steps]) for name, (_, values) in _named(injected)}
    layers = {"branch": list(context.layout.branches), "layer": list(sweep.layers)} if sweep.layers else {}
    return {
        "kind": list(sweep.kinds),
        "level": list(sweep.levels),
        "noise_seed": list(sweep.noises),
        **({"step": list(sweep.steps), **along} if {"step", "cell"} & set(sweep.at) else {}),
        **({"frame": list(sweep.frames)} if {"frame", "cell"} & set(sweep.at) else {}),
        **observed,
        **layers,
    }


def _named(coords: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in coords.items() if isinstance(value, tuple)]

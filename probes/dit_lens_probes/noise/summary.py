"""From what was measured of every unit to what is concluded: means with intervals over puzzles.

The *effect* of noise is the score of a run with it less that of its control, which has the same resets of the solver
and no noise, on the same puzzle with the same seed. Distances have no upper limit, and are kept of every unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dit_lens.causal.intervals import SCORES, over_puzzles
from dit_lens.puzzles import TASKS
from dit_lens_probes.noise.params import At

if TYPE_CHECKING:
    from dit_lens.causal import Context
    from dit_lens_probes.noise.sweep import Sweep

__all__ = ["CONTROLS", "REPEATS", "summarise"]

REPEATS = ("noise_seed",)
CONTROLS = ("clean: clean_score", "sham: sham_identical", "late start: late_start_identical", "floor: floor")
_LONG_NAMES = {
    "score": "score by the rules of the puzzle",
    "solved": "share solved by the rules of the puzzle",
    "final_distance": "relative L2 distance of the last latents from the clean run",
    "latent_distance": "relative L2 distance of the latents from the clean run",
    "x0_distance": "relative L2 distance of the expected clean latent from the clean run",
    "layer_cka": "1 - CKA (linear, debiased) of the activations and those of the clean run",
    "layer_distance": "relative L2 distance of the activations from the clean run",
    "dose": "relative L2 distance of what the noise left from the clean latents, where it was put in",
}


def summarise(units: xr.Dataset, context: Context, sweep: Sweep) -> xr.Dataset:
    """Everything that was measured, with the floor, the means and the effects.

    Parameters
    ----------
    units : xarray.Dataset
        What ``gather`` gave.
    context : Context
    sweep : Sweep

    Returns
    -------
    xarray.Dataset
    """
    result = units.assign(floor=("question", _floors(units)))
    result = result.merge(_with_ends(over_puzzles(result["clean_score"]), "clean_score"))
    for at in sweep.at:
        result = result.merge(_of_sweep(result, at))
    for name, variable in result.variables.items():
        quantity = next((each for each in _LONG_NAMES if each in str(name)), None)
        if quantity:
            variable.attrs["long_name"] = _LONG_NAMES[quantity]
    controls = [*CONTROLS, *(f"reset of the solver: control_score_at_{at}" for at in sweep.at)]
    return result.assign_attrs(controls=controls, **_told(context, sweep))


def _of_sweep(result: xr.Dataset, at: At) -> xr.Dataset:
    score, control = result[f"score_at_{at}"], result[f"control_score_at_{at}"]
    parts = {
        f"score_at_{at}": over_puzzles(score, SCORES, REPEATS),
        f"control_score_at_{at}": over_puzzles(control, SCORES),
        f"effect_at_{at}": over_puzzles(score - control, None, REPEATS),
    }
    return xr.merge([_with_ends(ends, name) for name, ends in parts.items()], join="exact", compat="no_conflicts")


def _with_ends(ends: xr.Dataset, name: str) -> xr.Dataset:
    return ends.rename({end: f"{name}_{end}" for end in ("mean", "low", "high")})


def _floors(units: xr.Dataset) -> list[float]:
    """What a video scores in which nothing happens; NaN where it is not known."""
    kinds = zip(units["task"].values.tolist(), units["variant"].values.tolist(), strict=True)
    return [
        float(TASKS[task].do_nothing.get(variant, np.nan)) if task in TASKS else float("nan") for task, variant in kinds
    ]


def _told(context: Context, sweep: Sweep) -> dict[str, object]:
    """What was edited and what it brought about, in words that a reader can repeat."""
    forgets = "state" in sweep.levels and context.solver_remembers
    frames = "+".join(map(str, sweep.frames))
    steps = "+".join(map(str, sweep.steps))
    where = {"step": f"step=S,frame={frames}", "frame": f"step={steps},frame=F", "cell": "step=S,frame=F"}
    return {
        "edits": [
            f"{level}:replace:{kind}[{where[at]}]" for at in sweep.at for level in sweep.levels for kind in sweep.kinds
        ],
        "solver_resets": "before every step with noise in the state" if forgets else "none",
    }

"""Two figures of what seeds foretell: the area under the ROC curve by step, and the curve of one step.

The curve is that of the first step unless another is asked for: who looks for the step with the largest area finds one
by chance as well.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_lens.figures import note_data
from dit_lens.probing import BadParams
from dit_lens_probes.trajectory.foretelling import PREDICTORS, roc_of
from dit_lens_probes.trajectory.view import COLOURS, GREY, label_steps, mark_switch, name_step, plain

__all__ = ["draw_areas", "draw_roc", "has_area"]

_WORDS = {"disagreement": "disagreement of latents", "answer_entropy": "entropy of answers"}


def has_area(chosen: xr.Dataset) -> bool:
    """Whether any predictor can be held against verdicts."""
    return any(f"{name}_low" in chosen and bool(chosen[name].notnull().any()) for name in PREDICTORS.values())


def draw_areas(chosen: xr.Dataset) -> Figure:
    """Area under the ROC curve with its interval, by step."""
    figure = Figure(figsize=(8.0, 3.0), layout="constrained")
    axis, steps = figure.subplots(), np.arange(chosen.sizes["step"])
    for colour, (predictor, name) in zip(COLOURS, PREDICTORS.items(), strict=False):
        low, high = (chosen[f"{name}_{end}"].values for end in ("low", "high"))
        axis.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(steps, chosen[name].values, ".-", color=colour, label=_WORDS[predictor])
    axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("area under the ROC curve\nfor failing", fontsize=9)
    label_steps(axis, chosen)
    mark_switch(axis, chosen)
    plain(axis)
    axis.legend(fontsize=7.5, frameon=False)
    words = f"Do seeds that disagree foretell failure? {_counted(chosen)}; 95 % over questions"
    figure.suptitle(words, fontsize=9.5, x=0.01, ha="left")
    return note_data(figure, chosen[[name + end for name in PREDICTORS.values() for end in ("", "_low", "_high")]])


def draw_roc(chosen: xr.Dataset, step: int | None) -> Figure:
    """The curve of every predictor at one step, with chance.

    Parameters
    ----------
    chosen : xarray.Dataset
        See ``view.choose``.
    step : int, optional
        The first by default; negative numbers count from the end.

    Raises
    ------
    BadParams
        If the trace has no such step.
    """
    at = _place(chosen, step)
    here = chosen.isel(step=at)
    figure = Figure(figsize=(4.6, 4.9), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="chance: 0.500")
    curves = {name: _draw_curve(axis, here, name, colour) for name, colour in zip(PREDICTORS, COLOURS, strict=False)}
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axis.set_xlabel("share of solved questions above the threshold", fontsize=9)
    axis.set_ylabel("share of failed questions above the threshold", fontsize=9)
    plain(axis)
    figure.legend(loc="outside lower center", ncols=1, fontsize=8, frameon=False)
    where, *told = name_step(chosen, at).split("\n")
    where += f" ({', '.join(told)})" if told else ""
    title = f"Do seeds that disagree at {where} foretell failure?\narea, 95 % over questions"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    return note_data(figure, xr.concat(curves.values(), "predictor", join="outer", coords="minimal", compat="override")
                     .assign_coords(predictor=list(curves)))  # fmt: skip


def _draw_curve(axis: Axes, here: xr.Dataset, predictor: str, colour: str) -> xr.Dataset:
    found = roc_of(here[predictor], here["final_solved_mean"])
    alone = f" ({found.no_interval})" if found.no_interval else f"\n{found.failed} failed, {found.solved} solved"
    told = found.no_area or f"{found.area}{alone}"
    axis.plot(found.false_rates, found.true_rates, ".-", color=colour, label=f"{_WORDS[predictor]}: {told}")
    area = {"area": found.area.mean, "area_low": found.area.low, "area_high": found.area.high}
    counts = {"failed": found.failed, "solved": found.solved}
    rates = {"false_rate": ("point", list(found.false_rates)), "true_rate": ("point", list(found.true_rates))}
    points = {"point": np.arange(len(found.false_rates))}
    steps = {name: here[name] for name in ("step", "sigma", "expert") if name in here.coords}
    return xr.Dataset({**rates, **area, **counts}, coords={**points, **steps})


def _place(chosen: xr.Dataset, step: int | None) -> int:
    held = [int(one) for one in chosen["step"].values]
    if step is None:
        return 0
    if -len(held) <= step < 0:
        return len(held) + step
    if step not in held:
        raise BadParams(
            f"probe 'trajectory' finds no such step to draw a ROC of; got {step}, allowed {', '.join(map(str, held))}; "
            f"choose one"
        )
    return held.index(step)


def _counted(chosen: xr.Dataset) -> str:
    """Questions that have a verdict; of how many of them a predictor is known may differ from step to step."""
    solved = chosen["final_solved_mean"].values
    failed, known = int((solved < 0.5).sum()), int(np.isfinite(solved).sum())
    return f"{known} questions with a verdict, {failed} failed"

"""What a page needs of a result: summaries by their labels, how many puzzles they are of, and what controls say."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import xarray as xr

from dit_lens_probes.energy.curves import mean_over_traces
from dit_lens_probes.trajectory.together import shares_by_step

__all__ = ["kept"]

_SEED = re.compile(r"-seed-(\d+)")
_ANSWERS = {"kind": "task", "asked": "asked", "answer": "final_answer", "solved": "final_solved"}
_ENDS = ("mean", "low", "high")


def kept(result: xr.Dataset) -> dict[str, Any]:
    """Summaries over puzzles, with their labels.

    Parameters
    ----------
    result : xarray.Dataset
        Of a causal probe, of ``trajectory`` or of ``energy`` with a mask.

    Returns
    -------
    dict
        Can be written as JSON.
    """
    if "trace" not in result.dims:
        return _of_units(result)
    by_probe = {"trajectory": _of_answers, "energy": _of_energy}
    return _of_traces(result, by_probe[result.attrs["probe"]](result))


def _of_units(result: xr.Dataset) -> dict[str, Any]:
    """Of each control that is a truth value, in how many units it held."""
    names = [str(name) for name in result.data_vars if str(name).endswith(("_mean", "_low", "_high")) or name == "says"]
    controls = {
        str(name): f"{int(values.sum())} of {values.size}"
        for name, values in result.data_vars.items()
        if values.dtype == bool and {"question", "seed"} <= set(values.dims)
    }
    means = {str(name): result[name].mean(("question", "seed")) for name in ("calls", "cost") if name in result}
    summaries = result[names].assign(means)
    sizes = {"questions": result.sizes["question"], "seeds": result.sizes["seed"], "controls": controls}
    return {**sizes, **_written(summaries), "sigma": _sigmas(result)}


def _of_traces(result: xr.Dataset, summaries: xr.Dataset) -> dict[str, Any]:
    traces = [str(trace) for trace in result["trace"].values]
    questions, seeds = {_SEED.sub("", trace) for trace in traces}, {_SEED.findall(trace)[0] for trace in traces}
    sizes = {"questions": len(questions), "seeds": len(seeds), "controls": {}}
    return {**sizes, **_written(summaries), "sigma": _sigmas(summaries)}


def _of_answers(result: xr.Dataset) -> xr.Dataset:
    """The shares of the figure, and what every video answered in the end."""
    branch = str(result["branch"].values[0])
    answers = {name: ("trace", result[held].values) for name, held in _ANSWERS.items()}
    return shares_by_step(result, branch).assign(answers)


def _of_energy(result: xr.Dataset, branch: str = "cond") -> xr.Dataset:
    """How many times the energy of even tokens lies on the mask, by step and layer, and what even tokens would have.

    Divided puzzle by puzzle: masks differ in size more than the shares of one mask do.
    """
    chosen = result[["mask_share", "mask_even"]].sel(branch=branch)
    times = (chosen["mask_share"] / chosen["mask_even"]).transpose("trace", "step", "layer")
    ends, even = mean_over_traces(times.values), mean_over_traces(chosen["mask_even"].mean(("step", "layer")).values)
    found = times.isel(trace=0, drop=True).to_dataset(name="times_mean")
    for at, end in enumerate(_ENDS):
        found[f"times_{end}"] = (("step", "layer"), ends[at])
        found[f"even_{end}"] = even[at]
    return found


def _written(summaries: xr.Dataset) -> dict[str, Any]:
    summaries = summaries.drop_attrs()
    labels = {dim: summaries[dim].values.tolist() for dim in summaries.dims if dim in summaries.coords}
    return {"labels": labels, "variables": {str(name): _listed(values) for name, values in summaries.data_vars.items()}}


def _listed(values: xr.DataArray) -> dict[str, Any]:
    return {"dims": list(values.dims), "values": np.asarray(values.values).tolist()}


def _sigmas(result: xr.Dataset) -> list[float] | None:
    return [round(float(sigma), 3) for sigma in result["sigma"].values] if "sigma" in result.coords else None

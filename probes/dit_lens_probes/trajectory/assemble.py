"""From what every trace leaves to one dataset: traces side by side, seeds of a question held against each other.

Pieces are keyed by trace, so merging them is a union, whose order cannot matter. Traces need not agree: the result
carries the union of their labels. What the seeds of a question disagree on is read at every step, and held against how
the questions end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from dit_lens_probes.trajectory.foretelling import foretold
from dit_lens_probes.trajectory.measure import Piece
from dit_lens_probes.trajectory.seeds import answer_entropy, disagreement
from dit_lens_probes.trajectory.shown import FILL

__all__ = ["Pieces", "assemble", "merge"]

Pieces = Mapping[str, Piece]
_STEP_COORDS = ("sigma", "timestep", "expert")


def merge(pieces: Sequence[Pieces]) -> Pieces:
    """Unite pieces.

    Examples
    --------
    >>> merge([{}, {}])
    {}
    """
    return {trace: piece for part in pieces for trace, piece in part.items()}


def assemble(pieces: Pieces) -> xr.Dataset:
    """Lay all traces out in one dataset, and compare the seeds of each question.

    Parameters
    ----------
    pieces : mapping of str to Piece
        At least one.

    Returns
    -------
    xarray.Dataset
    """
    traces = sorted(pieces)
    labels = xr.Variable(("trace",), np.array(traces, dtype=object))
    result = xr.concat(
        [pieces[trace].values for trace in traces],
        dim="trace",
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        fill_value={**FILL, "expert": ""},
    ).assign_coords(trace=labels)
    result = _along_step(result)
    if "no_scorer" in result and (result["no_scorer"] != "").all():
        result = _without_scores(result)
    names = _names(pieces)
    asked = np.array([names[pieces[trace].key] for trace in traces], dtype=object)
    return foretold(_compared(result.assign_coords(asked=("trace", asked)), pieces, names))


def _names(pieces: Pieces) -> dict[str, str]:
    """A name for each key; two questions of one name get a part of their keys."""
    first = {piece.key: piece.name for _, piece in sorted(pieces.items(), reverse=True)}
    named = list(first.values())
    return {key: name if named.count(name) == 1 else f"{name}-{key[:6]}" for key, name in first.items()}


def _along_step(result: xr.Dataset) -> xr.Dataset:
    """Sigma, timestep and expert along step while all traces agree, otherwise along (trace, step)."""
    for name in (name for name in _STEP_COORDS if name in result):
        values = result[name].transpose("trace", "step").values
        blank = values == "" if values.dtype == object else ~np.isfinite(values.astype(float))
        first = values[(~blank).argmax(0), np.arange(values.shape[1])]
        agree = bool((blank | (values == first)).all())
        variable = xr.Variable(("step",), first) if agree else xr.Variable(("trace", "step"), values)
        result = result.drop_vars(name).assign_coords({name: variable})
    return result


def _without_scores(result: xr.Dataset) -> xr.Dataset:
    """Variables that nothing has been read into would only look like results."""
    of_scores = [
        *("answer", "solved", "score", "candidates_visible", "visible", "dropped_answer", "dropped_since"),
        *("first_step", "commitment_step", "share", "blend", "bimodality", "end_a", "end_b"),
        *("task", "final_answer", "final_solved", "final_score"),
    ]
    return result.drop_vars([*of_scores, "candidate"], errors="ignore")


def _compared(result: xr.Dataset, pieces: Pieces, names: Mapping[str, str]) -> xr.Dataset:
    """The seeds of each question against each other."""
    members = {name: [t for t in sorted(pieces) if pieces[t].key == key] for key, name in names.items()}
    members = dict(sorted(members.items()))
    spread = np.array(
        [[_spread(result, pieces, group, b) for b in result["branch"].values] for group in members.values()]
    )
    variables: dict[str, Any] = {
        "seeds": ("question", [len(group) for group in members.values()]),
        "disagreement": (("question", "branch", "step"), spread),
    }
    if "answer" in result:
        entropy = [[_entropy(result, group, b) for b in result["branch"].values] for group in members.values()]
        mean = {name: [_mean(result[name].sel(trace=group)) for group in members.values()] for name in _VERDICTS}
        variables["answer_entropy"] = (("question", "branch", "step"), np.array(entropy))
        variables |= {f"{name}_mean": ("question", values) for name, values in mean.items()}
    return result.assign(variables).assign_coords(question=np.array(list(members), dtype=object))


_VERDICTS = ("final_solved", "final_score")


def _spread(result: xr.Dataset, pieces: Pieces, group: Sequence[str], branch: str) -> list[float]:
    scale = float(np.mean([pieces[trace].scale for trace in group]))
    found = []
    for step in result["step"].values.tolist():
        held = [sketch for trace in group if (sketch := pieces[trace].sketches.get((branch, step))) is not None]
        found.append(disagreement(np.stack(held)) / scale if held else float("nan"))
    return found


def _entropy(result: xr.Dataset, group: Sequence[str], branch: str) -> list[float]:
    chosen = result.sel(trace=list(group), branch=branch)
    read = chosen["score"].notnull()
    return [
        answer_entropy(chosen["answer"].isel(step=at).values[read.isel(step=at).values].tolist())
        for at in range(chosen.sizes["step"])
    ]


def _mean(values: xr.DataArray) -> float:
    known = values.values[np.isfinite(values.values)]
    return float(known.mean()) if len(known) else float("nan")

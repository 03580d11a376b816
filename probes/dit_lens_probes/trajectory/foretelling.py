"""Whether what the seeds of a question disagree on at a step foretells that the question is failed.

A question is failed if less than half of its seeds solve it. A predictor is held against that by the area under its ROC
curve over questions: 1/2 is chance, and above it what is large comes with failure. Its interval is over questions; the
seeds of one are no more than the one number that they give.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import xarray as xr

from dit_lens.bench import Separation, separation

__all__ = ["PREDICTORS", "foretold", "roc_of"]

PREDICTORS: Mapping[str, str] = MappingProxyType({"disagreement": "auc_disagreement", "answer_entropy": "auc_entropy"})
"""By the variable that foretells, the name of its area."""


def roc_of(predictor: xr.DataArray, solved: xr.DataArray) -> Separation:
    """The ROC curve of one predictor, with its area.

    Parameters
    ----------
    predictor : xarray.DataArray
        Over ``question``.
    solved : xarray.DataArray
        The share of its seeds that solve a question; NaN leaves it out.

    Returns
    -------
    Separation

    Examples
    --------
    >>> shares = xr.DataArray([0.0, 0.25, 0.5, 1.0], dims="question")
    >>> roc_of(xr.DataArray([0.9, 0.8, 0.2, 0.1], dims="question"), shares).area.mean
    1.0
    """
    known = np.isfinite(solved.values)
    return separation(predictor.values[known].tolist(), (solved.values[known] < 0.5).tolist())


def foretold(result: xr.Dataset) -> xr.Dataset:
    """Add the area of every predictor by branch and step, with its interval; NaN has its reason in the attributes.

    Parameters
    ----------
    result : xarray.Dataset
        With ``final_solved_mean``, if there is a scorer.

    Returns
    -------
    xarray.Dataset
        ``auc_NAME``, ``auc_NAME_low`` and ``auc_NAME_high``; the attributes ``no_auc`` and ``no_auc_interval``.
    """
    if "final_solved_mean" not in result:
        return result.assign_attrs(no_auc=["no trace has a scorer"], no_auc_interval=["no trace has a scorer"])
    reasons: dict[str, dict[str, None]] = {"no_auc": {}, "no_auc_interval": {}}
    for predictor, name in PREDICTORS.items():
        ends = np.full((3, result.sizes["branch"], result.sizes["step"]), np.nan)
        for at in np.ndindex(*ends.shape[1:]):
            found = roc_of(result[predictor].isel(branch=at[0], step=at[1]), result["final_solved_mean"])
            ends[:, *at] = found.area.mean, found.area.low, found.area.high
            reasons["no_auc"] |= {f"{name}: {found.no_area}": None} if found.no_area else {}
            reasons["no_auc_interval"] |= {f"{name}: {found.no_interval}": None} if found.no_interval else {}
        result = result.assign(_named(name, predictor, ends))
    return result.assign_attrs({name: list(texts) for name, texts in reasons.items()})


def _named(name: str, predictor: str, ends: np.ndarray) -> dict[str, xr.Variable]:
    area = f"area under the ROC curve of {predictor} for failing; 1/2 is chance"
    texts = {"": area, "_low": f"{area} (lower end, 95 % over questions)", "_high": f"{area} (upper end)"}
    return {
        name + end: xr.Variable(("branch", "step"), values, {"long_name": text, "units": "1"})
        for (end, text), values in zip(texts.items(), ends, strict=True)
    }

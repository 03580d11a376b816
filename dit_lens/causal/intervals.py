"""Intervals for what a causal probe measured: puzzles are resampled, with all that was run on each of them.

Two conditions are compared puzzle by puzzle: the difference comes first, then its interval, because what a puzzle adds
to both is no news. Several seeds of a puzzle, of the run or of the noise, are repeats of it and never count as more.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens.bench.intervals import Interval, mean_interval, student_interval

__all__ = ["SCORES", "over_puzzles"]

SCORES = (0.0, 1.0)


def over_puzzles(
    values: xr.DataArray, limits: tuple[float, float] | None = SCORES, repeats: tuple[str, ...] = ()
) -> xr.Dataset:
    """Mean, and the ends of its interval, over the puzzles of all tasks; tasks weigh the same.

    Parameters
    ----------
    values : xarray.DataArray
        With ``question`` and ``seed``, and the coordinates ``task`` and ``variant`` along ``question``.
    limits : tuple of float, optional
        Lowest and highest possible value, which the interval then allows for; None of differences and effects, whose
        interval is Student's.
    repeats : tuple of str
        Further dimensions that are repeats of a puzzle, such as ``noise_seed``.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``low`` and ``high`` over the dimensions that are left; NaN where nothing was scored.

    Examples
    --------
    >>> coords = {"task": ("question", ["maze"] * 4), "variant": ("question", ["plain"] * 4)}
    >>> values = xr.DataArray([[1.0], [1.0], [0.0], [1.0]], dims=("question", "seed"), coords=coords)
    >>> {name: round(float(end), 3) for name, end in over_puzzles(values).items()}
    {'mean': 0.75, 'low': 0.177, 'high': 0.993}
    """
    pooled: list[Hashable] = ["seed", *(dim for dim in repeats if dim in values.dims)]
    dims = [dim for dim in values.dims if dim != "question" and dim not in pooled]
    table = values.transpose(*dims, "question", *pooled).values
    table = table.reshape(*table.shape[: len(dims)], values.sizes["question"], -1)
    kinds = list(zip(values["task"].values.tolist(), values["variant"].values.tolist(), strict=True))
    rows = [[row for row, kind in enumerate(kinds) if kind == each] for each in dict.fromkeys(kinds)]
    shape = table.shape[: len(dims)]
    ends = np.array([_ends(table[at], rows, limits) for at in np.ndindex(*shape)]).reshape(*shape, 3)
    coords = {dim: values[dim] for dim in dims if dim in values.coords}
    return xr.Dataset(
        {name: xr.DataArray(ends[..., at], dims=dims, coords=coords) for at, name in enumerate(("mean", "low", "high"))}
    )


def _ends(scores_PS: npt.NDArray[np.float64], rows: list[list[int]], limits: tuple[float, float] | None) -> list[float]:
    tasks = [scores_PS[own] for own in rows]
    tasks = [task for task in tasks if not np.isnan(task).all()]
    if not tasks:
        return [np.nan] * 3
    found: Interval = student_interval(tasks) if limits is None else mean_interval(tasks, limits=limits)
    return [found.mean, found.low, found.high]

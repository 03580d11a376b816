"""Scores of held-out videos, and their intervals over videos.

Classes: of each class, the mean over videos of the share of the video's rows that were told right; the score is the
mean over classes. So a class weighs the same however rare it is, and a video however many rows it has; guessing scores
one over the number of classes. Numbers: one less the squared error over that of the mean of the training labels.

Shapes: N rows, G groups (videos), C classes, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dit_lens.bench.intervals import mean_interval
from dit_lens_probes.linear.folds import Task
from dit_lens_probes.linear.nested import Predicted

__all__ = ["Scored", "score"]

Floats = npt.NDArray[np.float64]
_RESAMPLES, _LEVEL = 1000, 0.95


@dataclass(frozen=True)
class Scored:
    """A score with its interval, and by video.

    Attributes
    ----------
    value, low, high : float
    by_group : tuple of float
        The score of one video over the classes that it shows, or its mean squared error; NaN without labelled rows.
    """

    value: float
    low: float
    high: float
    by_group: tuple[float, ...]

    @classmethod
    def nothing(cls, groups: int) -> Scored:
        """No score.

        Examples
        --------
        >>> Scored.nothing(1)
        Scored(value=nan, low=nan, high=nan, by_group=(nan,))
        """
        return cls(*(float("nan"),) * 3, (float("nan"),) * groups)


def score(task: Task, predicted: Predicted, ends: bool = True) -> Scored:
    """Score what was predicted.

    Parameters
    ----------
    task : Task
    predicted : Predicted
    ends : bool
        Whether an interval is wanted.

    Examples
    --------
    >>> codes, groups = np.array([0.0, 0, 1, 1]), np.arange(4)
    >>> task = Task(tuple("abcd"), groups, ("no", "yes"), codes, groups)
    >>> score(task, Predicted(np.array([0.0, 1, 1, 1]), codes, ())).value
    0.75
    """
    return _of_classes(task, predicted, ends) if task.classes else _of_numbers(task, predicted, ends)


def _of_classes(task: Task, predicted: Predicted, ends: bool) -> Scored:
    known = ~np.isnan(task.code_N)
    groups, codes = task.group_N[known], task.code_N[known].astype(np.intp)
    right = (predicted.value_N[known] == task.code_N[known]).astype(np.float64)
    cell = groups * len(task.classes) + codes
    size = len(task.groups) * len(task.classes)
    total_GC = np.bincount(cell, minlength=size).reshape(len(task.groups), -1)
    right_GC = np.bincount(cell, weights=right, minlength=size).reshape(len(task.groups), -1)
    share_GC = np.where(total_GC > 0, right_GC / np.maximum(total_GC, 1), np.nan)
    tables = [column[~np.isnan(column)] for column in share_GC.T if not np.isnan(column).all()]
    shown = total_GC > 0
    by_group = np.where(shown.any(1), np.nansum(share_GC, 1) / np.maximum(shown.sum(1), 1), np.nan)
    value, low, high = float(np.mean([table.mean() for table in tables])), float("nan"), float("nan")
    if ends:
        found = mean_interval([table[:, None] for table in tables], resamples=_RESAMPLES, level=_LEVEL)
        low, high = found.low, found.high
    return Scored(value, low, high, tuple(by_group.tolist()))


def _of_numbers(task: Task, predicted: Predicted, ends: bool) -> Scored:
    known = ~np.isnan(task.code_N)
    groups, codes = task.group_N[known], task.code_N[known]
    size = len(task.groups)
    count_G = np.bincount(groups, minlength=size)
    error_G = np.bincount(groups, weights=(codes - predicted.value_N[known]) ** 2, minlength=size)
    base_G = np.bincount(groups, weights=(codes - predicted.base_N[known]) ** 2, minlength=size)
    by_group = np.where(count_G > 0, error_G / np.maximum(count_G, 1), np.nan)
    value, low, high = float(1 - error_G.sum() / base_G.sum()), float("nan"), float("nan")
    if ends:
        held = count_G > 0
        weight_RG = np.random.default_rng(0).dirichlet(np.ones(int(held.sum())), _RESAMPLES)
        values_R = 1 - (weight_RG @ error_G[held]) / (weight_RG @ base_G[held])
        low, high = map(float, np.quantile(values_R, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]))
    return Scored(value, low, high, tuple(by_group.tolist()))

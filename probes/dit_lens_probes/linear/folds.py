"""Who is on which side: folds of whole videos, and labels permuted between whole videos.

The control gives every video the labels of another one, drawn at random, and repeats everything after that: folds,
choice of the penalty, scores. Its labels vary exactly as the real ones do (one for a trace, or a map of tokens); they
only have nothing to do with the video. A probe that does as well on them reads positions or chance, not the label.

Shapes: N rows of all traces, one trace after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dit_lens.probing import BadParams
from dit_lens_probes.linear.rows import Video

__all__ = ["Task", "deal", "make_task", "permuted"]

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Everything about the rows but their features.

    Attributes
    ----------
    groups : tuple of str
        Videos that are never split, each named by the first of its traces.
    group_N : numpy.ndarray of int
        The group of every row.
    classes : tuple of str
        Empty if labels are numbers.
    code_N : numpy.ndarray of float64
        The number of the class, or the number itself; NaN where a row has no label.
    fold_N : numpy.ndarray of int
    """

    groups: tuple[str, ...]
    group_N: Ints
    classes: tuple[str, ...]
    code_N: Floats
    fold_N: Ints


def make_task(videos: Mapping[str, Video], kind: str, folds: int, seed: int) -> Task:
    """Read labels, and deal videos to folds.

    Parameters
    ----------
    videos : mapping of str to Video
        By trace.
    kind : {"class", "number"}
    folds : int
    seed : int

    Raises
    ------
    BadParams
        For labels that are no numbers, a single class, a class of one video, or fewer videos than folds.
    """
    traces = sorted(videos)
    members = _members(videos)
    codes, classes = _codes(videos, kind)
    groups = list(members)
    rows = [len(videos[trace].at) for trace in traces]
    of_trace = {trace: index for index, group in enumerate(groups) for trace in members[group]}
    group_N = np.repeat([of_trace[trace] for trace in traces], rows)
    code_N = np.concatenate([codes[trace][videos[trace].at] for trace in traces])
    task = Task(tuple(members[g][0] for g in groups), group_N, classes, code_N, np.zeros(len(code_N), dtype=np.intp))
    _refuse_poor(task, folds)
    return replace(task, fold_N=deal(task, folds, seed))


def permuted(task: Task, videos: Mapping[str, Video], kind: str, folds: int, seed: int, number: int) -> Task:
    """The task with the labels of every group taken from another one, drawn at random.

    Parameters
    ----------
    task : Task
    videos : mapping of str to Video
    kind : {"class", "number"}
    folds, seed : int
    number : int
        Which of the permutations.
    """
    traces, members = sorted(videos), _members(videos)
    codes, _ = _codes(videos, kind)
    groups = list(members)
    donors = np.random.default_rng([seed, 1, number]).permutation(len(groups))
    giver = {
        trace: members[groups[donors[index]]][place % len(members[groups[donors[index]]])]
        for index, group in enumerate(groups)
        for place, trace in enumerate(members[group])
    }
    code_N = np.concatenate([codes[giver[trace]][videos[trace].at] for trace in traces])
    changed = replace(task, code_N=code_N)
    return replace(changed, fold_N=deal(changed, folds, seed + 1 + number))


def deal(task: Task, folds: int, seed: int) -> Ints:
    """The fold of every row: groups in random order, dealt out class by class so that folds are alike.

    Examples
    --------
    >>> codes, groups = np.array([0.0, 0, 1, 1, 0, 1]), np.arange(6)
    >>> task = Task(tuple("abcdef"), groups, ("no", "yes"), codes, groups)
    >>> np.bincount(deal(task, 3, 0)).tolist()
    [2, 2, 2]
    """
    order = np.random.default_rng([seed, 0]).permutation(len(task.groups))
    main = np.array([_main_class(task.code_N[task.group_N == group]) for group in order]) if task.classes else order
    order = order[np.argsort(main, kind="stable")] if task.classes else order
    fold_of_group = np.empty(len(task.groups), dtype=np.intp)
    fold_of_group[order] = np.arange(len(order)) % folds
    return fold_of_group[task.group_N]


def _main_class(codes: Floats) -> float:
    known = codes[~np.isnan(codes)].astype(np.intp)
    return float(np.bincount(known).argmax()) if known.size else -1.0


def _members(videos: Mapping[str, Video]) -> dict[str, list[str]]:
    """Traces by group, both sorted: the order in which they were read is gone."""
    members: dict[str, list[str]] = {}
    for trace in sorted(videos):
        members.setdefault(videos[trace].group, []).append(trace)
    return members


def _codes(videos: Mapping[str, Video], kind: str) -> tuple[dict[str, Floats], tuple[str, ...]]:
    if kind == "number":
        return {trace: _numbers(trace, video) for trace, video in videos.items()}, ()
    found = {label for video in videos.values() for label in video.labels.tolist() if label is not None}
    classes = sorted(
        found, key=lambda label: (isinstance(label, str), label if not isinstance(label, str) else 0, str(label))
    )
    number = {label: float(index) for index, label in enumerate(classes)}
    codes = {
        trace: np.array([np.nan if label is None else number[label] for label in video.labels.tolist()])
        for trace, video in videos.items()
    }
    return codes, tuple(map(str, classes))


def _numbers(trace: str, video: Video) -> Floats:
    try:
        return np.array([np.nan if label is None else float(label) for label in video.labels.tolist()])
    except ValueError as error:
        wrong = next(label for label in video.labels.tolist() if isinstance(label, str))
        message = f"linear.kind=number needs numbers; got '{wrong}' of trace '{trace}', allowed numbers"
        raise BadParams(f"{message}; take linear.kind=class") from error


def _refuse_poor(task: Task, folds: int) -> None:
    known = ~np.isnan(task.code_N)
    held = len(np.unique(task.group_N[known]))
    if held < folds:
        message = f"linear.folds needs a video for each fold; got {held} videos with labels, allowed {folds} or more"
        raise BadParams(
            f"{message}; trace more, or take linear.folds={max(held, 3)}" if held >= 3 else f"{message}; trace more"
        )
    different = np.unique(task.code_N[known])
    if len(different) < 2:
        only = task.classes[int(different[0])] if task.classes else f"{different[0]:g}"
        raise BadParams(f"all labels are the same; got '{only}', allowed two or more; trace others, or choose a label")
    for code in different if task.classes else ():
        count = len(np.unique(task.group_N[task.code_N == code]))
        if count < 2:
            message = f"class '{task.classes[int(code)]}' is of one video, which cannot be learned and tested; got 1"
            raise BadParams(f"{message}, allowed 2 or more; leave it out with --trace, or trace more")

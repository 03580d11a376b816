"""From the datasets of units to one over all of them, and what a video scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dit_lens.causal.units import Unit

if TYPE_CHECKING:
    import numpy.typing as npt

    from dit_lens.bench import Question

__all__ = ["put_together", "score_video"]


def put_together(units: Sequence[Unit], parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """One dataset with the dimensions ``question`` and ``seed`` in front.

    Parameters
    ----------
    units : sequence of Unit
    parts : sequence of xarray.Dataset
        One for each.

    Returns
    -------
    xarray.Dataset
    """
    by_question: dict[str, list[xr.Dataset]] = {}
    for unit, part in zip(units, parts, strict=True):
        by_question.setdefault(unit.question.name, []).append(part.expand_dims(seed=[unit.seed]))
    rows = [_concat(rows, "seed").expand_dims(question=[name]) for name, rows in by_question.items()]
    questions = {unit.question.name: unit.question for unit in units}
    along = {name: [getattr(questions[each], name) for each in by_question] for name in ("task", "variant", "label")}
    coords = {name: ("question", np.array(values, dtype=object)) for name, values in along.items()}
    return _concat(rows, "question").assign_coords(coords)


def score_video(question: Question, video: npt.NDArray[np.uint8] | None) -> dict[str, float]:
    """``score`` and ``solved`` by the rules of the puzzle; NaN without a puzzle or a video.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> (question,) = puzzle_questions(["maze:plain"], n=1)
    >>> score_video(question, question.puzzle.clip())
    {'score': 1.0, 'solved': 1.0}
    """
    if question.puzzle is None or video is None:
        return {"score": float("nan"), "solved": float("nan")}
    score = question.puzzle.score(video)
    return {"score": float(score.overall), "solved": float(score.solved)}


def _concat(parts: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    return xr.concat(
        parts, dim, data_vars="all", coords="minimal", compat="override", join="outer", combine_attrs="drop_conflicts"
    )

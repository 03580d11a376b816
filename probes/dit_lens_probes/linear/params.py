"""The parameters of the linear probe: which labels, which features, which fit."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["ALPHAS", "LinearParams"]

ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


class LinearParams(BaseModel):
    """Parameters of the linear probe.

    Attributes
    ----------
    label : str
        What to read. Of the shipped puzzles: ``answer``, ``given`` (what the video answers), ``solved``, any number,
        text or truth value of ``Puzzle.parameters``, or ``mask:NAME`` for a label per token; see ``docs/linear.md``.
        With ``csv``, the name of a column.
    csv : str
        A table with the columns ``trace``, optionally ``frame`` and ``token`` (the model's own numbers), and labels.
    kind : {"class", "number"}
        Classes are scored by balanced accuracy, numbers by the share of variance explained (R²).
    capture : str
        Where to read: the output of a block, or any other array with ``step``, ``layer`` and a vector for each token.
        A selection in it, as in ``block.out:raw[branch=cond]``, chooses the cells of the map.
    rows : {"auto", "trace", "frame", "token"}
        What one row of features is: the mean of the trace, of a frame, or a token. ``auto`` is what a label belongs to.
    tokens : int
        Tokens of a trace that are rows, drawn by the seed; the same in all steps and layers. 0 takes all.
    project : int
        If not 0, features are projected to so many dimensions by a seeded Gaussian matrix.
    model : {"ridge", "logistic"}
    split : str
        Only ``video``.
    folds : int
        Of the outer cross-validation; the inner one has one fold less.
    alphas : tuple of float
        Strengths of the penalty, in units of the summed weight of the training rows; chosen on inner folds.
    controls : int
        How often labels are permuted between videos.
    seed : int
        Of folds, permutations, drawn tokens and projection.
    memory : float
        Gigabytes that features may take; what would take more is refused before anything is read.
    branch : str, optional
        Which branch is drawn; all by default.

    Examples
    --------
    >>> LinearParams().rows, LinearParams(label="mask:path").label
    ('auto', 'mask:path')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = "answer"
    csv: str = ""
    kind: Literal["class", "number"] = "class"
    capture: str = "block.out:raw"
    rows: Literal["auto", "trace", "frame", "token"] = "auto"
    tokens: int = Field(default=64, ge=0)
    project: int = Field(default=0, ge=0)
    model: Literal["ridge", "logistic"] = "ridge"
    split: str = "video"
    folds: int = Field(default=5, ge=3)
    alphas: tuple[float, ...] = Field(default=ALPHAS, min_length=1)
    controls: int = Field(default=5, ge=1)
    seed: int = Field(default=0, ge=0)
    memory: float = Field(default=0.5, gt=0)
    branch: str | None = None

    @field_validator("alphas")
    @classmethod
    def _positive(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        if any(not alpha > 0 for alpha in alphas):
            raise ValueError("numbers above 0")
        return tuple(sorted(alphas))

"""The parameters of the probe of principal components."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PcaParams"]


class PcaParams(BaseModel):
    """Parameters of the probe of principal components.

    Attributes
    ----------
    capture : str
        Where to look: the output of a block, or any other array with ``step``, ``layer``, ``frame``, ``token`` and a
        vector. A selection in it chooses the cells of the map.
    components : int
        How many are kept.
    basis : {"cell", "layer"}
        Components of every branch, step and layer for itself, or one set for all steps and branches of a layer, under
        which the colours of two steps mean the same.
    standardise : bool
        Divide channels by their deviation first, so that a massive channel is one among many.
    project : int
        If not 0, features are projected to so many dimensions first, by a seeded Gaussian matrix.
    seed : int
        Of the projection.
    memory : float
        Gigabytes that the state may take; what would take more is refused before anything is read.
    trace : str, optional
        Whose tokens are mapped and drawn; the first by default.
    branch : str, optional
        Which branch is drawn; ``cond`` by default.
    step, layer : int, optional
        What is held fixed in one figure each; the middle ones by default. Negative numbers count from the end.
    max_rows, max_columns : int
        How many layers or steps, and frames, a figure shows at most.

    Examples
    --------
    >>> PcaParams().components
    8
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    capture: str = "block.out:raw"
    components: int = Field(default=8, ge=1)
    basis: Literal["cell", "layer"] = "cell"
    standardise: bool = False
    project: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    memory: float = Field(default=0.5, gt=0)
    trace: str | None = None
    branch: str | None = None
    step: int | None = None
    layer: int | None = None
    max_rows: int = Field(default=8, ge=1)
    max_columns: int = Field(default=9, ge=1)

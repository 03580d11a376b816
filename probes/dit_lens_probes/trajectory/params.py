"""What the trajectory probe may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["TrajectoryParams"]


class TrajectoryParams(BaseModel):
    """Parameters of the trajectory probe.

    Attributes
    ----------
    branches : bool
        Read the x0 of each branch as well, which the trace must then hold (``x0``).
    decode : bool
        Decode every x0. Without it there are no pictures and no answers, only what the latents say.
    model : str, optional
        Whose autoencoder decodes: a name, folder or Hub id. By default the model that the trace names.
    final : {"x0", "video"}
        What counts as the final answer: the last x0 that was recorded, or the video of the trace.
    frames : {"latent", "all"}
        Which decoded frames are kept as pictures: the last one of each latent frame, or all of them.
    picture : int
        Pixels along the longer side of a picture that is kept; larger ones are made smaller.
    visible : float
        How strongly a candidate must be there to count as visible, from 0 to 1.
    settled : float
        A frame is settled once its distance to the last step is at most this share of that at the first.
    trace, branch : str, optional
        What is drawn; the first of each by default.
    roc_step : int, optional
        The step whose ROC curve is drawn; the first by default. Negative numbers count from the end.
    max_rows, max_columns : int
        How many steps and frames the film strip shows at most, evenly spread.

    Examples
    --------
    >>> TrajectoryParams().final
    'x0'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    branches: bool = False
    decode: bool = True
    model: str | None = None
    final: Literal["x0", "video"] = "x0"
    frames: Literal["latent", "all"] = "latent"
    picture: int = Field(default=96, ge=8)
    visible: float = Field(default=0.2, gt=0, le=1)
    settled: float = Field(default=0.1, ge=0, lt=1)
    trace: str | None = None
    branch: str | None = None
    roc_step: int | None = None
    max_rows: int = Field(default=10, ge=2)
    max_columns: int = Field(default=9, ge=1)

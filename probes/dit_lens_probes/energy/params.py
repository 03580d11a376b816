"""The parameters of the energy probe: what is computed beside the maps, and what is drawn."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["EnergyParams"]


class EnergyParams(BaseModel):
    """Parameters of the energy probe.

    The two percentiles and ``sinks=mask`` change numbers; ``sinks``, ``channels``, ``mask`` and ``curves`` add some;
    the others choose what is drawn.

    Attributes
    ----------
    clip_low, clip_high : float
        Percentiles to which the robust map is clipped.
    sinks : {"none", "find", "mask"}
        ``find`` tokens that dominate most layers of a step, and ring them in the figures; ``mask`` leaves them out of
        the robust map, of shares and of curves as well. ``energy`` is never changed.
    sink_ratio : float
        How many times the median energy of its layer a token has to have to dominate it.
    channels : str
        Look for massive channels in the capture ``block.out:top:K`` (``top:4``) or ``block.out:raw`` (``raw``), which
        the trace has to hold; empty for not.
    mask : str
        A mask of the shipped puzzles, such as ``foreground``: adds the share of the energy that lies on it.
    curves : bool
        Add mean, median and peak by layer and step, over all traces.
    scale : {"robust", "raw"}
        Which map is drawn.
    overlay : bool
        Draw the maps over the decoded video.
    trace : str, optional
        Which trace is drawn; the first by default.
    branch : str, optional
        Which branch is drawn; ``cond`` by default.
    step : int, optional
        The step of the figure over layers; the middle one by default. Negative numbers count from the end.
    layer : int, optional
        The layer of the figure over steps; the middle one by default. Negative numbers count from the end.
    max_rows, max_columns : int
        How many layers or steps, and frames, a figure shows at most, evenly spread.

    Examples
    --------
    >>> EnergyParams().scale
    'robust'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip_low: float = Field(default=1.0, ge=0, lt=100)
    clip_high: float = Field(default=99.0, gt=0, le=100)
    sinks: Literal["none", "find", "mask"] = "none"
    sink_ratio: float = Field(default=10.0, gt=1)
    channels: str = ""
    mask: str = ""
    curves: bool = False
    scale: Literal["robust", "raw"] = "robust"
    overlay: bool = False
    trace: str | None = None
    branch: str | None = None
    step: int | None = None
    layer: int | None = None
    max_rows: int = Field(default=10, ge=1)
    max_columns: int = Field(default=9, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> EnergyParams:
        if self.clip_low >= self.clip_high:
            raise ValueError("clip_low below clip_high")
        return self

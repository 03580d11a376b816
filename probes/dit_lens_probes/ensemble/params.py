"""The parameters of the ensemble probe."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = ["Baseline", "EnsembleParams"]

Baseline = Literal["end_mean", "latents", "window_first", "window_all", "strangers", "more_steps"]


def _listed(value: Any) -> Any:
    """One word, or several joined by ``+``, or a list."""
    return tuple(filter(None, value.split("+"))) if isinstance(value, str) else value


class EnsembleParams(BaseModel):
    """What is averaged, where, and what it is compared with.

    Attributes
    ----------
    n : int
        Runs that are averaged: the unit's own seed, and others.
    steps : str
        Steps at which activations are averaged, as in ``0`` or ``0:3``.
    layers : str
        Layers that get the mean, as in ``20:30``; by default from half to three quarters of the depth.
    branches : str
        As in ``cond``; all by default.
    mode : {"two-pass", "in-batch"}
        ``two-pass`` records all runs as they are, and puts the means of these into the run that goes on. ``in-batch``
        is another experiment: all runs go side by side and share each mean at once, so that a layer is given what the
        layers and steps before it were given.
    weights : tuple of int
        How often each run counts in the mean; on a command line as in ``ensemble.weights=2+1+1``. Once by default.
    continues : int
        The number of the run that goes on with the mean; 0 is the unit's own seed.
    seed_shift : int
        How much further on the seed of each next run is.
    baselines : tuple of str
        What the ensemble is compared with, beside its own single runs: ``end_mean``, the mean of the last latents;
        ``latents``, that of the latents after the last shared step; ``window_first`` and ``window_all``, other layers;
        ``strangers``, the mean with runs of other questions; ``more_steps``, as much compute on a single run. All by
        default; on a command line as in ``ensemble.baselines=latents+more_steps``, and empty for none.

    Examples
    --------
    >>> EnsembleParams().n, EnsembleParams().mode
    (3, 'two-pass')
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    n: int = Field(default=3, ge=1, le=64)
    steps: str = "0"
    layers: str = ""
    branches: str = ""
    mode: Literal["two-pass", "in-batch"] = "two-pass"
    weights: Annotated[tuple[int, ...], BeforeValidator(_listed)] = ()
    continues: int = Field(default=0, ge=0)
    seed_shift: int = Field(default=1000, ge=1)
    baselines: Annotated[tuple[Baseline, ...], BeforeValidator(_listed)] = get_args(Baseline)

    @model_validator(mode="after")
    def _fits(self) -> EnsembleParams:
        if self.continues >= self.n:
            raise ValueError(f"continues below n, which is {self.n}")
        if self.weights and (len(self.weights) != self.n or min(self.weights) < 0 or not any(self.weights)):
            raise ValueError(f"weights of {self.n} whole numbers, none below 0 and one above")
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """How often each run counts."""
        return self.weights or (1,) * self.n

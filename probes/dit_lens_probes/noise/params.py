"""The parameters of the noise probe: which noise, where, how often, and what is looked at."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["AT", "KINDS", "LEVELS", "At", "Kind", "Level", "NoiseParams"]

Kind = Literal["paper", "dose"]
Level = Literal["state", "view"]
At = Literal["step", "frame", "cell"]
KINDS: tuple[Kind, ...] = ("paper", "dose")
LEVELS: tuple[Level, ...] = ("state", "view")
AT: tuple[At, ...] = ("step", "frame", "cell")


def _listed(value: Any) -> Any:
    """One word, or several joined by ``+``, or a list."""
    return tuple(value.split("+")) if isinstance(value, str) else value


def _text(value: Any) -> Any:
    """Numbers as they come from a command line that reads JSON."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else value


Text = Annotated[str, BeforeValidator(_text)]


class NoiseParams(BaseModel):
    """Parameters of the noise probe.

    Attributes
    ----------
    kind : tuple of {"paper", "dose"}
        ``paper``: unit noise takes the place of the latents. ``dose``: the clean run's own x0 of the step is noised
        anew to the step's sigma. Both by default; on a command line as in ``noise.kind=paper+dose``.
    level : tuple of {"state", "view"}
        ``state``: the latents that the solver carries; ``view``: what the denoiser sees, while the solver goes on.
    at : tuple of {"step", "frame", "cell"}
        Noise in one step in all frames, in one frame in all steps, or in one frame of one step.
    steps, frames : str
        Which, as in ``0:20:5`` or ``0+3+7``; all by default. All frames of a step are those chosen here, and likewise.
    layers : str
        Layers of which the activations are compared; all by default, ``none`` for no layer.
    noise_seeds : int
        How many noises for each condition.
    strength : float
        From 0, nothing, to 1: how much of the noise that is there is exchanged; signal and variance stay.
    cka : bool
        Compare the activations of these layers by debiased CKA as well, of permuted minibatches where there are many
        tokens.
    late_start : bool
        Go on from the clean run where the noise begins, instead of repeating the steps before it.

    Examples
    --------
    >>> NoiseParams(kind="dose", steps=3).kind, NoiseParams(steps=3).steps
    (('dose',), '3')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[tuple[Kind, ...], BeforeValidator(_listed)] = Field(default=KINDS, min_length=1)
    level: Annotated[tuple[Level, ...], BeforeValidator(_listed)] = Field(default=("state",), min_length=1)
    at: Annotated[tuple[At, ...], BeforeValidator(_listed)] = Field(default=("step", "frame"), min_length=1)
    steps: Text = ""
    frames: Text = ""
    layers: Text = ""
    noise_seeds: int = Field(default=2, ge=1)
    strength: float = Field(default=1.0, ge=0, le=1)
    cka: bool = False
    late_start: bool = True

"""The parameters of the swap probe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["DonorKind", "SwapParams"]

DonorKind = Literal["objects", "prompt", "places", "seed"]


class SwapParams(BaseModel):
    """What is swapped, where, and what is read.

    Attributes
    ----------
    donor : {"objects", "prompt", "places", "seed"}
        Whose activations come in: the same scene layout with other objects, the same scene under another prompt, the
        same objects at each other's places, or the same question from another noise.
    steps : str
        Steps at which activations are swapped, all of them in one run, as in ``0`` or ``0:3``.
    layers : str
        Layers at which windows begin, as in ``0:40:10``; all by default.
    window : int
        Layers that are swapped together.
    branches : str
        As in ``cond``; all by default.
    region : str
        ``all`` tokens, or a mask of the puzzles such as ``foreground`` or ``target``: of both puzzles together.
    tokens : str
        Further selection of frames and tokens, as in ``frame=1:,y=0:4``.
    read : str
        Where x0 is compared: ``all``, or a mask of the puzzles, of both together.
    verdict : bool
        Whether runs go on to the end and the scorer reads their videos; without, they stop after the last swap.
    seed_shift : int
        How much further on the donor's seed is, if it is another seed.
    pair_seed : int
        Of the pairs of puzzles.
    noise_seed : int
        Of the noise control.

    Examples
    --------
    >>> SwapParams().steps, SwapParams(window=10).window
    ('0', 10)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    donor: DonorKind = "objects"
    steps: str = "0"
    layers: str = ""
    window: int = Field(default=1, ge=1)
    branches: str = ""
    region: str = "all"
    tokens: str = ""
    read: str = "all"
    verdict: bool = True
    seed_shift: int = Field(default=1000, ge=1)
    pair_seed: int = Field(default=0, ge=0)
    noise_seed: int = Field(default=0, ge=0)

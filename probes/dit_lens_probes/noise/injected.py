"""What is put in the place of latents: the values of each kind of noise, their dose, and the edits that put them there.

With sigma the noise level of a step, x its latents in the clean run and x0 the clean latent that the run expects there,
``x = (1 - sigma) x0 + sigma e``. The *paper's* noise takes the place of x as a whole, at each step the same unit noise:
a larger jump the later it comes, because there is less noise in x. The *matched* noise keeps x0 and exchanges e alone,
so the latents stay what the step is made for. The dose says how large the jump was: its L2 norm over that of x.

All values are known before a run: they come from the clean run and from seeds.

Shapes: C channels, F frames, H, W latent height and width.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import torch

from dit_lens.causal.layers import relative_distance
from dit_lens.edits import Edit, Values
from dit_lens_probes.noise.params import Kind, Level
from dit_lens_probes.noise.sweep import Place

if TYPE_CHECKING:
    from dit_lens.causal import Unit

__all__ = ["Clean", "draw_noise", "edits_of", "noised", "sham_edits"]


@dataclass(frozen=True)
class Clean:
    """Latents and x0 of one step of the clean run.

    Attributes
    ----------
    latent_CFHW, x0_CFHW : torch.Tensor
    sigma : float
        NaN where the scheduler has none.
    """

    latent_CFHW: torch.Tensor
    x0_CFHW: torch.Tensor
    sigma: float


def draw_noise(unit: Unit, noise: int, step: int, like_CFHW: torch.Tensor) -> torch.Tensor:
    """Unit noise of a unit, a noise seed and a step; the same for every kind, level and place.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> from dit_lens.causal import Unit
    >>> unit = Unit(puzzle_questions(["maze:plain"], n=1)[0], seed=0)
    >>> a, b = (draw_noise(unit, noise, 3, torch.zeros(2, 2, 2, 2)) for noise in (0, 1))
    >>> torch.equal(a, draw_noise(unit, 0, 3, torch.zeros(2, 2, 2, 2))), torch.equal(a, b)
    (True, False)
    """
    words = f"{unit.question.name}/{unit.seed}/{noise}/{step}"
    seed = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1
    return torch.randn(like_CFHW.shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def noised(kind: Kind, strength: float, clean: Clean, noise_CFHW: torch.Tensor) -> torch.Tensor:
    """The latents of a step with noise in them; the clean ones, bit for bit, at strength 0.

    Examples
    --------
    >>> clean = Clean(torch.tensor([2.0]), torch.tensor([4.0]), sigma=0.5)  # so the noise in it is 0
    >>> noised("paper", 1.0, clean, torch.tensor([1.0])), noised("dose", 1.0, clean, torch.tensor([1.0]))
    (tensor([1.]), tensor([2.5000]))
    """
    x, kept = clean.latent_CFHW, sqrt(1 - strength**2)
    if strength == 0:
        return x
    if kind == "paper":
        return kept * x + strength * noise_CFHW
    signal = (1 - clean.sigma) * clean.x0_CFHW
    return signal + kept * (x - signal) + strength * clean.sigma * noise_CFHW


def edits_of(
    level: Level, place: Place, values: dict[int, torch.Tensor], clean: dict[int, Clean]
) -> tuple[list[Edit], dict[int, float]]:
    """The edits of one condition, and the dose at each of its steps.

    Parameters
    ----------
    level : {"state", "view"}
    place : Place
    values : dict
        By step, the latents with noise in all frames.
    clean : dict
        By step.
    """
    frames = list(place.frames)
    edits, doses = [], {}
    for step in place.steps:
        where = f"step={step},frame={'+'.join(map(str, frames))}"
        edits.append(Edit(level, where, "replace", Values(values[step])))
        there = clean[step].latent_CFHW.clone()
        there[:, frames] = values[step][:, frames]
        doses[step] = relative_distance(there, clean[step].latent_CFHW)
    return edits, doses


def sham_edits(level: Level, steps: tuple[int, ...], frames: tuple[int, ...], clean: dict[int, Clean]) -> list[Edit]:
    """The edits of all conditions at once, with the run's own latents in the place of noise."""
    where = f"frame={'+'.join(map(str, frames))}"
    return [Edit(level, f"step={step},{where}", "replace", Values(clean[step].latent_CFHW)) for step in steps]

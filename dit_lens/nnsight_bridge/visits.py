"""Every call of a denoiser that a run makes, in its order: how an address becomes a number of visits.

The layout says which expert runs a step and which branches it runs; guidance calls the denoiser once for every branch,
or once for all of them as rows of a batch. A module of a denoiser is visited once in each of these calls, so the number
of a call among those of its expert is what nnsight would count, if it counted everything from the start.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout

__all__ = ["Visit", "plan_visits"]

_BATCHED = ("uncond", "cond")
"""Branches in the order in which they are rows of one batch."""


@dataclass(frozen=True)
class Visit:
    """One call of a denoiser.

    Attributes
    ----------
    index : int
        Among all calls of the run.
    number : int
        Among the calls of its own expert: what nnsight would count.
    expert : str
    step : int
    branches : tuple of str
        The branch of every row of the batch.

    Examples
    --------
    >>> print(Visit(3, 3, "transformer", 1, ("uncond",)))
    transformer/uncond/step 1
    """

    index: int
    number: int
    expert: str
    step: int
    branches: tuple[str, ...]

    @property
    def branch(self) -> str:
        """All branches in one word."""
        return "+".join(self.branches)

    def __str__(self) -> str:
        return f"{self.expert}/{self.branch}/step {self.step}"


def plan_visits(layout: Layout, *, batched: bool = False) -> tuple[Visit, ...]:
    """Every call of a denoiser, in the order of the run.

    Parameters
    ----------
    layout : Layout
    batched : bool
        Whether the branches are rows of one call.

    Returns
    -------
    tuple of Visit

    Examples
    --------
    >>> from dit_lens.engine.layout import Layout
    >>> steps = {"experts": ("transformer", "transformer_2"), "timesteps": (9.0, 4.0), "sigmas": (0.9, 0.4)}
    >>> sizes = {"layers": 1, "tokens": (1, 1, 1), "channels": 8, "latent": (4, 1, 1, 1), "video": (1, 8, 8)}
    >>> layout = Layout(branches=("cond", "uncond"), dtype="float32", **steps, **sizes)
    >>> [(visit.number, str(visit)) for visit in plan_visits(layout)][1:3]
    [(1, 'transformer/uncond/step 0'), (0, 'transformer_2/cond/step 1')]
    >>> [(visit.number, str(visit)) for visit in plan_visits(layout, batched=True)]
    [(0, 'transformer/uncond+cond/step 0'), (0, 'transformer_2/uncond+cond/step 1')]
    """
    calls = [_BATCHED] if batched and len(layout.branches) > 1 else [(branch,) for branch in layout.branches]
    of_expert: Counter[str] = Counter()
    visits: list[Visit] = []
    for step, expert in enumerate(layout.experts):
        for branches in calls:
            visits.append(Visit(len(visits), of_expert[expert], expert, step, branches))
            of_expert[expert] += 1
    return tuple(visits)

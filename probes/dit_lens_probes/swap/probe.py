"""The swap probe: put one run's activations into another, layer by layer, and see whether the answer comes along.

Three facts to read it by, none of which is refused:

- The residual stream carries everything that later layers get, except what enters them on its own: the prompt, by
  cross-attention. Between two runs under one prompt (donors ``places`` and ``seed``), a swap of all tokens in all
  branches therefore gives the donor's velocity whatever the layer, and tells no layer from another. Swap a region of
  the tokens or one branch, or take a donor with another prompt.
- At every step and branch, such a swap is the donor's run, if both start from one noise.
- A window of layers with all tokens is its last layer: what the earlier ones were given is overwritten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import xarray as xr
from pydantic import BaseModel

from dit_lens_probes.swap.params import SwapParams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dit_lens.causal import Context, Unit

__all__ = ["Swap"]


class Swap:
    """Swaps block outputs between two runs.

    Parameters
    ----------
    params : SwapParams, optional

    Examples
    --------
    >>> from dit_lens.probing import is_causal
    >>> is_causal(Swap), Swap().params.donor
    (True, 'objects')
    """

    name: ClassVar[str] = "swap"
    version: ClassVar[str] = "1.0"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "Which layer carries the answer: block outputs swapped between two runs, layer by layer."
    Params: ClassVar[type[BaseModel]] = SwapParams
    draws_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: SwapParams | None = None) -> None:
        self.params = params or SwapParams()

    def check(self, context: Context) -> None:
        """Refuse donors, places and masks that do not exist, before anything runs."""
        from dit_lens import Edit
        from dit_lens_probes.swap.pairs import pair_of
        from dit_lens_probes.swap.places import find_places, pooled_mask, token_mask

        places = find_places(context.layout, self.params)
        _, frames, rows, columns = context.layout.latent
        for unit in context.units:
            pair = pair_of(unit, self.params)
            both = (pair.own.question, pair.donor.question)
            pooled_mask(both, self.params.read, context.layout, (frames, rows, columns))
            mask = token_mask(both, self.params.region, context.layout)
            edit = Edit("block.out", places.where(places.layers), "zero", mask=mask)
            stop = None if self.params.verdict else places.steps[-1]
            for each in (pair.own, pair.donor, pair.stranger):
                context.lens.plan_edits(context.request(each), [edit], stop_after=stop)
            context.lens.plan_edits(context.request(pair.stranger), stop_after=places.steps[-1])

    def run(self, context: Context) -> xr.Dataset:
        """Measure all units, and put intervals over the puzzles."""
        from dit_lens_probes.edited import tell_steps
        from dit_lens_probes.swap.measure import measure_unit
        from dit_lens_probes.swap.places import find_places
        from dit_lens_probes.swap.summary import summarize

        def measure(unit: Unit) -> xr.Dataset:
            return measure_unit(context, self.params, unit)

        places = find_places(context.layout, self.params)
        told = {
            "controls": [
                "sham: sham_identical",
                "random donor (source random): effect",
                "noise of the same norm (source noise): effect",
            ],
            **tell_steps(context.layout, places.steps, places.branches),
        }
        return summarize(context.gather(measure)).assign_attrs(told)

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """Effect on x0 by layer; with verdicts, flipped answers and the effect at the end as well."""
        from dit_lens_probes.swap.figures import by_layer

        figures = {"effect_by_layer": by_layer(result, "effect", "effect on x0 after the swap (1: the other run's)")}
        if result["effect_end"].notnull().any():
            quantity = "effect on the last latents (1: the other run's)"
            figures["effect_end_by_layer"] = by_layer(result, "effect_end", quantity)
        if result["flipped"].notnull().any():
            figures["flips_by_layer"] = by_layer(result, "flipped", "share of answers that became the other run's")
        return figures

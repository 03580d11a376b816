"""The ensemble probe: whether the mean of several seeds' activations does more than one of them, and than its cost.

The mean of block outputs over N seeds, taken place by place (same frame, row and column), goes into one of the runs,
which then goes on alone. Two readings of it are told apart. In two passes the means are those of runs that nobody
touched; all layers of a window get theirs, and with all tokens that is its last layer's mean, because the residual
stream carries everything behind it. In a batch the runs go side by side and share a mean as soon as it is there; then
they agree behind the first layer of the window, and it is that layer's mean.

What a mean is worth depends on what it is compared with, so that comes with it: each seed alone, the best of them,
means of latents, of other layers and of strangers, and as many forward passes spent on more steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import xarray as xr
from pydantic import BaseModel

from dit_lens.probing import BadParams
from dit_lens_probes.ensemble.params import EnsembleParams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dit_lens.causal import Context, Unit
    from dit_lens_probes.ensemble.places import Places

__all__ = ["Ensemble"]


class Ensemble:
    """Means of block outputs over seeds.

    Parameters
    ----------
    params : EnsembleParams, optional

    Examples
    --------
    >>> from dit_lens.probing import is_causal
    >>> is_causal(Ensemble), Ensemble().params.n
    (True, 3)
    """

    name: ClassVar[str] = "ensemble"
    version: ClassVar[str] = "1.0"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "Does the mean of several seeds' activations help, against what costs as much."
    Params: ClassVar[type[BaseModel]] = EnsembleParams
    draws_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: EnsembleParams | None = None) -> None:
        self.params = params or EnsembleParams()

    def check(self, context: Context) -> None:
        """Refuse places that do not exist and questions that nothing scores, before anything runs."""
        from dit_lens import Edit
        from dit_lens_probes.ensemble.places import find_places

        unscored = next((each.name for each in context.questions if each.puzzle is None), None)
        if unscored is not None:
            raise BadParams(
                f"probe 'ensemble' compares scores; got '{unscored}', which nothing scores, allowed puzzles; ask with "
                f"--task"
            )
        places = find_places(context.layout, self.params)
        self._check_latents(context, places)
        for unit in context.units[:1]:
            request, last = context.request(unit), places.steps[-1]
            for layers in places.windows.values():
                edit = Edit("block.out", places.where(layers), "scale", 1.0)
                context.lens.plan_edits(request, [edit])
                context.lens.plan_edits(request, [edit], stop_after=last)

    def run(self, context: Context) -> xr.Dataset:
        """Measure all units, and compare puzzle by puzzle."""
        from dit_lens_probes.edited import tell_steps
        from dit_lens_probes.ensemble.measure import measure_unit
        from dit_lens_probes.ensemble.places import find_places
        from dit_lens_probes.ensemble.summary import summarize

        def measure(unit: Unit) -> xr.Dataset:
            return measure_unit(context, self.params, unit)

        places = find_places(context.layout, self.params)
        controls = ["sham: sham_identical", "average single seed (condition singles): score"]
        if "strangers" in self.params.baselines:
            controls.append("random donor (condition strangers): score")
        told = {**tell_steps(context.layout, places.steps, places.branches), "controls": controls}
        layers = list(places.windows["ensemble"])
        return summarize(context.gather(measure)).assign_attrs(told, edited_layers=layers)

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """Scores with their cost, and differences."""
        from dit_lens_probes.ensemble.figures import scores_and_differences

        return {"scores": scores_and_differences(result)}

    def _check_latents(self, context: Context, places: Places) -> None:
        from dit_lens import Edit, Selection
        from dit_lens_probes.ensemble.measure import free_frames

        if "latents" not in self.params.baselines:
            return
        after = places.steps[-1] + 1
        if after == context.steps:
            raise BadParams(
                f"probe 'ensemble' has no latents to average after the last step; got step {after - 1} of "
                f"{context.steps} steps, allowed 0 to {after - 2}; choose an earlier step, or leave latents out of "
                f"ensemble.baselines"
            )
        where = Selection(step=(after,), frame=free_frames(context, context.units[0]))
        context.lens.plan_edits(context.request(context.units[0]), [Edit("state", where, "scale", 1.0)])

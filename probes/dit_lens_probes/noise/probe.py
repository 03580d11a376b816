"""The noise probe: noise in one step, in one frame, or in one frame of one step, and what follows from it.

Two kinds of noise are told apart. Replacing latents by unit noise destroys what the run knows as well as the noise
level that the step is made for, and does more of both the later it comes. Exchanging the noise in them, at the step's
own sigma, keeps the clean latent that the run expects there. A step whose noise matters in the first sense need not
matter in the second, so both stand side by side, with their dose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import xarray as xr
from pydantic import BaseModel

from dit_lens_probes.noise.params import NoiseParams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dit_lens.causal import Context

__all__ = ["NoiseProbe"]


class NoiseProbe:
    """Noise at a step, at a frame, or at both.

    Parameters
    ----------
    params : NoiseParams, optional

    Examples
    --------
    >>> from dit_lens.probing import is_causal
    >>> is_causal(NoiseProbe), NoiseProbe().params.at
    (True, ('step', 'frame'))
    """

    name: ClassVar[str] = "noise"
    version: ClassVar[str] = "1.0"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "What noise does: in one step or one frame, as unit noise and at a matched dose."
    Params: ClassVar[type[BaseModel]] = NoiseParams
    draws_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: NoiseParams | None = None) -> None:
        self.params = params or NoiseParams()

    def check(self, context: Context) -> None:
        """Refuse what the model cannot run, before anything runs."""
        from dit_lens_probes.noise.sweep import plan_sweep

        plan_sweep(context, self.params)

    def run(self, context: Context) -> xr.Dataset:
        """Sweep every unit, and put means and effects beside what was measured."""
        from dit_lens_probes.noise.summary import summarise
        from dit_lens_probes.noise.sweep import plan_sweep
        from dit_lens_probes.noise.unit import measure_unit

        sweep = plan_sweep(context, self.params)
        units = context.gather(lambda unit: measure_unit(context, self.params, sweep, unit))
        return summarise(units, context, sweep)

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """Scores with intervals, and distances of injection by observation."""
        from dit_lens_probes.noise.figures import draw_figures

        return draw_figures(result)

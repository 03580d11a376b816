"""Principal components of the tokens of all traces, by branch, step and layer.

Components are found from moments that stream by: no matter how many traces there are, a cell costs one matrix of
features by features. What they explain says how many directions a layer uses; the first three, as red, green and blue,
show which tokens are alike. A map is a picture, not evidence: large variance is not large importance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import xarray as xr
from pydantic import BaseModel

from dit_lens.captures import Capture
from dit_lens.probing import BadParams, Labels
from dit_lens_probes.pca.assemble import assemble
from dit_lens_probes.pca.gathered import Gathered, gather, merge, refuse_large
from dit_lens_probes.pca.params import PcaParams
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Pca", "PcaParams"]

_NEEDED = ("step", "layer", "frame", "token")
_VECTORS = ("raw", "project")


class Pca:
    """Components shared by all traces, and maps of one of them.

    Parameters
    ----------
    params : PcaParams, optional

    Raises
    ------
    BadParams
        If the capture holds no vectors of tokens.

    Examples
    --------
    >>> [str(capture) for capture in Pca().captures()]
    ['block.out:raw']
    """

    name: ClassVar[str] = "pca"
    version: ClassVar[str] = "1.0"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "Which directions tokens differ in: shared components, what they explain, maps in colour."
    access: ClassVar[Literal["frame", "step", "trace"]] = "step"
    Params: ClassVar[type[BaseModel]] = PcaParams
    draws_by: ClassVar[tuple[str, ...]] = ("branch", "step", "layer", "max_rows", "max_columns")

    def __init__(self, params: PcaParams | None = None) -> None:
        self.params = params or PcaParams()
        self._capture = Capture.parse(self.params.capture)
        if self._capture.reduction not in _VECTORS or any(dim not in self._capture.dims for dim in _NEEDED):
            message = f"pca.capture holds no vector for a token of a layer; got '{self._capture}', allowed a site with"
            raise BadParams(f"{message} layers and tokens, raw or project; take block.out:raw or block.out:project:64")

    def captures(self) -> list[Capture]:
        """Where it looks."""
        return [self._capture]

    def check(self, traces: Mapping[str, Labels]) -> None:
        """Refuse a trace that is not there and too many bytes, before anything is read."""
        wanted = self.params.trace
        if wanted is not None and wanted not in traces:
            message = f"probe 'pca' finds no trace '{wanted}'; got '{wanted}', allowed {', '.join(sorted(traces))}"
            raise BadParams(message + (close_match(wanted, traces) or "; choose one of them"))
        sizes = {dim: max(len(labels.get(dim, ())) for labels in traces.values()) for dim in (*_NEEDED, "branch")}
        sizes |= {dim: max(len(labels.get(dim, ())) for labels in traces.values()) for dim in self._features}
        features = self.params.project or 1
        for dim in self._features if not self.params.project else ():
            features *= max(sizes[dim], 1)
        cells = max(sizes["branch"], 1) * sizes["step"] * sizes["layer"]
        refuse_large(cells * features * (8 * features + 4 * sizes["frame"] * sizes["token"]), self.params.memory)

    def map(self, chunk: xr.Dataset) -> Gathered:
        """Moments of one step of one trace."""
        return gather(chunk, self.params)

    def combine(self, states: Sequence[Gathered]) -> Gathered:
        """Merge moments."""
        return merge(states, self.params.memory)

    def finish(self, state: Gathered) -> xr.Dataset:
        """Components, what they explain, and the maps of one trace."""
        return assemble(state, self.params)

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """What is explained where; and in colour, the layers of one step and the steps of one layer."""
        from dit_lens_probes.pca.figures import draw_figures

        return draw_figures(result, self.params)

    @property
    def _features(self) -> tuple[str, ...]:
        return tuple(dim for dim in self._capture.dims if dim not in (*_NEEDED, "branch"))

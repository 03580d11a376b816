"""The trajectory probe: what the model would show if it stopped at this step.

It reads the clean latent that the velocity points to, x0, at every step; decodes it through the autoencoder of the
model; and measures how it gets to the final answer. Where the trace was asked a puzzle, its scorer reads every x0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import xarray as xr
from pydantic import BaseModel

from dit_lens.captures import Capture
from dit_lens.probing import BadParams, Labels
from dit_lens_probes.trajectory.assemble import Pieces, assemble, merge
from dit_lens_probes.trajectory.decoding import Decoders, Decodes
from dit_lens_probes.trajectory.measure import measure
from dit_lens_probes.trajectory.params import TrajectoryParams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Trajectory"]


class Trajectory:
    """x0 over the steps: pictures, answers, and how the last one was reached.

    Parameters
    ----------
    params : TrajectoryParams, optional
    decoder : Decodes, optional
        What decodes, such as the ``Lens`` that made the traces; by default the autoencoder of the model that each trace
        names is loaded when it is first needed.

    Examples
    --------
    >>> [str(capture) for capture in Trajectory().captures()]
    ['x0.guided:raw']
    """

    name: ClassVar[str] = "trajectory"
    version: ClassVar[str] = "1.2"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "What x0 shows at every step: film strip, commitment, self-correction, superposition."
    access: ClassVar[Literal["frame", "step", "trace"]] = "trace"
    Params: ClassVar[type[BaseModel]] = TrajectoryParams
    draws_by: ClassVar[tuple[str, ...]] = ("trace", "branch", "roc_step", "max_rows", "max_columns")

    def __init__(self, params: TrajectoryParams | None = None, decoder: Decodes | None = None) -> None:
        self.params = params or TrajectoryParams()
        self._decoders = Decoders(self.params.model, decoder)

    @property
    def needs_video(self) -> bool:
        """Whether chunks shall carry the decoded video."""
        return self.params.decode and self.params.final == "video"

    def captures(self) -> list[Capture]:
        """The guided x0, and that of each branch if it is asked for."""
        return [Capture("x0.guided", "raw"), *([Capture("x0", "raw")] if self.params.branches else [])]

    def check(self, traces: Mapping[str, Labels]) -> None:
        """Refuse a trace or branch to draw that is not there, and a trace of no step, before anything is computed."""
        branches = ["guided", *(str(b) for labels in traces.values() for b in labels.get("branch", ()))]
        for what, wanted, held in (("trace", self.params.trace, traces), ("branch", self.params.branch, branches)):
            if wanted is not None and wanted not in held:
                allowed = ", ".join(dict.fromkeys(held))
                raise BadParams(
                    f"probe 'trajectory' finds no such {what} to draw; got {wanted!r}, allowed {allowed}; choose one"
                )

    def map(self, chunk: xr.Dataset) -> Pieces:
        """Measure one trace."""
        return {str(chunk.attrs["trace_id"]): measure(chunk, self.params, self._decoders)}

    def combine(self, states: Sequence[Pieces]) -> Pieces:
        """Unite traces."""
        return merge(states)

    def finish(self, state: Pieces) -> xr.Dataset:
        """One dataset over traces, with the seeds of each question compared."""
        return assemble(state)

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """Film strip, distances, what the scorer reads of one trace and of all, and what the seeds foretell."""
        from dit_lens_probes.trajectory.figures import draw_figures

        return draw_figures(result, self.params)

    def films(self, result: xr.Dataset) -> xr.DataArray | None:
        """The pictures of the trace and branch that is drawn, a film for each step; None without pictures."""
        from dit_lens_probes.trajectory.films import film_of

        return film_of(result, self.params.trace, self.params.branch) if "film" in result else None

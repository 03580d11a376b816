"""The linear probe: what can be read from where, by a linear map, from videos that it was not fitted on.

For every branch, step and layer a probe learns a label from the activations of some videos and is scored on others.
That something can be read does not say that the model uses it; that it cannot be read by a linear map does not say that
it is not there. Two things are on by default and cannot be turned off: videos are never split, and every score has a
control, the same procedure with labels permuted between videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import xarray as xr
from pydantic import BaseModel

from dit_lens.captures import Capture
from dit_lens.probing import BadParams, Labels
from dit_lens_probes.linear.labels import source_of
from dit_lens_probes.linear.params import LinearParams
from dit_lens_probes.linear.rows import Gathered, feature_dims, gather, merge, refuse_large, row_level
from dit_lens_probes.linear.solve import solve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Linear", "LinearParams"]

_LEAK = "tokens of one video are alike: a probe that has seen some of them knows the video, and finds any label of it"


class Linear:
    """Linear probes of a label, one for every branch, step and layer.

    Parameters
    ----------
    params : LinearParams, optional

    Raises
    ------
    BadParams
        If another split than by video is asked for, or the capture or the table of labels cannot be used.

    Examples
    --------
    >>> [str(capture) for capture in Linear().captures()]
    ['block.out:raw']
    >>> Linear(LinearParams(split="token"))
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.BadParams: linear.split=token is refused, because tokens of one video are alike: ...
    """

    name: ClassVar[str] = "linear"
    version: ClassVar[str] = "1.0"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "What can be read where: linear probes by step and layer, split by video, with a control."
    access: ClassVar[Literal["frame", "step", "trace"]] = "step"
    Params: ClassVar[type[BaseModel]] = LinearParams
    draws_by: ClassVar[tuple[str, ...]] = ("branch",)

    def __init__(self, params: LinearParams | None = None) -> None:
        self.params = params or LinearParams()
        if self.params.split != "video":
            message = f"linear.split={self.params.split} is refused, because {_LEAK}, a random one too"
            raise BadParams(f"{message}; got '{self.params.split}', allowed video; leave linear.split out")
        if self.params.kind == "number" and self.params.model == "logistic":
            raise BadParams("logistic regression tells classes; got linear.kind=number, allowed class; take ridge")
        self._capture = Capture.parse(self.params.capture)
        self._features = feature_dims(self._capture)
        self._source = source_of(self.params)
        self._level = row_level(self.params, self._source)
        if absent := [dim for dim in ("frame", "token") if dim in self._needed() and dim not in self._capture.dims]:
            message = f"a row for each {self._level} needs a capture with it; got '{self._capture}' without {absent[0]}"
            raise BadParams(f"{message}, allowed one with {absent[0]}; take linear.rows=trace or another capture")

    @property
    def needs_video(self) -> bool:
        """Whether labels are read from the decoded video."""
        return self._source.needs_video

    def captures(self) -> list[Capture]:
        """Where it reads."""
        return [self._capture]

    def check(self, traces: Mapping[str, Labels]) -> None:
        """Refuse missing labels, too few traces and too many bytes, before anything is read."""
        self._source.check(sorted(traces))
        if len(traces) < self.params.folds:
            message = f"linear.folds needs a video for each fold; got {len(traces)} traces, allowed {self.params.folds}"
            raise BadParams(f"{message} or more; trace more")
        refuse_large(sum(self._bytes(labels) for labels in traces.values()), self.params.memory)

    def map(self, chunk: xr.Dataset) -> Gathered:
        """The rows of one step of one trace."""
        return gather(chunk, self.params, self._source)

    def combine(self, states: Sequence[Gathered]) -> Gathered:
        """Unite rows."""
        return merge(states, self.params.memory)

    def finish(self, state: Gathered) -> xr.Dataset:
        """Fit and score every cell."""
        return solve(state, self.params, self._level)

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """The map of scores with the control beside it, and scores along the steps."""
        from dit_lens_probes.linear.figures import draw_figures

        return draw_figures(result, self.params.branch)

    def _needed(self) -> tuple[str, ...]:
        return {"trace": (), "frame": ("frame",), "token": ("frame", "token")}[self._level]

    def _bytes(self, labels: Labels) -> int:
        """What the rows of a trace take, as far as labels say; the rest is found when states meet."""
        sizes = {dim: len(held) for dim, held in labels.items()}
        rows = 1
        for dim in self._needed():
            rows *= sizes.get(dim, 1)
        if self._level == "token" and self.params.tokens:
            rows = min(rows, self.params.tokens)
        features = self.params.project or 1
        for dim in self._features if not self.params.project else ():
            features *= sizes.get(dim, 1)
        return 4 * rows * features * sizes.get("branch", 1) * sizes.get("step", 1) * sizes.get("layer", 1)

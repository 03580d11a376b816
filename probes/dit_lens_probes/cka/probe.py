"""The CKA probe: which representations have the same geometry, between steps, layers, runs and branches.

A representation is the residual stream at one step after one block: a row for each token of the video. Chunks are
reduced to what the measure keeps as they pass, a bounded number of bytes for each; pairs are made at the end. Linear
CKA is debiased unless it is asked otherwise, and says how many tokens and channels it is of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import xarray as xr
from pydantic import BaseModel

from dit_lens.captures import Capture
from dit_lens.probing import BadParams, Labels
from dit_lens_probes.cka.params import CkaParams
from dit_lens_probes.cka.state import Pieces, merge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Cka"]


class Cka:
    """Similarity of representations.

    Parameters
    ----------
    params : CkaParams, optional

    Examples
    --------
    >>> [str(capture) for capture in Cka().captures()]
    ['block.out:raw']
    """

    name: ClassVar[str] = "cka"
    version: ClassVar[str] = "1.0"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "Which representations are alike: debiased CKA between steps, layers, runs or branches."
    access: ClassVar[Literal["frame", "step", "trace"]] = "step"
    Params: ClassVar[type[BaseModel]] = CkaParams
    draws_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: CkaParams | None = None) -> None:
        self.params = params or CkaParams()

    def captures(self) -> list[Capture]:
        """Raw values, or Gram matrices, of the steps, layers and branches that are asked for."""
        return self.params.captures()

    def check(self, traces: Mapping[str, Labels]) -> None:
        """Refuse traces that cannot be put together, and more than memory is to hold, before anything is read."""
        first, *others = sorted(traces)
        for other in others:
            for dim in dict.fromkeys([*traces[first], *traces[other]]):
                _same_labels(dim, (first, traces[first]), (other, traces[other]))
        self._check_pairs(traces, first)
        if not self.params.from_grams and {"frame", "token"} <= set(traces[first]):
            self._check_memory(traces[first], len(traces))

    def map(self, chunk: xr.Dataset) -> Pieces:
        """What is kept of every representation of one step."""
        from dit_lens_probes.cka.reading import read_chunk

        return read_chunk(chunk, self.params)

    def combine(self, states: Sequence[Pieces]) -> Pieces:
        """Unite the steps of all traces; refuse traces of other models, grids and schedules."""
        return merge(states)

    def finish(self, state: Pieces) -> xr.Dataset:
        """Compare, pool over traces, and say what the numbers are worth."""
        from dit_lens_probes.cka.assemble import assemble

        return assemble(state, self.params)

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """All pairs and what changes from step to step and layer to layer; or one map of steps by layers."""
        from dit_lens_probes.cka.figures import draw_figures

        return draw_figures(result)

    def _check_pairs(self, traces: Mapping[str, Labels], first: str) -> None:
        if self.params.pairs == "across" and len(traces) < 2:
            raise BadParams(
                f"probe 'cka' compares traces across; got {len(traces)} trace, allowed 2 or more; trace another seed, "
                f"or leave cka.pairs out"
            )
        if self.params.reference is not None and self.params.reference not in traces:
            raise BadParams(
                f"probe 'cka' finds no trace '{self.params.reference}'; got it as reference, allowed "
                f"{', '.join(sorted(traces))}; choose one of them"
            )
        branches = traces[first].get("branch", ())
        if self.params.pairs == "branches" and len(branches) < 2:
            raise BadParams(
                f"probe 'cka' compares branches; got {', '.join(map(str, branches)) or 'none'}, allowed 2 or more; "
                f"trace with guidance and without a selection of branches"
            )

    def _check_memory(self, labels: Labels, traces: int) -> None:
        from dit_lens_probes.cka.reading import cut_of

        count = traces * prod(len(labels.get(dim, (0,))) for dim in ("branch", "step", "layer"))
        batches = cut_of(self.params, len(labels["frame"]), len(labels["token"]))
        each = 4 * batches.size * (batches.shape[1] - 1) // 2
        whole = count * each
        if self.params.measure in ("cka", "angular") and whole > self.params.memory_bytes:
            room = self.params.memory_bytes / count / 2**20
            raise BadParams(
                f"probe 'cka' would keep more than it may; got {count} representations of {each / 2**20:.3g} MiB, "
                f"allowed {self.params.memory:g} GiB in all; set cka.keep={room:.2g} for smaller minibatches, or a "
                f"larger cka.memory"
            )


def _same_labels(dim: str, one: tuple[str, Labels], other: tuple[str, Labels]) -> None:
    mine, theirs = one[1].get(dim, ()), other[1].get(dim, ())
    if mine != theirs:
        raise BadParams(
            f"probe 'cka' reads traces of one grid and selection; got {_span(dim, theirs)} in '{other[0]}' and "
            f"{_span(dim, mine)} in '{one[0]}', allowed the same; name traces that agree by --trace"
        )


def _span(dim: str, labels: tuple[int | str, ...]) -> str:
    if len(labels) < 4:
        return f"{dim} {', '.join(map(str, labels)) or 'missing'}"
    return f"{len(labels)} {dim}s from {labels[0]} to {labels[-1]}"

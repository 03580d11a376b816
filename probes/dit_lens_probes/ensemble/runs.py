"""The runs of one ensemble: its members recorded, means of them put into the run that goes on, and what each costs.

A member is recorded once and whole, because its own video is a baseline; the cost of an ensemble counts only as many
calls of it as a recording for the ensemble takes. A mean of several runs is an edit of several stored traces, so they
are read one event after the other.

``in-batch`` is computed step by step: to share the mean of a step at once is to run every member up to it with the
means of the steps before, and to let all of them go on from the mean. In a step all members then have the same video
tokens behind the first layer that is shared, so that the means of further layers would change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dit_lens import Capture, Edit, Generation, Result, Selection, Stored
from dit_lens.causal import Calls, Unit
from dit_lens_probes.ensemble.places import Places, find_places
from dit_lens_probes.strangers import stranger
from dit_lens_stores import Store, create_store

if TYPE_CHECKING:
    from dit_lens.causal import Context
    from dit_lens_probes.ensemble.params import EnsembleParams

__all__ = ["Member", "Runs"]


@dataclass(frozen=True)
class Member:
    """A recorded run.

    Attributes
    ----------
    trace : str
        Its name in the scratch store.
    unit : Unit
    result : Result
    calls : tuple of int
        Calls of the denoisers up to the end of every step.
    """

    trace: str
    unit: Unit
    result: Result
    calls: tuple[int, ...]


class Runs:
    """All runs of one unit.

    Parameters
    ----------
    context : Context
    params : EnsembleParams
    unit : Unit
    folder : pathlib.Path
        For the scratch store.
    calls : Calls
        What counts.
    """

    def __init__(self, context: Context, params: EnsembleParams, unit: Unit, folder: Path, calls: Calls) -> None:
        self.context, self.params, self._calls = context, params, calls
        self.places: Places = find_places(context.layout, params)
        self.store: Store = create_store(folder / "runs.zarr")
        units = [Unit(unit.question, unit.seed + number * params.seed_shift) for number in range(params.n)]
        self.members = [self._whole(f"member-{number}", each) for number, each in enumerate(units)]

    @property
    def single(self) -> Member:
        """The member that goes on."""
        return self.members[self.params.continues]

    @property
    def request(self) -> Generation:
        """Of the run that goes on."""
        return self.context.request(self.single.unit)

    @property
    def last(self) -> int:
        """The last step at which a mean comes in."""
        return self.places.steps[-1]

    def strangers(self) -> list[Member]:
        """Other questions from the members' noises; the member that goes on stays itself."""
        made = []
        for number, member in enumerate(self.members):
            unit = Unit(stranger(member.unit.question, number), member.unit.seed)
            own = member is self.single
            made.append(member if own else self._recorded(f"stranger-{number}", unit, self._captures, (), self.last))
        return made

    def shared(self, members: Sequence[Member], window: tuple[int, ...], name: str) -> tuple[Result, int]:
        """Run on with the means of a window of layers; what came out, and the calls that it takes in all."""
        if self.params.mode == "two-pass":
            edits = [self.mean(members, "block.out", self.places.where(window))]
            before = sum(member.calls[self.last] for member in self._counted(members))
        else:
            edits, before = self._in_batch(members, window[0], name)
        result, after = self.run(edits=edits)
        return result, before + after

    def mean(self, members: Sequence[Member], site: str, where: Selection) -> Edit:
        """The edit that puts the mean in; a run that counts twice is named twice."""
        counts = zip(members, self.params.counts, strict=True)
        sources = [Stored(str(self.store.path), member.trace) for member, count in counts for _ in range(count)]
        return Edit(site, where, "mean", sources)

    def run(self, request: Generation | None = None, **course: Any) -> tuple[Result, int]:
        """Run without recording; what came out, and the calls that it took."""
        before = self._calls.count
        result = self.context.lens.generate(request or self.request, **course)
        return result, self._calls.count - before

    def _in_batch(self, members: Sequence[Member], layer: int, name: str) -> tuple[list[Edit], int]:
        """The means of every step, each of runs that had those of the steps before."""
        edits: list[Edit] = []
        cost = sum(member.calls[self.places.steps[0]] for member in self._counted(members))
        for number, step in enumerate(self.places.steps):
            if number:
                members = [
                    self._recorded(f"{name}-{step}-{member.trace}", member.unit, self._at(step, layer), edits, step)
                    for member in members
                ]
                cost += sum(member.calls[step] for member in self._counted(members))
            edits = [*edits, self.mean(members, "block.out", self.places.where((layer,), (step,)))]
        return edits, cost

    def _at(self, step: int, layer: int) -> list[Capture]:
        return [Capture("block.out", select=self.places.where((layer,), (step,)))]

    def _counted(self, members: Sequence[Member]) -> list[Member]:
        """Those that count in the mean; others need not be recorded."""
        return [member for member, count in zip(members, self.params.counts, strict=True) if count]

    @property
    def _captures(self) -> list[Capture]:
        return [self.places.capture]

    def _whole(self, trace: str, unit: Unit) -> Member:
        captures = self._captures
        if "latents" in self.params.baselines:
            captures = [*captures, Capture("latent", select=Selection(step=(self.last + 1,)))]
        return self._recorded(trace, unit, captures, (), None)

    def _recorded(
        self, trace: str, unit: Unit, captures: Sequence[Capture], edits: Sequence[Edit], stop: int | None
    ) -> Member:
        before, counts = self._calls.count, list[int]()
        result = self.context.lens.trace(
            self.context.request(unit),
            captures,
            self.store,
            trace_id=trace,
            edits=edits,
            stop_after=stop,
            decode=stop is None,
            on_step=lambda _done, _steps: counts.append(self._calls.count - before),
        )
        return Member(trace, unit, result, tuple(counts))

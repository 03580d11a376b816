"""One unit of the ensemble: what it scores, what everything scores that it is compared with, and what each costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from dit_lens import Edit, Result, Selection, Stored
from dit_lens_probes.ensemble.runs import Member, Runs

if TYPE_CHECKING:
    from dit_lens.causal import Context, Unit
    from dit_lens_probes.ensemble.params import EnsembleParams

__all__ = ["ALWAYS", "conditions_of", "free_frames", "measure_unit"]

ALWAYS = ("ensemble", "single", "singles", "best")
_ROWS = ("score", "solved", "cost")
Scored = tuple[float, float, int]


def conditions_of(params: EnsembleParams) -> tuple[str, ...]:
    """Everything that is measured, in order; averaged latents bring their control.

    Examples
    --------
    >>> from dit_lens_probes.ensemble.params import EnsembleParams
    >>> conditions_of(EnsembleParams(baselines=("latents",)))
    ('ensemble', 'single', 'singles', 'best', 'latents', 'latents_reset')
    """
    named = [name for each in params.baselines for name in ([each, "latents_reset"] if each == "latents" else [each])]
    return (*ALWAYS, *dict.fromkeys(named))


def free_frames(context: Context, unit: Unit) -> tuple[int, ...]:
    """Latent frames that the pipeline does not put back by itself."""
    pinned = context.lens.family.pinned(context.lens.pipeline, context.request(unit)) or ()
    return tuple(frame for frame in range(context.layout.latent[1]) if frame not in pinned)


def measure_unit(context: Context, params: EnsembleParams, unit: Unit) -> xr.Dataset:
    """Everything that is measured of one question with one seed.

    Returns
    -------
    xarray.Dataset
        ``score``, ``solved`` and ``cost`` (calls of the denoisers) over condition; ``sham_identical``; ``calls``.
    """
    with context.scratch() as folder, context.counting() as calls:
        measured = _Conditions(context, Runs(context, params, unit, folder, calls))
        names = conditions_of(params)
        rows = [measured.of(name) for name in names]
        sham = measured.sham()
    columns = zip(_ROWS, np.array(rows, dtype=np.float64).T, strict=True)
    variables = {name: ("condition", values) for name, values in columns}
    return xr.Dataset(
        {**variables, "sham_identical": ((), sham), "calls": ((), calls.count)}, coords={"condition": list(names)}
    )


class _Conditions:
    """What every condition of a unit scores and costs; those that follow from others are asked after them."""

    def __init__(self, context: Context, runs: Runs) -> None:
        self._context, self._runs = context, runs
        self._known: dict[str, Scored] = {}
        self._resets: tuple[int, ...] = ()

    def of(self, name: str) -> Scored:
        """Score, solved, and calls."""
        measure: Callable[[], Scored] = getattr(self, f"_{name}")
        self._known[name] = measure()
        return self._known[name]

    def sham(self) -> bool:
        """Whether the mean of one run, in that run, changes no bit."""
        own, places = self._runs.single, self._runs.places
        source = [Stored(str(self._runs.store.path), own.trace)]
        edit = Edit("block.out", places.where(places.windows["ensemble"]), "mean", source)
        return torch.equal(self._runs.run(edits=[edit], decode=False)[0].latents, own.result.latents)

    def _ensemble(self) -> Scored:
        return self._shared(self._runs.members, "ensemble")

    def _window_first(self) -> Scored:
        return self._shared(self._runs.members, "window_first")

    def _window_all(self) -> Scored:
        return self._shared(self._runs.members, "window_all")

    def _strangers(self) -> Scored:
        result, cost = self._runs.shared(self._runs.strangers(), self._runs.places.windows["ensemble"], "strangers")
        return self._scored(result, cost)

    def _single(self) -> Scored:
        return self._member(self._runs.single)

    def _singles(self) -> Scored:
        """What a member scores on average: the best of N, chosen by nothing."""
        members = [self._member(member) for member in self._runs.members]
        scores, solved = (float(np.mean([member[at] for member in members])) for at in (0, 1))
        return scores, solved, sum(member[2] for member in members)

    def _best(self) -> Scored:
        """The best of N, chosen by the scorer itself: what no ensemble has to reach."""
        members = [self._member(member) for member in self._runs.members]
        return (*max(members)[:2], sum(member[2] for member in members))

    def _end_mean(self) -> Scored:
        """The mean of the last latents of all members."""
        counts = zip(self._runs.members, self._runs.params.counts, strict=True)
        ends = [member.result.latents for member, count in counts for _ in range(count)]
        video = self._context.lens.decode(torch.stack(ends).mean(0))
        score = self._context.score(self._runs.single.unit, video)
        return score["score"], score["solved"], self._known["singles"][2]

    def _latents(self) -> Scored:
        """The mean of the latents that the next step starts from, in the place of that of activations."""
        runs = self._runs
        frames = free_frames(self._context, runs.single.unit)
        edit = runs.mean(runs.members, "state", Selection(step=(runs.last + 1,), frame=frames))
        result, cost = runs.run(edits=[edit])
        self._resets = result.resets
        others = [member for member, count in zip(runs.members, runs.params.counts, strict=True) if count]
        return self._scored(result, cost + sum(member.calls[runs.last] for member in others))

    def _latents_reset(self) -> Scored:
        """A single run whose solver forgets where that of averaged latents does."""
        return self._scored(*self._runs.run(resets=self._resets))

    def _more_steps(self) -> Scored:
        """A single run with as many more steps as the ensemble costs more."""
        request = self._runs.request
        single, ensemble = self._known["single"][2], self._known["ensemble"][2]
        more = -(-(ensemble - single) * request.steps // single)
        return self._scored(*self._runs.run(replace(request, steps=request.steps + more)))

    def _shared(self, members: list[Member], window: str) -> Scored:
        return self._scored(*self._runs.shared(members, self._runs.places.windows[window], window))

    def _member(self, member: Member) -> Scored:
        return self._scored(member.result, member.calls[-1])

    def _scored(self, result: Result, cost: int) -> Scored:
        score = self._context.score(self._runs.single.unit, result.video)
        return score["score"], score["solved"], cost

"""Run a causal probe: check everything, let it run the model, and say in its result what it was made from."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import xarray as xr

from dit_lens.bench.condition import Condition, describe_bench
from dit_lens.bench.errors import BadBench
from dit_lens.bench.questions import Question, questions_of
from dit_lens.causal.context import Context, Progress, Share, ShareMeasured
from dit_lens.causal.encoders import remembering_encoders
from dit_lens.causal.kept import Kept
from dit_lens.probing.blame import blame, who
from dit_lens.probing.errors import BadParams, ProbeFailed
from dit_lens.probing.protocol import AnyProbe, CausalProbe, is_causal
from dit_lens.probing.registry import package_of
from dit_lens.probing.run import make_probe

if TYPE_CHECKING:
    from dit_lens.lens import Lens
    from dit_lens.puzzles.contract import Puzzle

__all__ = ["Intervention", "intervene", "prepare_intervention"]


@dataclass(frozen=True)
class Intervention:
    """A causal probe with everything that it works with, checked and ready to run.

    Attributes
    ----------
    probe : CausalProbe
    context : Context
    settings : mapping
        Model, scheduler, condition and so on, questions and seeds aside.
    """

    probe: CausalProbe
    context: Context
    settings: Mapping[str, Any]

    @property
    def missing(self) -> int:
        """Units that were not measured before."""
        return sum(not self.context.kept.has(unit) for unit in self.context.units)

    def run(self, progress: Progress | None = None) -> xr.Dataset:
        """Measure what is missing, and put the result together."""
        context = replace(self.context, progress=progress)
        context.kept.begin()
        shutil.rmtree(context.scratch_folder, ignore_errors=True)  # of a run that was killed
        try:
            with blame(self.probe, "run"), remembering_encoders(context.lens.pipeline):
                result: object = self.probe.run(context)
        finally:
            shutil.rmtree(context.scratch_folder, ignore_errors=True)
            context.kept.end()
        return _checked(self.probe, result).assign_attrs(_provenance(self))

    def measure(self) -> None:
        """Measure the share of this process, and put nothing together."""
        with suppress(ShareMeasured), blame(self.probe, "run"), remembering_encoders(self.context.lens.pipeline):
            self.probe.run(self.context)


def prepare_intervention(
    lens: Lens,
    probe: str | type[AnyProbe] | AnyProbe,
    puzzles: Iterable[Puzzle | Question],
    seeds: Iterable[int] = (0,),
    condition: Condition | None = None,
    *,
    out: Path,
    params: Mapping[str, Any] | None = None,
    share: Share | None = None,
) -> Intervention:
    """Check an intervention without running it; parameters and errors are those of ``intervene``.

    Units are kept in ``out/NAME.units``. With a ``share`` it is that of one process of several, of which the first has
    locked the folder.
    """
    ready, condition, seeds = make_probe(probe, params), condition or Condition(), tuple(seeds)
    if not is_causal(ready):
        raise BadParams(
            f"probe '{ready.name}' reads traces and changes no run; got '{ready.name}', allowed a causal probe; use "
            f"dit-lens trace and dit-lens analyze"
        )
    if not seeds or len(set(seeds)) != len(seeds):
        raise BadBench(
            f"the seeds cannot be run; got {', '.join(map(str, seeds)) or 'none'}, allowed one seed or more, each "
            f"once; change them"
        )
    causal, questions = cast("CausalProbe", ready), tuple(questions_of(puzzles))
    for question in questions:
        lens.check(condition.request(question, 0))
    settings = describe_bench(lens, questions[0], condition, {})
    folder = out / f"{causal.name}.units"
    kept = Kept(folder, {**_identity(causal), **settings}, locks=share is None)
    context = Context(lens, questions, seeds, condition, kept, folder / ".scratch", share=share)
    if check := getattr(causal, "check", None):
        with blame(causal, "check"):
            check(context)
    for unit in context.units:
        kept.has(unit)
    return Intervention(causal, context, settings)


def intervene(
    lens: Lens,
    probe: str | type[AnyProbe] | AnyProbe,
    puzzles: Iterable[Puzzle | Question],
    seeds: Iterable[int] = (0,),
    condition: Condition | None = None,
    *,
    out: str | Path | None = None,
    params: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Ask a causal probe's question of a model.

    Parameters
    ----------
    lens : Lens
    probe : str, type of CausalProbe, or CausalProbe
        A name (``"noise"``, ``"dist:name"``, ``"./mine.py:Class"``), a class, or a probe that has its parameters.
    puzzles : iterable of Puzzle or Question
    seeds : iterable of int
        Of the runs.
    condition : Condition, optional
        What all runs share; by default 20 steps with guidance 1.5.
    out : str or pathlib.Path, optional
        Folder in which what was measured is kept, so that the same call goes on where it stopped.
    params : mapping, optional
        Parameters of the probe; only with a name or a class.
    progress : callable, optional
        Called with (units done, units in all).

    Returns
    -------
    xarray.Dataset
        The result, with its provenance in the attributes.

    Raises
    ------
    UnknownProbe, BrokenProbe, BadParams
        If there is no such probe, it cannot be loaded, reads traces only, or refuses its parameters.
    BadBench, BadRequest, BadPuzzle
        If the questions or seeds cannot be run.
    OtherBench
        If ``out`` holds what was measured with other settings.
    ProbeFailed
        If the probe raises; its own exception is the cause.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> result = dit_lens.intervene(lens, "noise", puzzle_questions(["maze"], n=4), seeds=range(2))  # doctest: +SKIP
    """
    if out is not None:
        return prepare_intervention(lens, probe, puzzles, seeds, condition, out=Path(out), params=params).run(progress)
    with tempfile.TemporaryDirectory() as folder:
        ready = prepare_intervention(lens, probe, puzzles, seeds, condition, out=Path(folder), params=params)
        return ready.run(progress).load()


def _checked(probe: CausalProbe, result: object) -> xr.Dataset:
    if not isinstance(result, xr.Dataset):
        raise ProbeFailed(f"{who(probe)} failed in run; got a {type(result).__name__}, allowed an xarray.Dataset")
    named = [str(control).partition(": ")[2] for control in result.attrs.get("controls", ())]
    absent = [name for name in named if name not in result]
    if not named or absent:
        got = f"control {absent[0]!r}" if absent else "no controls"
        raise ProbeFailed(
            f"{who(probe)} failed in run; got a result with {got}, allowed 'KIND: VARIABLE' of its own variables "
            f"in the attribute controls; see dit_lens.probing.CausalProbe"
        )
    return result


def _identity(probe: CausalProbe) -> dict[str, Any]:
    params = getattr(probe, "params", None)
    return {
        "probe": probe.name,
        "probe_version": probe.version,
        "probe_package": package_of(type(probe)) or type(probe).__module__,
        "params": params.model_dump_json() if params is not None else "{}",
    }


def _provenance(intervention: Intervention) -> dict[str, Any]:
    """Flat attributes, so that a result can be written to Zarr and to netCDF alike."""
    from dit_lens import __version__

    context = intervention.context
    return {
        **_identity(intervention.probe),
        "questions": [question.name for question in context.questions],
        "question_sha256": [question.fingerprint() for question in context.questions],
        "seeds": list(context.seeds),
        "settings": json.dumps(intervention.settings, sort_keys=True),
        "software": f"dit-lens {__version__}",
    }

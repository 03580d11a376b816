"""Make all checks of an adapter, in an order in which the first that fails says most."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dit_lens.adapters import Family, family_of
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size
from dit_lens.testing.adapter import structure, swap, values
from dit_lens.testing.adapter.decoded import Decoding
from dit_lens.testing.adapter.parts import parts
from dit_lens.testing.adapter.report import AdapterCheck, AdapterReport, Broken, Moot
from dit_lens.testing.adapter.request import small_request
from dit_lens.testing.adapter.runs import Runs
from dit_lens.testing.adapter.subject import Subject
from dit_lens.testing.adapter.tokens import TokenMap
from dit_lens_stores.errors import close_match

__all__ = ["check_adapter"]

_Check = Callable[[], str]
_FIRST = ("traceable", "clean", "experts", "runs")
_UNKNOWN = "correct what the family says of it, or ask for another request"


def check_adapter(
    pipeline_or_lens: Any,
    request: Generation | None = None,
    *,
    family: Family | None = None,
    only: Collection[str] | None = None,
    raises: bool = True,
) -> AdapterReport:
    """Hold a model family against a running pipeline; call it in the tests of an adapter, or on your own weights.

    Parameters
    ----------
    pipeline_or_lens : diffusers.DiffusionPipeline or Lens
    request : Generation, optional
        By default the smallest that the family's own check accepts, with two steps, guidance where there is any, and
        a first frame of noise where one is needed.
    family : Family, optional
        By default the one that is registered for the pipeline.
    only : collection of str, optional
        Names of the rows to make, beside those without which no other can be: ``traceable``, ``clean``, ``experts`` and
        ``runs``. All by default.
    raises : bool
        Whether to raise if anything failed, instead of giving the report.

    Returns
    -------
    AdapterReport

    Raises
    ------
    AdapterFailed
        Naming every row that failed.
    UnknownModel
        If no family is given, and none is registered.
    BadRequest
        If there is no row of a name in ``only``.

    Examples
    --------
    >>> import dit_lens
    >>> report = check_adapter(dit_lens.load("tiny-wan"))  # doctest: +SKIP
    >>> report["tokens.frames"].seen  # doctest: +SKIP
    'frame 2 of 3: blocks alone'
    """
    pipeline = getattr(pipeline_or_lens, "pipeline", pipeline_or_lens)
    origin = getattr(pipeline_or_lens, "origin", None)
    known = family or getattr(pipeline_or_lens, "family", None) or family_of(pipeline)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a pipeline warns of was said when it was loaded, and is not checked here
        report = _report(pipeline, known, request, getattr(origin, "size", None), Path(folder), only)
    if raises:
        report.require()
    return report


def _report(
    pipeline: Any,
    family: Family,
    request: Generation | None,
    made_for: Size | None,
    folder: Path,
    only: Collection[str] | None,
) -> AdapterReport:
    rows: list[AdapterCheck] = []
    subjects: list[Subject] = []
    rows.append(_row("traceable", lambda: _planned(subjects, pipeline, family, request, made_for)))
    if subjects:
        rows.extend(_rows(Runs(subjects[0], folder), only))
    return AdapterReport(type(pipeline).__name__, family.name, _described(subjects), tuple(rows))


def _planned(
    subjects: list[Subject], pipeline: Any, family: Family, request: Generation | None, made_for: Size | None
) -> str:
    asked = request or small_request(pipeline, family, size=made_for)
    subject = Subject.plan(pipeline, family, asked, made_for)
    subjects.append(subject)
    return f"{_described(subjects)}; tokens {' x '.join(map(str, subject.layout.tokens))}"


def _rows(runs: Runs, only: Collection[str] | None) -> Iterator[AdapterCheck]:
    """All further rows; if the pipeline does not even run, there is nothing to check."""
    subject, checks = runs.subject, _checks(runs)
    unknown = next((name for name in only or () if name not in {*checks, *_FIRST}), None)
    if unknown is not None:
        raise BadRequest(
            f"the check of an adapter has no such row; got '{unknown}', allowed {', '.join(checks)}"
            f"{close_match(unknown, [*checks]) or '; leave only out for all of them'}"
        )
    yield _row("clean", partial(structure.clean, subject))
    yield _row("experts", partial(structure.experts, subject))
    ran = _row("runs", lambda: f"final latents {tuple(runs.plain.shape)}", "give a request that the pipeline can run")
    yield ran
    if ran.outcome == "passed":
        yield from (_row(name, check) for name, check in checks.items() if only is None or name in only)


def _checks(runs: Runs) -> dict[str, _Check]:
    """What can be asked of a pipeline that runs, by the names of the rows."""
    subject, tokens, decoding = runs.subject, TokenMap(runs.subject), Decoding(runs)
    return {
        "layers": partial(structure.layers, subject),
        "parts": partial(parts, subject),
        "shapes": partial(values.shapes, runs),
        "tokens.frames": partial(tokens.tokens, "frames"),
        "tokens.rows": partial(tokens.tokens, "rows"),
        "tokens.columns": partial(tokens.tokens, "columns"),
        "velocity": tokens.velocity,
        "latents": decoding.latents,
        "decode": decoding.pixels,
        "complete": partial(values.complete, runs),
        "complete.unguided": partial(values.unguided, runs),
        "identity": runs.identity,
        "restored": runs.restored,
        "branches": partial(values.branches, runs),
        "x0": partial(values.clean_latents, runs),
        "timesteps": partial(values.timesteps, runs),
        "swap.self": partial(swap.swapped, runs),
        "swap.zero": partial(swap.live, runs),
    }


def _row(name: str, check: _Check, remedy: str = _UNKNOWN) -> AdapterCheck:
    """Make one check; whatever it raises breaks it."""
    try:
        return AdapterCheck(name, "passed", check())
    except Moot as reason:
        return AdapterCheck(name, "skipped", str(reason))
    except Broken as broken:
        return AdapterCheck(name, "failed", broken.seen, broken.remedy)
    except Exception as error:  # of a pipeline, a foreign family or the engine: all mean that they do not fit
        return AdapterCheck(name, "failed", " ".join(f"{type(error).__name__}: {error}".split()), remedy)


def _described(subjects: list[Subject]) -> str:
    if not subjects:
        return "no request"
    size, steps = subjects[0].size, subjects[0].layout.steps
    return f"{steps} steps of {size.height} x {size.width} x {size.frames}"

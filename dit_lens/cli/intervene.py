"""``dit-lens intervene``: let causal probes change runs of a model, and save each answer and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field

from dit_lens.cli.analyze import FigureFormat, ready_probes, save_figures
from dit_lens.cli.extras import check_settings, read_settings
from dit_lens.cli.failures import BadOption
from dit_lens.cli.numbers import read_numbers
from dit_lens.cli.options import RANGES, Guidance
from dit_lens.cli.output import Json, show_json, show_line
from dit_lens.cli.places import check_out, check_result
from dit_lens.cli.progress import working_on
from dit_lens.cli.runs import load_quietly
from dit_lens.generation import GUIDANCE

if TYPE_CHECKING:
    from dit_lens.bench import Condition, Question
    from dit_lens.causal import Intervention

__all__ = ["EXAMPLES", "InterveneOptions", "InterventionRecord", "intervene"]

EXAMPLES = """Examples:
  dit-lens intervene tiny-wan --probe noise --task maze --n 32 --seeds 0:3 --steps 20 --out runs/noise
  dit-lens intervene tiny-wan --probe noise --task maze --set noise.kind=dose --out runs/dose
  dit-lens intervene MODEL --probe noise --image first.png --prompt "Draw the path." --out runs/noise
"""
_PUZZLES = 16
_SEEDS_AT_MOST = 10_000


class InterveneOptions(BaseModel):
    """Everything that ``intervene`` reads from its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Annotated[Path, Parameter(help="Folder for results, figures, and what was measured so far.")]
    probe: Annotated[
        tuple[str, ...], Parameter(help="Causal probe: NAME, DIST:NAME or ./FILE.py:CLASS; may be repeated.")
    ] = Field(min_length=1)
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            show_default=False,
            help="Parameter of a probe, as PROBE.KEY=VALUE, or further argument of the pipeline's call, as NAME=VALUE; "
            "may be repeated.",
        ),
    ] = ()
    task: Annotated[
        tuple[str, ...],
        Parameter(
            show_default=False, help="Task, as in maze or fork:cue, without a variant all of it; may be repeated."
        ),
    ] = ()
    n: Annotated[
        int | None,
        Parameter(show_default=False, help=f"Puzzles of each variant. [default: {_PUZZLES}; of a folder, all]"),
    ] = Field(default=None, ge=1, le=100_000)
    seeds: Annotated[tuple[str, ...], Parameter(show_default=False, help=f"Seeds, {RANGES} [default: 0]")] = ()
    size: Annotated[
        int | None, Parameter(show_default=False, help="Cells along a side, if not as the variant draws them.")
    ] = Field(default=None, ge=3, le=8)
    data: Annotated[Path | None, Parameter(help="Folder in the layout of VBVR-Bench, instead of puzzles.")] = None
    image: Annotated[Path | None, Parameter(help="First frame of your own, instead of puzzles.")] = None
    prompt: Annotated[str | None, Parameter(help="Prompt of your own; a puzzle brings its own.")] = None
    steps: Annotated[int, Parameter(help="Denoising steps.")] = Field(default=20, ge=1)
    guidance: Guidance = GUIDANCE
    guidance_2: Annotated[float | None, Parameter(help="Guidance scale of the second expert, if another.")] = None
    negative_prompt: Annotated[str, Parameter(help="What the uncond branch is told.")] = ""
    height: Annotated[int | None, Parameter(help="Height that first frames are resized to, if not their own.")] = None
    width: Annotated[int | None, Parameter(help="Width that first frames are resized to, if not their own.")] = None
    frames: Annotated[int | None, Parameter(help="Frames, if not the puzzle's own; otherwise the model's.")] = None
    figures: Annotated[
        tuple[FigureFormat, ...],
        Parameter(show_default=False, help="Format of the figures; may be repeated. [default: png]"),
    ] = ("png",)
    workers: Annotated[
        int, Parameter(help="Processes that share the units and the cores, each with the model in memory.")
    ] = Field(default=1, ge=1, le=64)
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Parameter(help="Type to compute in.")] = None
    device: Annotated[str | None, Parameter(help="Device to compute on, such as cpu or cuda.")] = None
    json_: Json = False


class InterventionRecord(BaseModel):
    """One causal probe's answer: where it is saved, and its figures."""

    model_config = ConfigDict(frozen=True)

    probe: str
    version: str
    result: str
    figures: tuple[str, ...]
    questions: int
    seeds: int
    units: int
    already_there: int
    calls: int | None
    controls: tuple[str, ...]


def intervene(model: str, /, *, options: Annotated[InterveneOptions, Parameter(name="*")]) -> None:
    """Run causal probes on a model; the same command again goes on where it stopped.

    Saves one result and its figures for each probe, with what it compares to: its controls.

    Parameters
    ----------
    model
        `tiny-wan`, a local diffusers folder, or a Hub id.
    """
    check_out(options.out)
    interventions = _prepare(model, options)
    records = [_run_one(each, model, options) for each in interventions]
    if options.json_:
        show_json({"model": model, "results": [record.model_dump(mode="json") for record in records]})
        return
    for record in records:
        _show(record)


def _prepare_share(model: str, options: InterveneOptions, probe: str, share: tuple[int, int]) -> Intervention:
    """One of the interventions, in another process."""
    return next(each for each in _prepare(model, options, share) if each.probe.name == probe)


def _prepare(model: str, options: InterveneOptions, share: tuple[int, int] | None = None) -> list[Intervention]:
    """Check every probe, place, question and request before the first of them runs."""
    own = [setting for setting in options.set_ if "." in setting.partition("=")[0]]
    probes = ready_probes(options.probe, own)
    if share is None:
        for probe in probes:
            check_result(options.out, probe.name, options.figures)
    condition = _condition(options, [setting for setting in options.set_ if setting not in own])
    questions, seeds = _questions(options), read_numbers("--seeds", options.seeds or ("0",), _SEEDS_AT_MOST)
    lens = load_quietly(model, dtype=options.dtype, device=options.device, as_json=options.json_)
    check_settings(lens, condition.extra)
    from dit_lens.causal import prepare_intervention

    prepare = partial(prepare_intervention, lens, out=options.out, share=share)
    return [prepare(probe, questions, seeds, condition) for probe in probes]


def _run_one(intervention: Intervention, model: str, options: InterveneOptions) -> InterventionRecord:
    from dit_lens.causal.workers import measure_by_processes
    from dit_lens.probing import save_result

    probe, context = intervention.probe, intervention.context
    path, missing = check_result(options.out, probe.name, options.figures), intervention.missing
    what = f"probe {probe.name}, {context.steps} steps each"
    with working_on(what, "units", as_json=options.json_) as report:
        if options.workers > 1 and missing:
            prepare = partial(_prepare_share, model, options, probe.name)
            measure_by_processes(intervention, prepare, options.workers, report)
        result = intervention.run(progress=report)
    save_result(result, path)
    return InterventionRecord(
        probe=probe.name,
        version=probe.version,
        result=str(path),
        figures=save_figures(probe, result, options.out, options.figures),
        questions=len(context.questions),
        seeds=len(context.seeds),
        units=len(context.units),
        already_there=len(context.units) - missing,
        calls=int(result["calls"].sum()) if "calls" in result else None,
        controls=tuple(result.attrs["controls"]),
    )


def _show(record: InterventionRecord) -> None:
    """Write where a result and its figures are."""
    there = f", {record.already_there} of {record.units} units already there" if record.already_there else ""
    what = f"{record.probe} {record.version}, {record.questions} questions x {record.seeds} seeds{there}"
    show_line(f"result   {record.result}  ({what})")
    if record.calls is not None:
        show_line(f"calls    {record.calls} of the denoisers")
    for control in record.controls:
        show_line(f"control  {control}")
    for figure in record.figures:
        show_line(f"picture  {figure}")


def _questions(options: InterveneOptions) -> Sequence[Question]:
    from dit_lens.bench import folder_questions, puzzle_questions

    named = {"--task": bool(options.task), "--data": options.data is not None, "--prompt": options.prompt is not None}
    given = [name for name, there in named.items() if there]
    if len(given) > 1 and given != ["--task", "--data"]:
        raise BadOption(f"several things were named to ask; got {' and '.join(given)}, allowed one; remove one")
    if options.image is not None and options.prompt is None:
        raise BadOption("--image has no prompt; got --image alone, allowed --image with --prompt; add --prompt")
    if not given:
        raise BadOption(
            "nothing was named to ask; got neither --task nor --prompt, allowed --task maze and other puzzles, --data, "
            "or --prompt with --image; add one"
        )
    if options.size is not None and not options.task:
        raise BadOption(f"--size is that of puzzles; got {given[0]} beside it, allowed --task; remove --size")
    if options.prompt is not None:
        return [_own_question(options.image, options.prompt)]
    if options.data is not None:
        return folder_questions(options.data, options.task, options.n)
    return puzzle_questions(options.task, options.n or _PUZZLES, options.size)


def _own_question(image: Path | None, prompt: str) -> Question:
    from dit_lens.bench import Question
    from dit_lens.cli.samples import picture_sample

    if image is None:
        raise BadOption("--prompt has no first frame; got no --image, allowed --prompt with --image; add --image")
    name = picture_sample(image, prompt).name
    return Question(name, "own", "", None, 0, name, prompt, picture=image)


def _condition(options: InterveneOptions, settings: Sequence[str]) -> Condition:
    from dit_lens.bench import Condition

    named = ("steps", "guidance", "guidance_2", "negative_prompt", "height", "width", "frames")
    return Condition(**{name: getattr(options, name) for name in named}, extra=read_settings(settings))

"""``dit-lens bench``: run a model on puzzles or on a folder of samples, score it, and say how sure the score is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from pydantic import Field

from dit_lens.cli.edits import CourseOptions, course_of
from dit_lens.cli.extras import check_settings, read_settings
from dit_lens.cli.failures import BadOption
from dit_lens.cli.numbers import part_of, read_numbers
from dit_lens.cli.options import RANGES, Guidance
from dit_lens.cli.output import Json
from dit_lens.cli.places import check_out
from dit_lens.cli.runs import load_quietly
from dit_lens.cli.scoring import read_bench, run_calls, show_bench
from dit_lens.generation import GUIDANCE

if TYPE_CHECKING:
    from dit_lens.bench import Condition, Question
    from dit_lens.cli.scoring import BenchRecord

__all__ = ["EXAMPLES", "BenchOptions", "bench"]

EXAMPLES = """Examples:
  dit-lens bench tiny-wan --tasks maze,fork --n 16 --seeds 0:2 --batch 2
  dit-lens bench tiny-wan --tasks maze:plain --steps 5 --out runs/five-steps --videos
  dit-lens bench Video-Reason/VBVR-Wan2.2 --data VBVR-Bench --steps 50 --guidance 5 --out runs/vbvr
  dit-lens bench --scores seed-0_eval_results.json --scores seed-1_eval_results.json
"""
_PUZZLES = 16
_SEEDS_AT_MOST = 10_000
_WITH_SCORES = {"scores", "out", "json_"}


class BenchOptions(CourseOptions):
    """Everything that ``bench`` reads from its options."""

    tasks: Annotated[
        tuple[str, ...],
        Parameter(show_default=False, help="Tasks, as in maze,fork:cue; without a variant all of it. [default: all]"),
    ] = ()
    n: Annotated[
        int | None,
        Parameter(show_default=False, help=f"Puzzles of each variant. [default: {_PUZZLES}; of a folder, all]"),
    ] = Field(default=None, ge=1, le=100_000)
    seeds: Annotated[tuple[str, ...], Parameter(show_default=False, help=f"Seeds, {RANGES} [default: 0]")] = ()
    size: Annotated[
        int | None, Parameter(show_default=False, help="Cells along a side, if not as the variant draws them.")
    ] = Field(default=None, ge=3, le=8)
    data: Annotated[
        Path | None,
        Parameter(
            help="Folder in the layout of VBVR-Bench, instead of puzzles; writes the videos that EvalKit scores."
        ),
    ] = None
    scores: Annotated[
        tuple[Path, ...],
        Parameter(show_default=False, help="Runs nothing; reads scores of VBVR-EvalKit, one file for each seed."),
    ] = ()
    out: Annotated[
        Path | None,
        Parameter(show_default=False, help="Folder for results, scores, table and videos. [default: runs/bench-MODEL]"),
    ] = None
    videos: Annotated[bool, Parameter(show_default=False, help="Write the videos of puzzles as well.")] = False
    steps: Annotated[int, Parameter(help="Denoising steps.")] = Field(default=20, ge=1)
    guidance: Guidance = GUIDANCE
    guidance_2: Annotated[float | None, Parameter(help="Guidance scale of the second expert, if another.")] = None
    negative_prompt: Annotated[str, Parameter(help="What the uncond branch is told.")] = ""
    height: Annotated[int | None, Parameter(help="Height that first frames are resized to, if not their own.")] = None
    width: Annotated[int | None, Parameter(help="Width that first frames are resized to, if not their own.")] = None
    frames: Annotated[int | None, Parameter(help="Frames, if not the puzzle's own; of a folder, the model's.")] = None
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            show_default=False,
            help="Further argument of the pipeline's call, as NAME=VALUE; may be repeated.",
        ),
    ] = ()
    batch: Annotated[int, Parameter(help="Seeds of one puzzle in one call of the model.")] = Field(default=1, ge=1)
    shard: Annotated[str | None, Parameter(help="Part I of N of all puzzles, as I/N from 0/N on.")] = None
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Parameter(help="Type to compute in.")] = None
    device: Annotated[str | None, Parameter(help="Device to compute on, such as cpu or cuda.")] = None
    json_: Json = False


def bench(model: str | None = None, /, *, options: Annotated[BenchOptions | None, Parameter(name="*")] = None) -> None:
    """Run a model on puzzles with several seeds and score it; the same command again goes on where it stopped.

    Prints a table with 95 % intervals over puzzles and seeds.

    Parameters
    ----------
    model
        `tiny-wan`, a local diffusers folder, or a Hub id.
    """
    options = options or BenchOptions()
    if options.out is not None:
        check_out(options.out)
    if options.scores:
        _check_alone(model, options)
        record = read_bench(options.scores, options.out)
    else:
        record = _run(model, options)
    show_bench(record, as_json=options.json_)


def _check_alone(model: str | None, options: BenchOptions) -> None:
    others = sorted(options.model_fields_set - _WITH_SCORES)
    if model is not None or others:
        other = "MODEL" if model is not None else f"--{others[0].strip('_').replace('_', '-')}"
        raise BadOption(f"--scores runs nothing; got {other} beside it, allowed --out and --json; remove {other}")


def _run(model: str | None, options: BenchOptions) -> BenchRecord:
    if model is None:
        raise BadOption("MODEL is missing; got nothing, allowed one value; add MODEL, or --scores with files of scores")
    from dit_lens.bench import prepare_bench

    questions, seeds = _questions(options), read_numbers("--seeds", options.seeds or ("0",), _SEEDS_AT_MOST)
    condition, out = _condition(options), options.out or _default_out(model, options.shard)
    check_out(out)
    lens = load_quietly(model, dtype=options.dtype, device=options.device, as_json=options.json_)
    check_settings(lens, condition.extra)
    videos = options.videos or options.data is not None
    course = course_of(options)
    ready = prepare_bench(lens, questions, seeds, condition, batch=options.batch, out=out, videos=videos, **course)
    return run_calls(ready, out, as_json=options.json_)


def _questions(options: BenchOptions) -> tuple[Question, ...]:
    from dit_lens.bench import folder_questions, puzzle_questions

    tasks = [task.strip() for word in options.tasks for task in word.split(",")]
    if options.data is None:
        return part_of(puzzle_questions(tasks, options.n or _PUZZLES, options.size), options.shard, "puzzles")
    if options.size is not None:
        raise BadOption("--size is that of puzzles; got --data beside it, allowed one of the two; remove --size")
    return part_of(folder_questions(options.data, tasks, options.n), options.shard, "samples")


def _condition(options: BenchOptions) -> Condition:
    from dit_lens.bench import Condition

    return Condition(
        steps=options.steps,
        guidance=options.guidance,
        guidance_2=options.guidance_2,
        negative_prompt=options.negative_prompt,
        height=options.height,
        width=options.width,
        frames=options.frames,
        extra=read_settings(options.set_),
    )


def _default_out(model: str, shard: str | None) -> Path:
    """Where a benchmark goes that was given no place: parts of one are kept apart."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(model).name.lower()).strip("-") or "model"
    part = "" if shard is None else f"-{shard.replace('/', '-of-')}"
    return Path("runs") / f"bench-{name}{part}"

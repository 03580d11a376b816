"""The options that ``trace`` and ``plan`` share: what to run, and what to record of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from pydantic import Field

from dit_lens.cli.edits import CourseOptions, course_of, name_of_course
from dit_lens.cli.extras import read_settings, read_video
from dit_lens.cli.failures import BadOption
from dit_lens.cli.numbers import NUMBERS_AT_MOST, read_numbers
from dit_lens.cli.output import Json
from dit_lens.cli.runs import DEFAULT_CAPTURES, Settings
from dit_lens.cli.samples import Sample, Task, picture_sample, puzzle_sample, units_of
from dit_lens.generation import GUIDANCE

if TYPE_CHECKING:
    from dit_lens.cli.samples import Unit

__all__ = ["Guidance", "RequestOptions", "read_budget", "settings_of", "units_of_options"]

_PUZZLES_AT_MOST = 10_000  # each is drawn before the first is traced
Guidance = Annotated[
    float, Parameter(help="Guidance scale; 1 turns guidance off. Large models want more: Wan2.2 3.5 to 5.")
]
RANGES = "as a number or a half-open range like 0:4; may be repeated."


class RequestOptions(CourseOptions):
    """Everything that decides what a trace will be."""

    task: Annotated[
        Task | None,
        Parameter(
            help="Kind of puzzle: a maze has one route, a fork has several of equal length, in grounding the prompt "
            "names a shape to mark, in occlusion a ball moves behind a screen."
        ),
    ] = None
    variant: Annotated[
        str | None, Parameter(help="Which puzzles of that kind, such as long mazes; a wrong one is told the others.")
    ] = None
    size: Annotated[
        int | None,
        Parameter(help="Cells along a side of a maze or fork. [default: 5, or the variant's smallest]"),
    ] = None
    puzzle: Annotated[
        tuple[str, ...], Parameter(show_default=False, help=f"Unseen puzzles, {RANGES} [default: 0]")
    ] = ()
    image: Annotated[Path | None, Parameter(help="First frame of your own, instead of --task.")] = None
    video: Annotated[
        Path | None, Parameter(help="Video to start from, for models that take one; its size is the size of the run.")
    ] = None
    prompt: Annotated[str | None, Parameter(help="Prompt of your own; a puzzle brings its own.")] = None
    negative_prompt: Annotated[str, Parameter(help="What the uncond branch is told.")] = ""
    seed: Annotated[tuple[str, ...], Parameter(show_default=False, help=f"Seeds, {RANGES} [default: 0]")] = ()
    capture: Annotated[
        tuple[str, ...],
        Parameter(
            show_default=False,
            help=f"What to record, as SITE:REDUCTION[axis=...]; may be repeated. [default: {DEFAULT_CAPTURES[0]}]",
        ),
    ] = ()
    for_: Annotated[
        tuple[str, ...],
        Parameter(name="--for", show_default=False, help="Record what this probe needs; may be repeated."),
    ] = ()
    steps: Annotated[int, Parameter(help="Denoising steps.")] = Field(default=20, ge=1)
    guidance: Guidance = GUIDANCE
    guidance_2: Annotated[float | None, Parameter(help="Guidance scale of the second expert, if another.")] = None
    height: Annotated[int | None, Parameter(help="Height in pixels, if not the image's own.")] = None
    width: Annotated[int | None, Parameter(help="Width in pixels, if not the image's own.")] = None
    frames: Annotated[int | None, Parameter(help="Frames of the video, if not the model's own.")] = None
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            show_default=False,
            help="Further argument of the pipeline's call, as NAME=VALUE; may be repeated.",
        ),
    ] = ()
    batch: Annotated[int, Parameter(help="Traces in one call of the model; they differ in prompt and seed alone.")] = (
        Field(default=1, ge=1)
    )
    budget: Annotated[
        str | None,
        Parameter(help="Most that the traces may take before compression, such as 20GB; more is refused."),
    ] = None
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Parameter(help="Type to compute in.")] = None
    device: Annotated[str | None, Parameter(help="Device to compute on, such as cpu or cuda.")] = None
    json_: Json = False


def settings_of(options: RequestOptions) -> Settings:
    """What all units share; the video is read here."""
    extra = read_settings(options.set_)
    size = {"height": options.height, "width": options.width, "frames": options.frames}
    if options.video is not None:
        extra["video"] = read_video(options.video)
        first = extra["video"][0]
        own = {"height": first.height, "width": first.width, "frames": len(extra["video"])}
        size = {name: own[name] if value is None else value for name, value in size.items()}
    return Settings(
        steps=options.steps,
        guidance=options.guidance,
        guidance_2=options.guidance_2,
        negative_prompt=options.negative_prompt,
        extra=extra,
        **size,
    )


def read_budget(text: str | None) -> int | None:
    """Bytes of ``--budget``.

    Examples
    --------
    >>> read_budget("20GB"), read_budget(None)
    (20000000000, None)
    """
    from dit_lens.engine.disk import parse_size

    return None if text is None else parse_size(text)


def units_of_options(options: RequestOptions) -> tuple[Unit, ...]:
    """Every sample that is named, with every seed."""
    seeds = read_numbers("--seed", options.seed or ("0",))
    samples = _samples(options)
    if len(samples) * len(seeds) > NUMBERS_AT_MOST:
        raise BadOption(
            f"--puzzle and --seed name too many traces; got {len(samples)} x {len(seeds)}, allowed {NUMBERS_AT_MOST} "
            f"at most; name fewer, and run the command again for the others"
        )
    return units_of(samples, seeds, name_of_course(course_of(options)))


def _samples(options: RequestOptions) -> list[Sample]:
    if options.task is not None:
        return _puzzles(options, options.task)
    if options.prompt is None:
        raise BadOption(
            "nothing was named to trace; got neither --task nor --prompt, allowed --task maze and other puzzles, "
            "or --prompt with --image; add one"
        )
    named = {"--puzzle": options.puzzle or None, "--variant": options.variant, "--size": options.size}
    for name in (name for name, value in named.items() if value is not None):
        raise BadOption(f"{name} stands without --task; got --prompt, allowed {name} with --task; add --task maze")
    return [picture_sample(options.image, options.prompt)]


def _puzzles(options: RequestOptions, task: Task) -> list[Sample]:
    named = {"--image": options.image, "--video": options.video, "--prompt": options.prompt}
    own = [name for name, value in named.items() if value is not None]
    if own:
        raise BadOption(
            f"--task brings its own picture and prompt; got --task {task} with {own[0]}, allowed one of the two; "
            "remove one"
        )
    numbers = read_numbers("--puzzle", options.puzzle or ("0",), _PUZZLES_AT_MOST)
    return [puzzle_sample(task, index, options.variant, options.size) for index in numbers]

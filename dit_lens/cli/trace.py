"""``dit-lens trace``: run a model on samples and seeds, and record what it computes into one store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field

from dit_lens.cli.failures import BadOption
from dit_lens.cli.numbers import read_numbers
from dit_lens.cli.output import Json
from dit_lens.cli.runs import DEFAULT_CAPTURES, Settings, gather_captures, load_quietly, run_units, show_run, store_at
from dit_lens.cli.samples import Sample, Task, picture_sample, puzzle_sample, units_of

if TYPE_CHECKING:
    from dit_lens.cli.samples import Unit

__all__ = ["EXAMPLES", "TraceOptions", "trace"]

EXAMPLES = """Examples:
  dit-lens trace tiny-wan --task maze --puzzle 0:4 --seed 0:2 --capture block.out:energy --out runs/maze.zarr
  dit-lens trace tiny-wan --task fork --for energy --capture x0.guided:raw --out runs/fork.zarr
  dit-lens trace ./Wan2.2-I2V --image first.png --prompt "The ball rolls." --steps 40 --for energy --out runs/ball.zarr
"""
RANGES = "as a number or a half-open range like 0:4; may be repeated."


class TraceOptions(BaseModel):
    """Everything that ``trace`` reads from its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Annotated[Path, Parameter(help="Store to write; traces are added to one that exists.")]
    task: Annotated[
        Task | None, Parameter(help="Puzzle to draw: maze has one route, fork has two of equal length.")
    ] = None
    size: Annotated[int, Parameter(help="Cells along a side of the puzzle.")] = Field(default=5, ge=3, le=7)
    puzzle: Annotated[
        tuple[str, ...], Parameter(show_default=False, help=f"Unseen puzzles, {RANGES} [default: 0]")
    ] = ()
    image: Annotated[Path | None, Parameter(help="First frame of your own, instead of --task.")] = None
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
    guidance: Annotated[float, Parameter(help="Guidance scale; 1 turns guidance off.")] = 3.0
    guidance_2: Annotated[float | None, Parameter(help="Guidance scale of the second expert, if another.")] = None
    height: Annotated[int | None, Parameter(help="Height in pixels, if not the image's own.")] = None
    width: Annotated[int | None, Parameter(help="Width in pixels, if not the image's own.")] = None
    frames: Annotated[int | None, Parameter(help="Frames of the video, if not the model's own.")] = None
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Parameter(help="Type to compute in.")] = None
    device: Annotated[str | None, Parameter(help="Device to compute on, such as cpu or cuda.")] = None
    json_: Json = False


def trace(model: str, /, *, options: Annotated[TraceOptions, Parameter(name="*")]) -> None:
    """Run a model and record what it computes; the same command again goes on where it stopped.

    Parameters
    ----------
    model
        `tiny-wan`, a local diffusers folder, or a Hub id.
    """
    units = _units(options)
    captures = gather_captures(options.capture, options.for_)
    store = store_at(options.out)
    settings = Settings(
        steps=options.steps,
        guidance=options.guidance,
        guidance_2=options.guidance_2,
        negative_prompt=options.negative_prompt,
        height=options.height,
        width=options.width,
        frames=options.frames,
    )
    lens = load_quietly(model, dtype=options.dtype, device=options.device)
    record = run_units(lens, units, settings, captures, options.out, store)
    show_run(record, as_json=options.json_)


def _units(options: TraceOptions) -> tuple[Unit, ...]:
    seeds = read_numbers("--seed", options.seed or ("0",))
    return units_of(_samples(options), seeds)


def _samples(options: TraceOptions) -> list[Sample]:
    if options.task is not None:
        return _puzzles(options, options.task)
    if options.prompt is None:
        raise BadOption(
            "nothing was named to trace; got neither --task nor --prompt, allowed --task maze, --task fork, "
            "or --prompt with --image; add one"
        )
    if options.puzzle:
        raise BadOption("--puzzle stands without --task; got --prompt, allowed --puzzle with --task; add --task maze")
    return [picture_sample(options.image, options.prompt)]


def _puzzles(options: TraceOptions, task: Task) -> list[Sample]:
    own = [name for name, value in (("--image", options.image), ("--prompt", options.prompt)) if value is not None]
    if own:
        raise BadOption(
            f"--task brings its own picture and prompt; got --task {task} with {own[0]}, allowed one of the two; "
            "remove one"
        )
    return [puzzle_sample(task, options.size, index) for index in read_numbers("--puzzle", options.puzzle or ("0",))]

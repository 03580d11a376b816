"""``dit-lens trace``: run a model on samples and seeds, and record what it computes into one store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dit_lens.cli.edits import course_of
from dit_lens.cli.numbers import part_of
from dit_lens.cli.options import RequestOptions, read_budget, settings_of, units_of_options
from dit_lens.cli.records import show_run
from dit_lens.cli.runs import gather_captures, load_quietly, run_units, store_at

__all__ = ["EXAMPLES", "TraceOptions", "trace"]

EXAMPLES = """Examples:
  dit-lens trace tiny-wan --task maze --puzzle 0:4 --seed 0:2 --capture block.out:energy --out runs/maze.zarr
  dit-lens trace tiny-wan --task fork --for energy --capture x0.guided:raw --out runs/fork.zarr
  dit-lens trace tiny-wan --task maze --seed 0:8 --batch 4 --budget 2GB --out runs/seeds.zarr
  dit-lens trace tiny-wan --task maze --edit "block.out:zero[step=0,layer=4]" --out runs/edited.zarr
  dit-lens trace ./Wan2.2-I2V --image first.png --prompt "The ball rolls." --steps 40 --for energy --out runs/ball.zarr
"""


class TraceOptions(RequestOptions):
    """Everything that ``trace`` reads from its options."""

    out: Annotated[Path, Parameter(help="Store to write; traces are added to one that exists.")]
    shard: Annotated[
        str | None,
        Parameter(help="Part I of N of all traces, as I/N from 0/N on; `store merge` joins the stores of the parts."),
    ] = None


def trace(model: str, /, *, options: Annotated[TraceOptions, Parameter(name="*")]) -> None:
    """Run a model and record what it computes; the same command again goes on where it stopped.

    Parameters
    ----------
    model
        `tiny-wan`, a local diffusers folder, or a Hub id.
    """
    units, budget = part_of(units_of_options(options), options.shard), read_budget(options.budget)
    captures = gather_captures(options.capture, options.for_)
    store, settings = store_at(options.out), settings_of(options)
    lens = load_quietly(model, dtype=options.dtype, device=options.device, as_json=options.json_)
    course = course_of(options)
    record = run_units(
        lens,
        units,
        settings,
        captures,
        options.out,
        store,
        batch=options.batch,
        budget=budget,
        course=course,
        as_json=options.json_,
    )
    show_run(record, as_json=options.json_)

"""``dit-lens models``: which models can be traced, what can be recorded in one, and how the shipped one is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from dit_lens.cli import check
from dit_lens.cli.failures import BadOption
from dit_lens.cli.output import Json, show_json, show_line, show_table, warn
from dit_lens.cli.places import check_out
from dit_lens.cli.runs import hush_loaders, load_quietly
from dit_lens.errors import close_match

if TYPE_CHECKING:
    from dit_lens.adapters import Family
    from dit_lens.describing import LayerRow

__all__ = ["app", "list_", "show", "train"]

app = App(name="models", help="Show models, and train the shipped one.")
TRAINABLE = ("tiny-wan",)
app.command(check.check)


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the models that are known by name, and the families of which any folder or Hub id can be traced."""
    hush_loaders()
    from dit_lens.adapters import families
    from dit_lens.models import known_models

    models = [
        {
            "name": model.name,
            "available": model.available,
            "licence": model.licence,
            "size": asdict(model.size),
            "summary": model.summary,
        }
        for model in known_models()
    ]
    kinds = [
        {
            "name": family.name,
            "pipelines": list(family.pipelines),
            "denoiser": family.model,
            "experts": list(family.experts),
            "sites": _sites_of(family),
        }
        for family in families()
    ]
    _show({"models": models, "families": kinds}, json)


@app.command
def show(model: str, /, *, json: Json = False) -> None:
    """Show what can be recorded in a model: every site with its shape, type, meaning and place, and every layer.

    Parameters
    ----------
    model
        `tiny-wan`, a local diffusers folder, or a Hub id, of which only configurations are fetched.
    """
    from dit_lens.models import describe, describe_layers

    lens = load_quietly(model, weights=False)
    sites, layers = describe(lens), describe_layers(lens)
    _show({"sites": [asdict(row) for row in sites], "layers": [_layers(row) for row in layers]}, json)


def _layers(row: LayerRow) -> dict[str, Any]:
    return {**asdict(row), "sites": list(row.sites)}


def _sites_of(family: Family) -> list[str]:
    """The sites that a model of a family has; which layers have one depends on the model."""
    from dit_lens.sites import SITES

    inside = {site for stack in family.stacks for site in ("block.in", "block.out", *stack.sites)}
    given = [site for site in SITES if site in inside or "layer" not in SITES[site].event_dims]
    return [site for site in given if not (family.preconditioned and site.startswith("x0"))]


@app.command
def train(
    model: str,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for checkpoints, logs and the finished model.")],
    quick: Annotated[bool, Parameter(help="Try every stage in a minute or two; learns nothing.", negative=())] = False,
    further: Annotated[Path | None, Parameter(help="Go on from the finished model in this folder.")] = None,
    device: Annotated[str, Parameter(help="Device that the denoiser trains on.")] = "cpu",
    json: Json = False,
) -> None:
    """Train a model from its seed, or a finished one further; the same command resumes an interrupted run.

    Parameters
    ----------
    model
        `tiny-wan`.
    """
    if model not in TRAINABLE:
        hint = close_match(model, TRAINABLE)
        raise BadOption(f"'{model}' cannot be trained here; got '{model}', allowed {', '.join(TRAINABLE)}{hint}")
    check_out(out)
    hush_loaders()
    from dit_lens.tiny.train.run import train as train_tiny_wan

    words = [word for word, asked in (("quick", quick), ("further", further is not None)) if asked]
    recipe = "-".join(words) or "shipped"
    folder = train_tiny_wan(out, recipe=recipe, device=device, progress=warn, start=further)
    if json:
        show_json({"model": model, "recipe": recipe, "folder": str(folder)})
    else:
        show_line(f"model  {folder}")


def _show(tables: Mapping[str, Sequence[Mapping[str, Any]]], json: bool) -> None:
    """One JSON object; or a table of each kind of record, with a line between."""
    if json:
        show_json(tables)
        return
    for number, records in enumerate(filter(None, tables.values())):
        if number:
            show_line("")
        show_table(list(records[0]), [[_cell(value) for value in record.values()] for record in records])


def _cell(value: object) -> str:
    """A mapping is an extent a dimension; an extent that the request decides has no number."""
    if isinstance(value, dict):
        return " x ".join(name if extent is None else f"{name} {extent}" for name, extent in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)

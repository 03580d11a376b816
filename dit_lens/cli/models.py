"""``dit-lens models``: which models can be traced, what can be recorded in one, and how the shipped one is trained."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from dit_lens.cli.failures import BadOption
from dit_lens.cli.output import Json, show_json, show_line, show_table, warn
from dit_lens.cli.places import check_out
from dit_lens.cli.runs import hush_loaders, load_quietly
from dit_lens.errors import close_match

__all__ = ["app", "list_", "show", "train"]

app = App(name="models", help="Show models, and train the shipped one.")
TRAINABLE = ("tiny-wan",)


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the models that are known by name; any folder or Hub id of a Wan pipeline can be traced as well."""
    from dit_lens.models import known_models

    records = [
        {
            "name": model.name,
            "available": model.available,
            "licence": model.licence,
            "size": asdict(model.size),
            "summary": model.summary,
        }
        for model in known_models()
    ]
    _show("models", records, json)


@app.command
def show(model: str, /, *, json: Json = False) -> None:
    """Show every site of a model: what can be recorded, with its shape, its type and its meaning.

    Parameters
    ----------
    model
        `tiny-wan`, a local diffusers folder, or a Hub id.
    """
    from dit_lens.models import describe

    _show("sites", [asdict(row) for row in describe(load_quietly(model))], json)


@app.command
def train(
    model: str,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for checkpoints, logs and the finished model.")],
    recipe: Annotated[str, Parameter(help="Which recipe to follow: shipped, or smoke to try every stage.")] = "shipped",
    device: Annotated[str, Parameter(help="Device that the denoiser trains on.")] = "cpu",
    json: Json = False,
) -> None:
    """Train a model from its seed; the same command resumes an interrupted run.

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

    folder = train_tiny_wan(out, recipe=recipe, device=device, progress=warn)
    if json:
        show_json({"model": model, "recipe": recipe, "folder": str(folder)})
    else:
        show_line(f"model  {folder}")


def _show(what: str, records: list[dict[str, Any]], json: bool) -> None:
    if json:
        show_json({what: records})
        return
    columns = list(records[0]) if records else []
    show_table(columns, [[_cell(record[column]) for column in columns] for record in records])


def _cell(value: object) -> str:
    """A mapping is an extent a dimension; an extent that the request decides has no number."""
    if isinstance(value, dict):
        return " x ".join(name if extent is None else f"{name} {extent}" for name, extent in value.items())
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)

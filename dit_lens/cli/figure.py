"""``dit-lens figure``: draw a saved result again, for a paper or a screen, with the data and the command beside it.

Without ``--name`` it says which figures the result has. ``films`` are moving pictures, a file for each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict

from dit_lens.cli.analyze import read_value
from dit_lens.cli.failures import BadOption
from dit_lens.cli.output import Json, show_json, show_line, show_table
from dit_lens.cli.places import check_out

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens.figures import Listed, Saved

__all__ = ["EXAMPLES", "FigureOptions", "figure"]

EXAMPLES = """Examples:
  dit-lens figure runs/maze/energy.zarr
  dit-lens figure runs/maze/energy.zarr --name layers_by_frames --set step=3 -o energy.pdf
  dit-lens figure runs/swap/swap.zarr --name effect_by_layer --width column --format svg -o swap.svg
  dit-lens figure runs/fork/trajectory.zarr --name films --format mp4 -o runs/fork/films
"""


class FigureOptions(BaseModel):
    """Everything that ``figure`` reads from its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str | None, Parameter(help="Figure to draw, or films. Without it the figures of the result are listed.")
    ] = None
    out: Annotated[
        Path | None, Parameter(name=("--out", "-o"), help="File to write; of films, the folder to write them to.")
    ] = None
    format: Annotated[
        Literal["pdf", "svg", "png", "gif", "mp4"] | None,
        Parameter(help="Format of the file; gif and mp4 are for films. [default: what --out ends in]"),
    ] = None
    style: Annotated[
        Literal["paper", "screen"] | None,
        Parameter(help="Fitted to the width of a paper, or as large as the probe draws it. [default: paper]"),
    ] = None
    width: Annotated[
        Literal["column", "page"] | None,
        Parameter(help="Of the figure on paper: 3.25 or 6.75 inches. [default: page]"),
    ] = None
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            show_default=False,
            help="Parameter of the probe that chooses what is drawn, as KEY=VALUE; may be repeated.",
        ),
    ] = ()
    probe: Annotated[
        str | None, Parameter(help="Probe that made the result, as ./FILE.py:CLASS, if it lives in a file.")
    ] = None
    json_: Json = False


def figure(
    result: Path,
    /,
    *,
    options: Annotated[FigureOptions, Parameter(name="*")] = FigureOptions(),  # noqa: B008
) -> None:
    """Draw one figure of a saved result again, with its data and the command that made it; or list its figures.

    Beside FILE lie FILE.csv (FILE.zarr if it is long) with what is drawn, and FILE.json with the command, the hash of
    the result and versions.

    Parameters
    ----------
    result
        What `dit-lens analyze` or `dit-lens intervene` saved, such as runs/maze/energy.zarr.
    """
    _check_together(options)
    if options.name is None:
        _list(result, options)
        return
    from dit_lens.figures import save_figure

    assert options.out is not None
    check_out(options.out if options.name == "films" else options.out.parent)
    saved = save_figure(
        result,
        options.name,
        options.out,
        format=options.format,
        style=options.style or "paper",
        width=options.width,
        params=_settings(result, options.set_),
        probe=options.probe,
    )
    _show(saved, options.json_)


def _check_together(options: FigureOptions) -> None:
    if options.name is not None and options.out is None:
        raise BadOption("--out is missing; got nothing beside --name, allowed one file; add -o FILE")
    given = [option for option in ("out", "format", "style", "width") if getattr(options, option) is not None]
    if options.name is None and given:
        raise BadOption(
            f"--name is missing; got --{given[0]} without it, allowed the name of one figure; leave out --{given[0]} "
            f"to see which there are"
        )


def _list(path: Path, options: FigureOptions) -> None:
    from dit_lens.figures import list_figures, ready_probe
    from dit_lens.probing import load_result

    result = load_result(path)
    listed = list_figures(result, ready_probe(result, _settings(path, options.set_, result), options.probe))
    if options.json_:
        show_json({"result": str(path), "probe": result.attrs["probe"], "figures": [_row(one) for one in listed]})
        return
    rows = [[one.name, " ".join(one.formats), _inches(one), ", ".join(one.shows)] for one in listed]
    show_table(("name", "formats", "inches", "shows"), rows)


def _row(listed: Listed) -> dict[str, Any]:
    return {"name": listed.name, "formats": listed.formats, "inches": listed.inches, "shows": listed.shows}


def _inches(listed: Listed) -> str:
    return "" if listed.inches is None else "{:.1f} x {:.1f}".format(*listed.inches)


def _show(saved: Saved, as_json: bool) -> None:
    if as_json:
        places = {name: str(getattr(saved, name)) for name in ("figure", "data", "record")}
        show_json({**places, "command": saved.command})
        return
    show_line(f"picture  {saved.figure}")
    show_line(f"data     {saved.data}")
    show_line(f"record   {saved.record}")


def _settings(path: Path, settings: Sequence[str], result: xr.Dataset | None = None) -> dict[str, Any]:
    """``KEY=VALUE``, or ``PROBE.KEY=VALUE`` as ``analyze`` wants it."""
    if not settings:
        return {}
    from dit_lens.probing import load_result

    made_by = str((load_result(path) if result is None else result).attrs.get("probe", ""))
    params: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.removeprefix(f"{made_by}.")
        if not (equals and key):
            raise BadOption(f"--set cannot be read; got {setting!r}, allowed KEY=VALUE; write it as step=3")
        params[key] = read_value(value)
    return params

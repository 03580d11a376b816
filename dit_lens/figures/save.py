"""Save one figure of a result, its data and its record: what the command does, as a function.

Everything is checked and drawn before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dit_lens.figures.command import command_of, shown_path
from dit_lens.figures.errors import BadFigure
from dit_lens.figures.films import FILM_FORMATS, enlargement, film_places, is_film, write_film
from dit_lens.figures.fit import fit
from dit_lens.figures.note import data_of
from dit_lens.figures.places import check_folder, check_places, companions, named_by
from dit_lens.figures.redraw import FILMS, films_of, find_figure, ready_probe
from dit_lens.figures.sidecar import facts_of, write_data, write_record
from dit_lens.figures.style import DPI, FORMATS, WIDTHS, Format, Style, Width, rendered
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from dit_lens.probing import AnyProbe

__all__ = ["Saved", "save_figure"]


@dataclass(frozen=True)
class Saved:
    """Where a figure, its data and its record lie, and the command that makes them.

    Attributes
    ----------
    figure, data, record : pathlib.Path
        Of films ``figure`` is their folder.
    command : str
        Empty for a result that lies nowhere.
    """

    figure: Path
    data: Path
    record: Path
    command: str


def save_figure(
    result: xr.Dataset | str | Path,
    name: str,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    style: Style = "paper",
    width: Width | None = None,
    params: Mapping[str, Any] | None = None,
    probe: str | type[AnyProbe] | None = None,
) -> Saved:
    """Draw one figure of a result again, and save it with its data and a record of how it was made.

    Parameters
    ----------
    result : xarray.Dataset, str or pathlib.Path
        A result, or where one was saved.
    name : str
        Of the figure; ``"films"`` for moving pictures, one for each step.
    path : str or pathlib.Path
        Of the file; of films, their folder.
    format : {"pdf", "svg", "png", "gif", "mp4"}, optional
        By default what the path ends in.
    style : {"paper", "screen"}
        Fitted to a column or page of a paper, or as large as the probe draws it.
    width : {"column", "page"}, optional
        3.25 or 6.75 inches, for paper; the page by default.
    params : mapping, optional
        Parameters of the probe that choose what is drawn.
    probe : str or type of Probe, optional
        If the probe that made the result lives in a file: ``"./mine.py:Class"``.

    Returns
    -------
    Saved

    Raises
    ------
    NotAResult, UnknownFigure, BadFigure, FigureInTheWay, UnknownProbe, BadParams

    Examples
    --------
    >>> from dit_lens.probing import analyze
    >>> from dit_lens.testing import synthetic_store
    >>> folder = getfixture("tmp_path")
    >>> result = analyze(synthetic_store(folder / "x.zarr", ["block.out:energy"]), "energy")
    >>> saved = save_figure(result, "layers_by_frames", folder / "energy.pdf", width="column")
    >>> saved.data.name, saved.record.name
    ('energy.pdf.csv', 'energy.pdf.json')
    """
    path = Path(path)
    as_format = _format(name, format, path)
    record = path / f"{FILMS}.json" if name == FILMS else path.with_name(path.name + ".json")
    if name == FILMS:
        check_folder(path, record)
    check_places([*companions(path / FILMS)] if name == FILMS else [path, *companions(path)], record)
    wide = _wide(name, style, width)
    opened, command = _open(result)
    ready = ready_probe(opened, params, probe)
    options = {"name": name, "format": as_format, "style": style if name != FILMS else None, "width": wide}
    command = command_of(command, options, params or {}, probe, path) if command else ""
    facts = {"command": command, **options, **facts_of(opened, ready)}
    if name == FILMS:
        return _save_films(opened, ready, path, record, facts)
    figure = find_figure(opened, ready, name)
    if wide is not None:
        fit(figure, WIDTHS[wide])
    return _save(figure, opened, path, record, cast("Format", as_format), DPI[style], facts)


def _save(
    figure: Figure, result: xr.Dataset, path: Path, record: Path, as_format: Format, dpi: int, facts: dict[str, Any]
) -> Saved:
    bytes_, noted = rendered(figure, as_format, dpi), data_of(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes_)
    data = write_data(result[sorted(map(str, result.data_vars))] if noted is None else noted, path)
    across, along = (round(float(inches), 3) for inches in figure.get_size_inches())
    facts |= {"inches": [across, along], "data": data.name}
    facts |= {"data_is": "what is drawn" if noted is not None else "the whole result: the probe does not say"}
    return Saved(path, data, write_record(record, facts, [path, data]), facts["command"])


def _save_films(result: xr.Dataset, probe: AnyProbe, folder: Path, record: Path, facts: dict[str, Any]) -> Saved:
    films = films_of(result, probe)
    if films is None:
        find_figure(result, probe, FILMS)  # says which figures there are
        raise AssertionError("unreachable")
    places = film_places(films, folder, facts["format"])
    check_places(places, record)
    earlier = {name for name in named_by(record) if is_film(name)}
    folder.mkdir(parents=True, exist_ok=True)
    for stale in earlier - {place.name for place in places}:
        (folder / stale).unlink(missing_ok=True)
    times = enlargement(max(films.shape[2:4]))
    files = [write_film(film.values, place, enlarge=times) for film, place in zip(films, places, strict=True)]
    data = write_data(films.to_dataset(name=str(films.name)), folder / FILMS)
    facts |= {"data": data.name, "data_is": "what is drawn", "enlarged": times}
    return Saved(folder, data, write_record(record, facts, [*files, data]), facts["command"])


def _format(name: str, given: str | None, path: Path) -> str:
    """The format, from the option or from the ending of the file; the two must agree."""
    allowed: tuple[str, ...] = FILM_FORMATS if name == FILMS else FORMATS
    ending = path.suffix.removeprefix(".") if name != FILMS else ""
    found = given or ending or None
    if found not in allowed:
        got = f"'{found}'" if found else "none"
        hint = close_match(found, allowed) if found else ""
        raise BadFigure(
            f"{'films' if name == FILMS else 'a figure'} cannot have that format; got {got}, allowed "
            f"{', '.join(allowed)}{hint or '; choose one with --format'}"
        )
    if name != FILMS and ending != found:
        raise BadFigure(
            f"the name of the file and the format differ; got '{path.name}' and {found}, allowed one that ends in "
            f".{found}; change one of them"
        )
    return found


def _wide(name: str, style: str, width: str | None) -> Width | None:
    for what, given, allowed in (("style", style, tuple(DPI)), ("width", width, tuple(WIDTHS))):
        if given is not None and given not in allowed:
            raise BadFigure(
                f"a figure has no such {what}; got {given!r}, allowed {', '.join(allowed)}"
                + (close_match(str(given), allowed) or "; choose one of them")
            )
    if width is not None and (style == "screen" or name == FILMS):
        beside = "films" if name == FILMS else "style screen"
        raise BadFigure(
            f"a width is for figures on paper; got width {width} beside {beside}, allowed one of the two; leave the "
            f"width out"
        )
    return None if style == "screen" or name == FILMS else cast("Width", width or "page")


def _open(result: xr.Dataset | str | Path) -> tuple[xr.Dataset, str]:
    """The result, and what it is called on a command line."""
    from dit_lens.probing import load_result

    if isinstance(result, str | Path):
        return load_result(result), shown_path(Path(result))
    return result, ""

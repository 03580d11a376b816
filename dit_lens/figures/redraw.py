"""Draw a saved result again: the probe that made it is looked up by name, and given its parameters back.

Only an installed probe is ever looked up. A result may come from anywhere, so nothing that it names is loaded as a
file; who made it with a file of their own names that file again.

Of its parameters a probe reads some when it computes and some when it draws. The first cannot be changed any more, and
a parameter that silently changes nothing is worse than an error: a probe says in ``draws_by`` which ones it reads
when it draws, and only these may be set. Of a probe that does not say, all may.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dit_lens.figures.errors import BadFigure, UnknownFigure
from dit_lens.figures.note import data_of
from dit_lens.figures.style import looking
from dit_lens.probing import AnyProbe, BadParams, draw_result, get_probe, make_probe
from dit_lens.probing.blame import blame, who
from dit_lens.probing.files import FILE_MODULE, is_file_name
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["FILMS", "Listed", "drawn", "films_of", "find_figure", "list_figures", "ready_probe"]

FILMS = "films"
"""The name of the moving pictures of a result, one for each step."""


@dataclass(frozen=True)
class Listed:
    """One figure that a result has.

    Attributes
    ----------
    name : str
    formats : tuple of str
        What it can be saved as.
    inches : tuple of float, or None
        Width and height as the probe draws it; None of films.
    shows : tuple of str
        The variables that are drawn; empty if the probe does not say.
    """

    name: str
    formats: tuple[str, ...]
    inches: tuple[float, float] | None
    shows: tuple[str, ...]


def ready_probe(
    result: xr.Dataset, params: Mapping[str, Any] | None = None, probe: str | type[AnyProbe] | None = None
) -> AnyProbe:
    """The probe that made a result, with the parameters that it had then.

    Parameters
    ----------
    result : xarray.Dataset
        What ``load_result`` returned.
    params : mapping, optional
        Parameters of drawing that shall be others.
    probe : str or type of Probe, optional
        By default the one that the result names; needed if that lives in a file.

    Returns
    -------
    Probe or CausalProbe

    Raises
    ------
    BadFigure
        If the result does not say which probe made it, or it was another one.
    UnknownProbe, BrokenProbe
        If that one is not installed, or cannot be loaded.
    BadParams

    Examples
    --------
    >>> from dit_lens.probing import analyze
    >>> from dit_lens.testing import synthetic_store
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr", ["block.out:energy"])
    >>> result = analyze(store, "energy", {"clip_low": 2})
    >>> ready_probe(result, {"layer": 0}).params.clip_low
    2.0
    >>> ready_probe(result, {"clip_low": 5})
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.BadParams: 'clip_low' changes no figure of probe 'energy'; ...
    """
    made_by = str(result.attrs.get("probe", ""))
    found = (
        get_probe(_named(result, made_by)) if probe is None else get_probe(probe) if isinstance(probe, str) else probe
    )
    if found.name != made_by:
        raise BadFigure(
            f"the result was made by another probe; got '{found.name}', allowed '{made_by}'; leave the probe out, or "
            f"name the file that it lives in"
        )
    _check_drawing(found, params or {})
    return make_probe(found, _old_params(result) | dict(params or {}))


def list_figures(result: xr.Dataset, probe: AnyProbe) -> list[Listed]:
    """Every figure that a result has, and its films, in the order in which the probe draws them.

    Examples
    --------
    >>> from dit_lens.probing import analyze
    >>> from dit_lens.testing import synthetic_store
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr", ["block.out:energy"])
    >>> result = analyze(store, "energy")
    >>> [figure.name for figure in list_figures(result, ready_probe(result))]
    ['layers_by_frames', 'layer_over_steps']
    """
    listed = []
    for name, figure in drawn(result, probe).items():
        data, (width, height) = data_of(figure), figure.get_size_inches()
        shows = () if data is None else tuple(map(str, data.data_vars))
        listed.append(Listed(name, ("pdf", "svg", "png"), (round(float(width), 2), round(float(height), 2)), shows))
    films = films_of(result, probe)
    return listed if films is None else [*listed, Listed(FILMS, ("gif", "mp4"), None, (str(films.name),))]


def drawn(result: xr.Dataset, probe: AnyProbe) -> dict[str, Figure]:
    """All figures of a result, drawn in our look."""
    with looking():
        return draw_result(probe, result)


def films_of(result: xr.Dataset, probe: AnyProbe) -> xr.DataArray | None:
    """The moving pictures of a result, if its probe has any: uint8, films x frames x height x width x 3.

    Raises
    ------
    BadFigure
        If the probe's films are anything else.
    """
    films = getattr(probe, "films", None)
    if films is None:
        return None
    with blame(probe, "films"):
        found: xr.DataArray | None = films(result)
        if found is not None:
            _check_films(found, probe)
        return found
    raise AssertionError("unreachable")  # for type checkers: the block above either returns or raises


def find_figure(result: xr.Dataset, probe: AnyProbe, name: str) -> Figure:
    """One figure.

    Raises
    ------
    UnknownFigure
        With the list of those that there are, and a close match.
    """
    figures = drawn(result, probe)
    if name in figures:
        return figures[name]
    allowed = [*figures, *([FILMS] if films_of(result, probe) is not None else [])]
    raise UnknownFigure(
        f"the result of probe '{probe.name}' has no figure '{name}'; got '{name}', allowed {', '.join(allowed)}"
        + (close_match(name, allowed) or "; choose one of them")
    )


def _check_films(films: xr.DataArray, probe: AnyProbe) -> None:
    if films.dtype == np.uint8 and films.ndim == 5 and films.shape[-1] == 3 and films.size:
        over = str(films.dims[0])
        if over.isidentifier():  # it becomes the name of a file
            return
        got = f"a first dimension called {over!r}"
    else:
        got = f"{' x '.join(map(str, films.shape)) or 'one value'} of {films.dtype}"
    raise BadFigure(
        f"the films of {who(probe)} cannot be saved; got {got}, allowed films x frames x height x width x 3 of uint8, "
        f"the first with the name of a variable; report it there"
    )


def _named(result: xr.Dataset, made_by: str) -> str:
    """``dist:name`` of the probe that a result names; never a file."""
    package = str(result.attrs.get("probe_package", "")).partition(" ")[0]
    if not made_by:
        raise BadFigure(
            "the result cannot be drawn; got one that names no probe, allowed a result of analyze or intervene; make "
            "it again"
        )
    name = f"{package}:{made_by}"
    if package.startswith(FILE_MODULE) or is_file_name(name):
        raise BadFigure(
            f"the result cannot be drawn by what it names; got probe '{made_by}' of a file, allowed an installed "
            f"probe; name the file again, as --probe ./FILE.py:CLASS"
        )
    return name if package else made_by


def _old_params(result: xr.Dataset) -> dict[str, Any]:
    try:
        params = json.loads(result.attrs.get("params", "{}"))
    except (TypeError, ValueError):
        params = None
    if not isinstance(params, dict):
        raise BadFigure(
            f"the parameters of the result cannot be read; got {result.attrs.get('params')!r}, allowed a JSON object; "
            f"make the result again"
        )
    return params


def _check_drawing(probe: type[AnyProbe], params: Mapping[str, Any]) -> None:
    """Refuse a parameter that is known and changes numbers only; an unknown one is refused when the probe is made."""
    allowed = getattr(probe, "draws_by", None)
    if allowed is None:
        return
    for name in params:
        if name in probe.Params.model_fields and name not in allowed:
            raise BadParams(
                f"'{name}' changes no figure of probe '{probe.name}'; got '{name}', allowed "
                f"{', '.join(allowed) or 'none'}; set it where the result is made"
            )

"""Keep a result: one Zarr group that plain xarray opens, with its provenance in the attributes.

A result is written beside its place and moved there when it is whole, so an interrupted save leaves the old one. A path
that holds anything but an earlier result is refused and left alone.
"""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from dit_lens.probing.errors import NotAResult, ResultExists
from dit_lens_stores.whole import written_whole

__all__ = ["check_free", "is_result", "load_result", "plain_text", "save_result"]

MARK, FORMAT = "dit_lens_result", "1.0"


def save_result(result: xr.Dataset, path: str | Path) -> Path:
    """Write a result to a Zarr group; an earlier result there is replaced.

    Parameters
    ----------
    result : xarray.Dataset
        What ``analyze`` returned.
    path : str or Path
        A folder, usually ending in ``.zarr``.

    Returns
    -------
    Path

    Raises
    ------
    ResultExists
        If something is there that is no result.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> from dit_lens.probing import analyze
    >>> folder = getfixture("tmp_path")
    >>> result = analyze(synthetic_store(folder / "x.zarr", ["block.out:energy"]), "energy")
    >>> load_result(save_result(result, folder / "energy.zarr")).equals(result)
    True
    """
    path = Path(path)
    check_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as fresh:
        plain_text(result).assign_attrs({MARK: FORMAT}).to_zarr(fresh, mode="w", zarr_format=3, consolidated=False)
    return path


def check_free(path: str | Path) -> None:
    """Raise if something that is no result lies where a result is going to be saved.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ResultExists

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> check_free(folder / "energy.zarr")
    >>> _ = (folder / "notes.txt").write_text("keep me")
    >>> check_free(folder / "notes.txt")
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.ResultExists: the result cannot be saved at '...notes.txt'; ...
    """
    if _is_in_the_way(Path(path)):
        message = f"the result cannot be saved at '{path}'; got something that is no result, allowed a free path"
        raise ResultExists(f"{message} or an earlier result; choose another path")


def is_result(path: str | Path) -> bool:
    """Whether a saved result lies at a path.

    Examples
    --------
    >>> is_result("no-such-result.zarr")
    False
    """
    return bool(_format_of(Path(path)))


def load_result(path: str | Path) -> xr.Dataset:
    """Open a saved result; values are read when they are used.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    NotAResult
        If the path holds no result, or one of a format that this version does not read.

    Examples
    --------
    >>> load_result("no-such-result.zarr")
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.NotAResult: no result of a probe is at 'no-such-result.zarr'; ...
    """
    path = Path(path)
    found = _format_of(path)
    if found != FORMAT:
        got = f"format {found}" if found else "something else" if path.exists() else "nothing"
        message = f"no result of a probe is at '{path}'; got {got}, allowed a result of format {FORMAT}"
        raise NotAResult(f"{message}; make one with 'dit-lens analyze STORE --probe NAME --out {path}'")
    result = plain_text(xr.open_zarr(path, chunks=None, consolidated=False))
    del result.attrs[MARK]
    return result


def plain_text(result: xr.Dataset) -> xr.Dataset:
    """Text as Python strings: the one kind of text that Zarr 3 has a specification for in every library.

    Examples
    --------
    >>> plain_text(xr.Dataset({"says": ("row", ["better"])}))["says"].dtype
    dtype('O')
    """
    text = {name: variable for name, variable in result.variables.items() if variable.dtype.kind in "UT"}
    texts = {name: (variable.dims, variable.values.astype(object), variable.attrs) for name, variable in text.items()}
    result = result.assign({name: value for name, value in texts.items() if name in result.data_vars})
    return result.assign_coords({name: value for name, value in texts.items() if name in result.coords})


def _is_in_the_way(path: Path) -> bool:
    if path.is_dir():
        return any(path.iterdir()) and not _format_of(path)
    return path.exists()


def _format_of(path: Path) -> str:
    import zarr

    if not (path / "zarr.json").is_file():
        return ""
    try:
        return str(zarr.open_group(path, mode="r", use_consolidated=False).attrs.get(MARK, ""))
    except (OSError, ValueError, KeyError):
        return ""

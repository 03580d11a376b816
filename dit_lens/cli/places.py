"""Whether a command can write where it is told to, looked up before it computes anything.

Folders are made when the first result is there, which may be hours after the command began; a path that can never
become a folder is refused at once instead. The same holds for files that somebody else put where results will go: an
earlier result and the figures beside it are replaced by a newer one, anything else is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dit_lens.cli.failures import BadOption

__all__ = ["check_out", "check_picture", "check_result"]


def check_out(out: Path, option: str = "--out") -> None:
    """Refuse a path that neither is a folder nor can become one; nothing is made.

    Parameters
    ----------
    out : Path
        A folder that a command is going to write, be it a store, a run or a place for results.
    option : str
        The option's name, for the message.

    Raises
    ------
    BadOption
        If a file lies at the path or where one of its parents should be, or the folder may not be written.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> check_out(folder / "runs" / "fork.zarr")
    >>> _ = (folder / "notes.txt").write_text("keep me")
    >>> check_out(folder / "notes.txt" / "fork.zarr")
    Traceback (most recent call last):
    ...
    dit_lens.cli.failures.BadOption: --out cannot be used; got '...fork.zarr' ('...notes.txt' is a file), allowed ...
    """
    place = next((path for path in (out, *out.parents) if os.path.lexists(path)), Path())
    if not place.is_dir():
        reason = f"'{place}' is a file" if place.is_file() else f"'{place}' is no folder"
    elif not os.access(place, os.W_OK | os.X_OK):
        reason = f"'{place}' may not be written"
    else:
        return
    raise BadOption(
        f"{option} cannot be used; got '{out}' ({reason}), allowed a folder or a path that can become one; "
        f"choose another {option}"
    )


def check_result(out: Path, probe: str, formats: Sequence[str]) -> Path:
    """Return where the result of a probe goes; refuse if it or its figures would replace what is not ours.

    What a probe calls its figures is known only when it has drawn them, so every picture that begins with the name of
    the probe is in the way, unless it begins with the name of a result that lies beside it.

    Parameters
    ----------
    out : Path
        The folder for results and figures.
    probe : str
    formats : sequence of str
        Endings of the figures.

    Returns
    -------
    Path

    Raises
    ------
    ResultExists
        If something is in the way.

    Examples
    --------
    >>> check_result(getfixture("tmp_path"), "energy", ["png"]).name
    'energy.zarr'
    """
    from dit_lens.probing import check_free, is_result

    path = out / f"{probe}.zarr"
    check_free(path)
    there = list(out.iterdir()) if out.is_dir() else []
    ours = tuple(f"{place.stem}-" for place in there if place.suffix == ".zarr" and is_result(place))
    for place in sorted(there):
        is_figure = place.name.startswith(f"{probe}-") and place.suffix in [f".{format_}" for format_ in formats]
        if is_figure and not (place.is_file() and place.name.startswith(ours)):
            _refuse_picture(place, "a result whose figures may be replaced")
    return path


def check_picture(picture: Path, *, beside: Path) -> None:
    """Refuse if a picture would replace one that was not made together with the result beside it.

    Parameters
    ----------
    picture : Path
    beside : Path
        The result; if it is there, the picture is from an earlier run of the same command, whose store may be gone.

    Raises
    ------
    ResultExists

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> check_picture(folder / "x0.png", beside=folder / "energy.zarr")
    """
    if os.path.lexists(picture) and not (picture.is_file() and beside.is_dir()):
        _refuse_picture(picture, f"'{beside.name}' that it was made with")


def _refuse_picture(picture: Path, beside: str) -> None:
    from dit_lens.probing import ResultExists

    raise ResultExists(
        f"a picture cannot be saved in '{picture.parent}'; got '{picture.name}', which may be of something else, "
        f"allowed a folder without it, or with {beside}; choose another --out"
    )

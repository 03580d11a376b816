"""Where a figure and its companions lie, and what may be replaced there: what an earlier figure left, and nothing else.

A figure is never alone: its data and its record lie beside it, under names that are made from its own. A file under one
of these names may be anybody's. What the record of an earlier figure names was made by us.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from dit_lens.figures.errors import FigureInTheWay

__all__ = ["MARK", "check_folder", "check_places", "companions", "named_by"]

MARK = "dit_lens_figure"


def check_places(places: Sequence[Path], record: Path) -> None:
    """Refuse if a figure, or anything that is written beside it, would replace what was not made with it.

    Parameters
    ----------
    places : sequence of pathlib.Path
        Everything that is written, or removed.
    record : pathlib.Path
        Their record. If it is that of an earlier figure, what it names may be replaced.

    Raises
    ------
    FigureInTheWay

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "a.pdf.csv").write_text("keep me")
    >>> check_places([folder / "a.pdf", folder / "a.pdf.csv"], folder / "a.pdf.json")
    Traceback (most recent call last):
    ...
    dit_lens.figures.errors.FigureInTheWay: a figure cannot be saved at '...a.pdf.csv'; ...
    """
    ours = named_by(record)
    for place in (*places, record):
        if os.path.lexists(place) and place.name not in ours:
            raise FigureInTheWay(
                f"a figure cannot be saved at '{place}'; got something that was not made by figure, allowed a free "
                f"path or what an earlier '{record.name}' names; choose another path"
            )


def check_folder(folder: Path, record: Path) -> None:
    """Refuse a folder for films that holds something, and no films of ours.

    Raises
    ------
    FigureInTheWay
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())) and not named_by(record):
        raise FigureInTheWay(
            f"films cannot be saved in '{folder}'; got something that was not made by figure, allowed a free path, an "
            f"empty folder or one of earlier films with its '{record.name}'; choose another path"
        )


def companions(figure: Path) -> tuple[Path, Path]:
    """Where the data of a figure may lie: as a table, or as a Zarr.

    Examples
    --------
    >>> [path.name for path in companions(Path("a.pdf"))]
    ['a.pdf.csv', 'a.pdf.zarr']
    """
    return figure.with_name(figure.name + ".csv"), figure.with_name(figure.name + ".zarr")


def named_by(record: Path) -> frozenset[str]:
    """The names that the record of a figure names, itself among them; none if it is no such record."""
    try:
        document = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    if not isinstance(document, dict) or MARK not in document:
        return frozenset()
    files, data = document.get("sha256"), document.get("data")
    names = {record.name, *(files if isinstance(files, dict) else ()), *([data] if isinstance(data, str) else ())}
    return frozenset(names)

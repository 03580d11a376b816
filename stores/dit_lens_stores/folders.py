"""Make the folder that something new goes into, and say in one line why it cannot be made."""

from __future__ import annotations

import os
from pathlib import Path

from dit_lens_stores.errors import StoreError, StoreExists
from dit_lens_stores.index import read_attributes
from dit_lens_stores.schema import FORMAT_KEY

__all__ = ["make_folder", "refuse_inside_store"]


def make_folder(folder: Path, action: str, wanted: Path | None = None) -> None:
    """Make a folder and those above it, unless it is there.

    Parameters
    ----------
    folder : pathlib.Path
    action : str
        For the message.
    wanted : pathlib.Path, optional
        What was asked for, if the folder is not it; for the message.

    Raises
    ------
    StoreError
        If there is a file in the way, or the place may not be written.

    Examples
    --------
    >>> _ = (getfixture("tmp_path") / "file").write_text("")
    >>> make_folder(getfixture("tmp_path") / "file" / "x", "merge")
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.StoreError: merge cannot make '...'; got Not a directory, allowed a place that may be ...
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(
            f"{action} cannot make '{wanted or folder}'; got {reason}, allowed a place that may be written, below no "
            f"file; choose another path"
        ) from None


def refuse_inside_store(out: Path, action: str) -> None:
    """Refuse a path inside a store, where what is written would be no part of it.

    Parameters
    ----------
    out : pathlib.Path
    action : str
        For the message.

    Raises
    ------
    StoreExists

    Examples
    --------
    >>> refuse_inside_store(getfixture("tmp_path") / "new.zarr", "merge")
    """
    for folder in Path(os.path.realpath(out)).parents:
        if FORMAT_KEY in (read_attributes(folder) or {}):
            raise StoreExists(
                f"{action} refused '{out}'; got a path inside the store '{folder}', allowed one outside of every "
                f"store; choose another path"
            )

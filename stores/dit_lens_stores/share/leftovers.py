"""The folder in which a store is fetched before it gets its name, and what an earlier attempt has left in it.

It has a name that nobody else gives, and nothing in it is deleted that a pull does not write: a link, a file of another
kind, or a store that is no part of another one stops the pull, and all is left as it was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from dit_lens_stores.errors import StoreExists
from dit_lens_stores.folders import make_folder, refuse_inside_store
from dit_lens_stores.index import read_attributes
from dit_lens_stores.share.files import is_extra, is_part

__all__ = ["drop_others", "is_part_of_another", "make_partial", "other_store", "remove_all"]

_UNFINISHED = re.compile(r"(?:.+/)?(?:\..+\.\d+\.part|[^/]+\.partial)")


def make_partial(out: Path) -> Path:
    """Make the folder that becomes a store, or find the one of an earlier attempt.

    Parameters
    ----------
    out : pathlib.Path
        The store.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    StoreExists
        If something else has its name, or it would be inside a store.
    StoreError
        If no folder can be made there.

    Examples
    --------
    >>> make_partial(getfixture("tmp_path") / "a.zarr").name
    '.a.zarr.pull.partial'
    """
    partial = out.with_name(f".{out.name}.pull.partial")
    if partial.is_symlink() or (partial.exists() and not partial.is_dir()):
        raise _in_the_way(partial, "a link or a file of that name")
    refuse_inside_store(out, "pull")
    make_folder(partial, "pull")
    return partial


def drop_others(partial: Path, keep: Collection[str]) -> None:
    """Delete what an earlier attempt has left, but for what is kept.

    Parameters
    ----------
    partial : pathlib.Path
    keep : collection of str
        Keys.

    Raises
    ------
    StoreExists
        If there is anything that a pull does not write; nothing is deleted.

    Examples
    --------
    >>> partial = make_partial(getfixture("tmp_path") / "a.zarr")
    >>> _ = (partial / "notes.txt").write_text("mine")
    >>> drop_others(partial, ())
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.StoreExists: pull refused '...'; got 'notes.txt' in it, which no pull has written, ...
    """
    unwanted = {key: path for key, path in _walk(partial) if key not in keep or path.is_symlink()}
    for key, path in unwanted.items():
        if path.is_symlink() or not (is_part(key) or is_extra(key) or _UNFINISHED.fullmatch(key)):
            raise _in_the_way(partial, f"'{key}' in it")
    for path in unwanted.values():
        path.unlink()
    for name, _, _ in os.walk(partial, topdown=False):
        if (folder := Path(name)) != partial and not any(folder.iterdir()):
            folder.rmdir()


def remove_all(partial: Path) -> None:
    """Delete the folder with all that an earlier attempt has left.

    Examples
    --------
    >>> partial = make_partial(getfixture("tmp_path") / "a.zarr")
    >>> remove_all(partial)
    >>> partial.exists()
    False
    """
    drop_others(partial, ())
    partial.rmdir()


def is_part_of_another(partial: Path, traces: Collection[str]) -> bool:
    """Whether all traces of a store were copied from another one; a trace that was not laid out yet may have been.

    Examples
    --------
    >>> is_part_of_another(getfixture("tmp_path"), ["t0"])
    True
    """
    return all(_was_copied(partial / trace_id) for trace_id in traces)


def _was_copied(trace: Path) -> bool:
    attributes = read_attributes(trace)
    if attributes is None:
        return True
    manifest = attributes.get("manifest")
    lineage = manifest.get("lineage") if isinstance(manifest, dict) else None
    last = lineage[-1] if isinstance(lineage, list) and lineage else None
    return isinstance(last, dict) and last.get("trace") == trace.name and "source" in last


def other_store(partial: Path) -> StoreExists:
    """Make the error for a store that is no part of another one."""
    return _in_the_way(partial, "a store of its own")


def _walk(partial: Path) -> Iterator[tuple[str, Path]]:
    """Every file by its key, and every link to a folder, which is not followed."""
    for folder, folders, names in os.walk(partial):
        for name in (*names, *(name for name in folders if Path(folder, name).is_symlink())):
            path = Path(folder, name)
            yield path.relative_to(partial).as_posix(), path


def _in_the_way(partial: Path, got: str) -> StoreExists:
    return StoreExists(
        f"pull refused '{partial}'; got {got}, which no pull has written, allowed what an earlier pull has left; move "
        f"it away"
    )

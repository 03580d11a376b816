"""Fetch a store, or a part of one, into a new folder.

A whole store comes file by file into ``.OUT.pull.partial``, each looked at by its hash; what is there already is not
fetched again, so the same command goes on where a killed one stopped. When all is there the folder gets its name, so
nobody ever opens half a store. A part comes through the reader and is written anew, see
`dit_lens_stores.share.slicing`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_lens_stores.claim import locked
from dit_lens_stores.errors import Corrupt, StoreError, StoreExists
from dit_lens_stores.log import add_to_log, log_of
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.places import LocalPlace, Place, side_by_side
from dit_lens_stores.remote import shown
from dit_lens_stores.root import create_store, open_store
from dit_lens_stores.share.checks import check_structure, check_whole
from dit_lens_stores.share.choosing import parse_selection
from dit_lens_stores.share.files import ROOT, File, check_complete, is_extra, phase_of
from dit_lens_stores.share.leftovers import drop_others, is_part_of_another, make_partial, other_store, remove_all
from dit_lens_stores.share.slicing import Slice, copy_slice, manifest_of_part
from dit_lens_stores.share.sources import Source, find_source, pin
from dit_lens_stores.whole import written_whole

__all__ = ["Pulled", "pull"]

Check = Callable[[StoreReader], None]
Tell = Callable[[int, int], None]
PART = 16 * 2**20


@dataclass(frozen=True)
class Pulled:
    """What was fetched.

    Attributes
    ----------
    store : pathlib.Path
    source : str
    revision : str or None
        The commit that it was fetched from, where there are such.
    traces, files, size : int
        What is there now.
    fetched_files : int
        Of them, what was not there yet; of a part, all.
    """

    store: Path
    source: str
    revision: str | None
    traces: int
    files: int
    size: int
    fetched_files: int


def pull(
    source: str | Path,
    out: str | Path,
    *,
    select: str = "",
    traces: Sequence[str] = (),
    arrays: Sequence[str] = (),
    check: Check | None = None,
    tell: Tell = lambda done, size: None,
) -> Pulled:
    """Fetch a store, or a part of one.

    Parameters
    ----------
    source : str or pathlib.Path
        A folder, a zip, or an address; of the Hub with or without ``@REVISION``.
    out : str or pathlib.Path
        A new folder. One that holds the whole store already is left as it is.
    select : str
        Such as ``step=0:3,layer=2``: fetch only what is touched, into a smaller store.
    traces, arrays : sequence of str
        Only these.
    check : callable
        Called with the store that was fetched; raises if it is not whole. By default every byte is looked at, unless
        all were compared with the hashes that were pushed.
    tell : callable
        Called with (bytes done, bytes in all).

    Returns
    -------
    Pulled

    Raises
    ------
    NotAStore
        If there is no store.
    StoreExists
        If something else is at ``out``.
    Corrupt
        If what came is not what was pushed.
    Unreachable
        If the source does not answer; the same call goes on.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> made = create_store(getfixture("tmp_path") / "a.zarr")
    >>> pull(made.path, getfixture("tmp_path") / "b.zarr").fetched_files
    1
    >>> pull(made.path, getfixture("tmp_path") / "b.zarr").fetched_files
    0
    """
    out, part = Path(out), Slice(parse_selection(select), tuple(traces), tuple(arrays))
    if part.empty:
        return _pull_whole(find_source(source), out, check, tell)
    return _pull_part(source, out, part, tell)


def _pull_whole(source: Source, out: Path, check: Check | None, tell: Tell) -> Pulled:
    if os.path.lexists(out):
        return _already_there(source, out)
    partial = make_partial(out)
    with locked(partial):
        if not partial.is_dir():  # another process has fetched it all while this one waited
            return _already_there(source, out)
        drop_others(partial, source.files)
        fetched = _fetch_all(source, partial, tell)
        (check or (check_structure if source.sums else check_whole))(StoreReader(LocalPlace(partial)))
        partial.rename(out)
    add_to_log(out, "pull", source=source.name, revision=source.revision, files=fetched)
    return _pulled(out, source.name, source.revision, fetched)


def _already_there(source: Source, out: Path) -> Pulled:
    if out.is_dir() and all(_same(source, key, out / key) for key in source.files if not is_extra(key)):
        return _pulled(out, source.name, source.revision, 0)
    raise StoreExists(
        f"pull refused '{out}'; got something else that is there already, allowed a new path, or the same store; "
        f"choose another path"
    )


def _same(source: Source, key: str, path: Path) -> bool:
    if source.place.remote:
        return source.same(key, path)
    return path.is_file() and _content(source.place, key) == path.read_bytes()


def _content(place: Place, key: str) -> bytes | None:
    size = place.size(key)
    return None if size is None else place.read_range(key, 0, size)


def _fetch_all(source: Source, partial: Path, tell: Tell) -> int:
    came = _Came(sum(found.size for found in source.files.values() if found), tell)

    def fetch(key: str) -> bool:
        path = partial / key
        new = not _same(source, key, path)
        if new:
            _fetch(source, key, path, came)
        else:
            came.add(path.stat().st_size)
        return new

    keys = sorted(source.files, key=lambda key: (phase_of(key), key))
    batches = (keys[at : at + 64] for at in range(0, len(keys), 64))
    return sum(sum(side_by_side(source.place, fetch, batch)) for batch in batches)


class _Came:
    """Adds up what several threads fetch, and tells of it, one at a time."""

    def __init__(self, size: int, tell: Tell) -> None:
        self._size, self._tell, self._done = size, tell, 0
        self._lock = threading.Lock()

    def add(self, more: int) -> None:
        with self._lock:
            self._done += more
            self._tell(self._done, max(self._size, self._done))


def _fetch(source: Source, key: str, path: Path, came: _Came) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = source.files[key]
    size = source.place.size(key) if found is None else found.size
    with written_whole(path) as beside:
        with beside.open("wb") as file:
            for at in range(0, size or 0, PART):
                came.add(file.write(source.place.read_range(key, at, min(PART, (size or 0) - at)) or b""))
        _check_came(source, key, beside)


def _check_came(source: Source, key: str, path: Path) -> None:
    found = source.files[key]
    whole = found is None or found.size == path.stat().st_size
    if not whole or (key in source.sums and File(key, path).sha256 != source.sums[key]):
        raise Corrupt(
            f"pull of '{source.name}' stopped at '{key}'; got other bytes than were pushed, allowed those that "
            f"SHA256SUMS names; run the same command again, or push the store again"
        )


def _pull_part(source: str | Path, out: Path, part: Slice, tell: Tell) -> Pulled:
    if os.path.lexists(out):
        raise StoreExists(
            f"pull refused '{out}'; got something that is there already, allowed a new path; choose another path"
        )
    place, revision = pin(source)
    name = shown(str(source)) if place.remote else Path(source).name
    lineage = {"source": name, "revision": revision}
    opened, partial = open_store(place), make_partial(out)
    _drop_if_other(partial, opened, part, lineage)
    _fill(partial, opened, part, lineage, tell)
    log_of(partial).unlink(missing_ok=True)
    partial.rename(out)
    add_to_log(out, "pull", **lineage, **part.as_json())
    files = sum(path.is_file() for path in out.rglob("*"))
    return _pulled(out, name, revision, files)


def _drop_if_other(partial: Path, source: StoreReader, part: Slice, lineage: Mapping[str, Any]) -> None:
    """Delete what an earlier attempt has left if it was to become something else."""
    if not (partial / ROOT).is_file():
        drop_others(partial, ())
        return
    left = open_store(partial)
    if not is_part_of_another(partial, left.traces):
        raise other_store(partial)
    wanted = set(part.traces or source.traces)
    if not all(trace_id in wanted and _is_same(left, source, trace_id, part, lineage) for trace_id in left.traces):
        drop_others(partial, ())


def _is_same(left: StoreReader, source: StoreReader, trace_id: str, part: Slice, lineage: Mapping[str, Any]) -> bool:
    manifest = left.get(trace_id, partial=True).manifest
    return trace_id in source and manifest == manifest_of_part(source[trace_id], part, lineage)


def _fill(partial: Path, source: StoreReader, part: Slice, lineage: Mapping[str, Any], tell: Tell) -> None:
    """Copy what is not there yet, and look at the whole; if nothing was begun, nothing stays."""
    made = create_store(partial)
    try:
        copy_slice(source, made, part, lineage, tell)
    except StoreError:
        if not made.traces:
            remove_all(partial)
        raise
    check_complete(made, "pull", "run the same command again")
    check_structure(made)


def _pulled(out: Path, source: str, revision: str | None, fetched: int) -> Pulled:
    files = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    return Pulled(out, source, revision, len(open_store(out)), len(files), sum(files), fetched)

"""Publish a store: look at it, say what it is, and send it so that nobody ever reads a trace that is not whole.

Before anything is sent, the store is checked, looked through for what is private, and its licences are known. Then come
the files phase by phase (`dit_lens_stores.share.files`); what the target holds already is not sent again, so the same
command goes on where an interrupted one stopped, and ends with the same files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dit_lens_stores.errors import NotAStore, StoreExists, Unreachable
from dit_lens_stores.log import add_to_log
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.places import MAX_METADATA, LocalPlace, place_of
from dit_lens_stores.share.card import MARK
from dit_lens_stores.share.checks import check_whole
from dit_lens_stores.share.extras import extras_of, told_licence
from dit_lens_stores.share.facts import check_licences, facts_of
from dit_lens_stores.share.files import (
    CARD,
    CROISSANT,
    ROOT,
    File,
    check_complete,
    is_extra,
    phase_of,
    store_files,
    total,
)
from dit_lens_stores.share.scan import check_private
from dit_lens_stores.share.targets import Found, Target, target_of
from dit_lens_stores.share.zip_files import check_new, write_zip

__all__ = ["Pushed", "pack", "push"]

Check = Callable[[StoreReader], None]
Tell = Callable[[int, int], None]
_NOT_OURS = (".gitattributes", ".gitignore", "LICENSE", "LICENSE.md", "LICENSE.txt")  # a new repository may have them


@dataclass(frozen=True)
class Pushed:
    """What was published.

    Attributes
    ----------
    target : str
    revision : str or None
        The commit, where there are such.
    files, size : int
        Of the store with what goes with it.
    sent_files, sent_size : int
        Of them, what was not there yet.
    """

    target: str
    revision: str | None
    files: int
    size: int
    sent_files: int
    sent_size: int


def push(
    store: str | Path,
    target: str | Target,
    *,
    license: str | None = None,  # noqa: A002
    model_license: str | None = None,
    allow_private: bool = False,
    partial: bool = False,
    check: Check = check_whole,
    probes: Sequence[str] = (),
    tell: Tell = lambda done, size: None,
) -> Pushed:
    """Publish a store.

    Parameters
    ----------
    store : str or pathlib.Path
        A folder.
    target : str
        ``hf://datasets/OWNER/NAME[@REVISION][/FOLDER]``, ``s3://BUCKET/FOLDER``, or another that fsspec knows.
    license : str, optional
        Of the data; by default the one under which it was published before.
    model_license : str, optional
        Of models whose manifests do not name one.
    allow_private : bool
        Send it although keys, names or paths were found in it.
    partial : bool
        Send traces that are not complete as well.
    check : callable
        Called with the store; raises if it should not be published.
    probes : sequence of str
        Those that can be run on it, for the card.
    tell : callable
        Called with (bytes that are there, bytes in all).

    Returns
    -------
    Pushed

    Raises
    ------
    PrivateContent
        If keys, user name, host name or absolute paths are in it.
    NotDone
        If a trace is not complete.
    Damaged
        If anything is wrong with the store.
    StoreExists
        If the target holds something else; it is left untouched.
    Unreachable
        If the target does not answer; the same call goes on.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> made = create_store(getfixture("tmp_path") / "a.zarr")
    >>> push(made.path, "memory://doc-push/a.zarr", license="CC0-1.0").sent_files
    4
    >>> push(made.path, "memory://doc-push/a.zarr", license="CC0-1.0").sent_files
    0
    """
    opened = open_folder(store, "push")
    target = target_of(target) if isinstance(target, str) else target
    if not partial:
        check_complete(opened, "push", "trace them again, or add --partial")
    check(opened)
    files = store_files(opened)
    if not allow_private:
        check_private(opened, files)
    licence = check_licences(opened, license or _told_before(opened, target), model_license)
    extras = extras_of(facts_of(opened, files, _public(target.name), licence, model_license, probes), files)
    return _send(opened, target, [*files, *extras], tell)


def pack(
    store: str | Path,
    out: str | Path,
    *,
    license: str | None = None,  # noqa: A002
    model_license: str | None = None,
    partial: bool = False,
    probes: Sequence[str] = (),
    tell: Tell = lambda done, size: None,
) -> int:
    """Pack a store into one zip that is read in place; the same store gives the same bytes.

    Parameters
    ----------
    store : str or pathlib.Path
        A folder.
    out : str or pathlib.Path
        A new file; its name must end in ``.zip``, by which it is known as one.
    license : str, optional
        Of the data; with it, a card and Croissant metadata are packed as well.
    model_license : str, optional
    partial : bool
        Pack traces that are not complete as well.
    probes : sequence of str
    tell : callable
        Called with (bytes done, bytes in all).

    Returns
    -------
    int
        The size of the zip.

    Raises
    ------
    NotDone
        If a trace is not complete.
    StoreExists
        If something is there; it is left untouched.

    Examples
    --------
    >>> from dit_lens_stores import create_store, open_store
    >>> made = create_store(getfixture("tmp_path") / "a.zarr")
    >>> _ = pack(made.path, getfixture("tmp_path") / "a.zarr.zip")
    >>> len(open_store(getfixture("tmp_path") / "a.zarr.zip"))
    0
    """
    opened, out = open_folder(store, "pack"), Path(out)
    if out.suffix != ".zip":
        raise StoreExists(
            f"pack refused '{out}'; got another ending, allowed .zip, by which a reader knows it; call it "
            f"'{out.name}.zip'"
        )
    check_new(out, "pack")
    if not partial:
        check_complete(opened, "pack", "trace them again, or add --partial")
    files = store_files(opened)
    if licence := license or told_licence(opened.place.read(CROISSANT, MAX_METADATA)):
        check_licences(opened, licence, model_license)
        files += extras_of(facts_of(opened, files, out.name, licence, model_license, probes), files)
    return write_zip(files, out, tell)


def open_folder(store: str | Path, action: str) -> StoreReader:
    """Open a store that lies in a folder of this machine.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> open_folder(create_store(getfixture("tmp_path") / "a.zarr").path, "push").traces
    ()
    """
    place = place_of(store)
    if not isinstance(place, LocalPlace):
        raise NotAStore(
            f"{action} refused '{place.name}'; got no folder of this machine, allowed a store in one; pull it first"
        )
    opened = StoreReader(place)
    _ = opened.attributes
    return opened


def _told_before(store: StoreReader, target: Target) -> str | None:
    """The licence under which a store was pushed before: said at the target, or beside its root if it was pulled."""
    there = target.read(CROISSANT) if CROISSANT in target.files() else None
    return told_licence(there) or told_licence(store.place.read(CROISSANT, MAX_METADATA))


def _send(store: StoreReader, target: Target, files: list[File], tell: Tell) -> Pushed:
    there = target.files()
    _check_foreign(target, there, {file.key for file in files})
    complete = _check_manifests(target, there, store)
    files = [file for file in files if not (file.key == CARD and _is_their_own(target, there))]
    wanted = [file for file in files if not (file.key in there and target.holds(file, there[file.key]))]
    _check_values(target, there, wanted, complete)
    size, left = total(files), total(wanted)
    done = size - left

    def add(more: int) -> None:
        nonlocal done
        tell(done := done + more, size)

    tell(done, size)
    target.prepare()
    for _, phase in groupby(sorted(wanted, key=lambda file: (phase_of(file.key), file.key)), _phase_key(target)):
        target.send(list(phase), add)
    _compare(target, files)
    pushed = Pushed(target.name, target.revision, len(files), size, len(wanted), left)
    add_to_log(store.path, "push", target=pushed.target, revision=pushed.revision, files=len(wanted), bytes=left)
    return pushed


def _phase_key(target: Target) -> Callable[[File], int]:
    """Phases follow each other; where one commit puts many files at once, all that are small go together."""
    return lambda file: min(phase_of(file.key), 1) if target.atomic else phase_of(file.key)


def _check_foreign(target: Target, there: dict[str, Found], ours: set[str]) -> None:
    foreign = sorted(key for key in there if key not in ours and not is_extra(key) and key not in _NOT_OURS)
    if foreign:
        raise _occupied(target, f"'{foreign[0]}' and {len(foreign) - 1} other files that are not of this store")


def _check_manifests(target: Target, there: dict[str, Found], store: StoreReader) -> set[str]:
    """Refuse traces that were made otherwise than complete ones of the same name; return the latter."""
    complete = set()
    for trace_id in store.traces:
        key = f"{trace_id}/{ROOT}"
        if key in there and (theirs := _attributes(target, key)).get("status") == "complete":
            complete.add(trace_id)
            if theirs.get("manifest") != store.get(trace_id, partial=True).manifest:
                raise _occupied(target, f"another trace called '{trace_id}'")
    return complete


def _check_values(target: Target, there: dict[str, Found], wanted: Sequence[File], complete: set[str]) -> None:
    """Refuse to write over a file of a complete trace: somebody may have read it, and it may be the true one."""
    for file in wanted:
        trace_id = file.key.partition("/")[0]
        if file.key in there and "/" in file.key and trace_id in complete:
            raise _occupied(target, f"other bytes of the complete trace '{trace_id}' in '{file.key}'")


def _attributes(target: Target, key: str) -> dict[str, Any]:
    try:
        return dict(json.loads(target.read(key) or b"{}").get("attributes", {}))
    except (ValueError, AttributeError, TypeError):
        return {}


def _occupied(target: Target, got: str) -> StoreExists:
    return StoreExists(
        f"push refused '{target.name}'; got {got} there, allowed an empty place or an earlier push of this store; "
        f"choose another target"
    )


def _is_their_own(target: Target, there: dict[str, Found]) -> bool:
    """Whether the card at the target was written by somebody."""
    return CARD in there and MARK.encode() not in (target.read(CARD) or b"")


def _compare(target: Target, files: Sequence[File]) -> None:
    there = target.files()
    lacking = [file.key for file in files if file.key not in there or there[file.key].size != file.size]
    if lacking:
        raise Unreachable(
            f"push to '{target.name}' did not end as it should; got {len(lacking)} files that are not there, such as "
            f"'{lacking[0]}', allowed all of them; run the same command again"
        )


def _public(url: str) -> str:
    """An address as a card names it: of a folder of this machine only the last name."""
    parts = urlsplit(url)
    return url.rstrip("/").rpartition("/")[2] if parts.scheme in ("file", "") else url

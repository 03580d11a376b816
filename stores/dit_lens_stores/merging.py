"""Join stores into one without writing any array again: the parts of a run that was split over machines.

Every file of a trace is linked into the new store, or copied where links are not possible; files of a store are never
changed in place, so a link is as good as a copy. The new store is put together under another name and takes its own by
a rename, whole or not at all. Traces are taken in turn, one from each store, which is the order of one run over all
units if the stores are those of ``--shard 0/n`` to ``n-1/n``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any
from uuid import uuid4

import zarr

from dit_lens_stores.claim import locked
from dit_lens_stores.errors import StoreError, StoreExists
from dit_lens_stores.folders import make_folder, refuse_inside_store
from dit_lens_stores.log import add_to_log
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.places import LocalPlace, place_of
from dit_lens_stores.share.files import File, check_complete, store_files

__all__ = ["built_whole", "merge"]


def merge(sources: Sequence[str | Path], out: str | Path) -> tuple[str, ...]:
    """Join stores.

    Parameters
    ----------
    sources : sequence of str or pathlib.Path
        Folders on this machine; all their traces must be complete. A trace that several of them hold is taken once, if
        it is the same, byte for byte.
    out : str or pathlib.Path
        A new path.

    Returns
    -------
    tuple of str
        The ids of the traces, in their order.

    Raises
    ------
    StoreExists
        If something is at ``out``.
    NotDone
        If a trace is not complete.
    StoreError
        If two stores hold different traces of one id, or a source is no folder.

    Examples
    --------
    >>> import numpy as np
    >>> from dit_lens_stores import ArraySpec, create_store, open_store
    >>> folder = getfixture("tmp_path")
    >>> for name in ("a", "b"):
    ...     spec = ArraySpec("x", ("step",), {"step": (0,)}, ("step",))
    ...     writer = create_store(folder / name).begin(f"trace-{name}", [spec], [], {})
    ...     writer.write("x", {"step": 0}, np.float32(1.5))
    ...     writer.finish()
    >>> merge([folder / "a", folder / "b"], folder / "c.zarr")
    ('trace-a', 'trace-b')
    >>> open_store(folder / "c.zarr").status("trace-b")
    'complete'
    """
    if not sources:
        raise StoreError("merge got no store; got 0, allowed at least 1; name the stores to join")
    stores = [_open(source) for source in sources]
    for store in stores:
        check_complete(store, "merge", "trace them again: the same command resumes")
    files = [_by_trace(store) for store in stores]
    homes = _homes(stores, files)
    with built_whole(Path(out), "merge") as partial:
        index = {name: stores[home].index[name] for name, home in homes.items()}
        for name, home in homes.items():
            with locked(stores[home].path, alone=False):
                for file in files[home][name]:
                    _link(file, partial / file.key)
        zarr.create_group(partial, zarr_format=3, attributes={**stores[0].attributes, "traces": index})
    add_to_log(Path(out), "merge", sources=[Path(source).name for source in sources], traces=len(homes))
    return tuple(homes)


@contextmanager
def built_whole(out: Path, action: str) -> Iterator[Path]:
    """Give a folder in which a store is put together; it takes the store's name at the end, or is deleted.

    Parameters
    ----------
    out : pathlib.Path
        A new path, or an empty folder.
    action : str
        For the message.

    Raises
    ------
    StoreExists
        If something else is there, or the path is inside a store.
    StoreError
        If nothing can be written there.

    Examples
    --------
    >>> out = getfixture("tmp_path") / "new"
    >>> with built_whole(out, "merge") as folder:
    ...     _ = (folder / "a").write_text("b")
    >>> (out / "a").read_text()
    'b'
    """
    if os.path.lexists(out) and not (out.is_dir() and not out.is_symlink() and not any(out.iterdir())):
        raise StoreExists(f"{action} refused '{out}'; got something there, allowed a new path; choose another path")
    refuse_inside_store(out, action)
    wanted, out = out, out.absolute()  # the current folder has no name otherwise
    partial = out.with_name(f".{out.name}.{uuid4().hex[:8]}.partial")
    make_folder(partial, action, wanted)
    try:
        yield partial
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            partial.with_name(partial.name + ".log.jsonl").unlink()
        raise
    with suppress(OSError):
        partial.with_name(partial.name + ".log.jsonl").unlink()


def _open(source: str | Path) -> StoreReader:
    store = StoreReader(place_of(source))
    if not isinstance(store.place, LocalPlace):
        raise StoreError(
            f"merge cannot read '{store.url}'; got no folder, allowed folders on this machine; unpack or pull it first"
        )
    _ = store.attributes
    return store


def _by_trace(store: StoreReader) -> dict[str, list[File]]:
    found: dict[str, list[File]] = {name: [] for name in store.traces}
    for file in store_files(store):
        if file.path is not None:
            found[file.key.partition("/")[0]].append(file)
    return found


def _homes(stores: Sequence[StoreReader], files: Sequence[dict[str, list[File]]]) -> dict[str, int]:
    """Which store each trace is taken from, one from each store in turn."""
    homes: dict[str, int] = {}
    turns = zip_longest(*([(name, place) for name in store.traces] for place, store in enumerate(stores)))
    for name, place in filter(None, chain.from_iterable(turns)):
        home = homes.setdefault(name, place)
        if home != place and (differs := _difference(files[home][name], files[place][name])):
            raise StoreError(
                f"merge found two traces of one id; got '{name}' in '{stores[home].url}' and '{stores[place].url}', "
                f"which differ in '{differs}', allowed one trace or equal ones; leave one of the stores out"
            )
    return homes


def _difference(one: Sequence[File], other: Sequence[File]) -> str | None:
    """The first file in which two traces differ."""
    left, right = ({file.key: file for file in files} for files in (one, other))
    for key in sorted({*left, *right}):
        if key not in left or key not in right or _content(left[key]) != _content(right[key]):
            return key
    return None


def _content(file: File) -> Any:
    return file.size, file.sha256


def _link(file: File, to: Path) -> None:
    assert file.path is not None
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file.path, to)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file.path, to)

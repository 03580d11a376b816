"""Who may write a trace: one writer at a time, which holds a lock on the trace's folder as long as it lives.

The kernel gives the lock back when a process ends, however it ends: a trace that was left by a killed process can be
begun again, one that is being written is refused. Some file systems know no locks. Therefore a writer is known by a
random token in the attributes of the trace's group as well: beginning replaces the token, and a writer looks for its
own before each of its writes. Looking and writing happen under a lock on the store's folder, so nothing comes between
them: writers of values share it, whoever lays a trace out or changes the index holds it alone. No file is left beside
the traces, where plain Zarr would warn of it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import finalize

import zarr

from dit_lens_stores.errors import Busy, NotAStore, StoreError, StoreExists
from dit_lens_stores.index import read_attributes

__all__ = ["Claim", "check_free", "lock_folder", "locked"]

_TOKEN = "writer"
_STATUSES = ("running", "complete", "failed")
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF, errno.EINVAL)
_LEFT_BY_ZARR = re.compile(r"zarr\.[0-9a-f]{32}\.partial")  # its temporary file, before it is renamed to zarr.json


@contextmanager
def locked(path: Path, alone: bool = True) -> Iterator[None]:
    """Hold the lock of a store; waits until it is free. It does not nest.

    A file system that knows no locks goes without: one process at a time may then write to a store.

    Parameters
    ----------
    path : pathlib.Path
        The store.
    alone : bool
        Keep out all others; otherwise only those that want it alone.

    Raises
    ------
    NotAStore
        If the folder is gone.

    Examples
    --------
    >>> with locked(getfixture("tmp_path")):
    ...     pass
    """
    if sys.platform == "win32":  # has no flock
        yield
        return
    import fcntl

    try:
        folder = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise NotAStore(
            f"writing found no store at '{path}'; got nothing, allowed a dit-lens store; check the path"
        ) from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        with suppress(OSError):  # it may have none; closing alone would leave it with a child that was forked meanwhile
            fcntl.flock(folder, fcntl.LOCK_UN)
        os.close(folder)


def check_free(path: Path, trace_id: str, was_complete: bool = False) -> None:
    """Refuse a name under which there is anything but a trace that is not complete; asks the folder, not the index.

    Parameters
    ----------
    path : pathlib.Path
        The store.
    trace_id : str
    was_complete : bool
        Whether the index calls it complete; without its own ``zarr.json`` what is left of it may be deleted.

    Raises
    ------
    StoreExists
        If a complete trace is there, or something else.

    Examples
    --------
    >>> check_free(getfixture("tmp_path"), "t0")
    """
    folder = path / trace_id
    if _is_free(folder) or (was_complete and _lost_its_group(folder)):
        return
    attributes = (None if folder.is_symlink() else read_attributes(folder)) or {}
    if attributes.get("status") not in _STATUSES or not {"manifest", "arrays"} <= set(attributes):
        raise StoreExists(
            f"begin refused trace '{trace_id}' in '{path}'; got something of that name that is no trace, allowed a "
            f"free name; move it away"
        )
    if attributes["status"] == "complete":
        raise StoreExists(
            f"begin refused trace '{trace_id}' in '{path}'; got the id of a complete trace, allowed a new id or one "
            f"that is not complete; choose another id"
        )


class Claim:
    """The right of one writer to write one trace, until another takes it.

    Parameters
    ----------
    path : pathlib.Path
        The store.
    trace_id : str

    Attributes
    ----------
    lost : bool
        Whether another writer was seen to have begun the trace again.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> first, second = Claim(store.path, "t0"), Claim(store.path, "t0")
    >>> _ = first.make_group({})
    >>> second.take()
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.Busy: begin refused trace 't0' ... got a trace that is being written, ...
    """

    def __init__(self, path: Path, trace_id: str) -> None:
        self.path, self.trace_id, self.lost = path, trace_id, False
        self._token, self._node = uuid4().hex, path / trace_id / "zarr.json"
        self._let_go: finalize[..., Any] | None = None

    def take(self) -> None:
        """Take the lock on the trace's folder, if it is there; the caller holds the store's lock.

        Raises
        ------
        Busy
            If another writer lives.
        """
        self.let_go()
        handle = lock_folder(self.path / self.trace_id)
        if handle is None:
            raise Busy(
                f"begin refused trace '{self.trace_id}' in '{self.path}'; got a trace that is being written, "
                f"allowed one writer at a time; wait until it ends, or choose another id"
            )
        if handle >= 0:
            self._let_go = finalize(self, _unlock, handle)

    def let_go(self) -> None:
        """Give the lock back."""
        if self._let_go is not None:
            self._let_go()

    def make_group(self, attributes: dict[str, Any]) -> zarr.Group:
        """Make the trace's group anew, deleting what was there; the caller holds the lock and has checked the name."""
        self.sweep()
        _clear(self.path / self.trace_id)
        root = zarr.open_group(self.path, mode="r+", zarr_format=3)
        group = root.create_group(self.trace_id, attributes=attributes | {_TOKEN: self._token})
        self.take()
        return group

    def keep_group(self, attributes: dict[str, Any]) -> zarr.Group:
        """Go on with the group that is there, with other attributes; the caller holds the lock."""
        self.sweep()
        group = zarr.open_group(self.path / self.trace_id, mode="r+", zarr_format=3)
        group.metadata.attributes.clear()
        group.update_attributes(attributes | {_TOKEN: self._token})
        return group

    def sweep(self) -> None:
        """Delete what a process left beside the root that was killed while it wrote the index."""
        for left in self.path.iterdir():
            if _LEFT_BY_ZARR.fullmatch(left.name):
                left.unlink()

    @contextmanager
    def held(self, alone: bool = False) -> Iterator[None]:
        """Hold the store's lock after checking that the trace is still this writer's.

        Raises
        ------
        StoreError
            If another writer has begun the trace again, or its folder is gone.
        """
        with locked(self.path, alone):
            if not self._is_marked():
                self._check_there()
                self.lost = True
            self.check_not_lost()
            yield

    def _is_marked(self) -> bool:
        """Whether this writer's token is in the trace's group; it is random, and stands nowhere else."""
        try:
            return self._token.encode() in self._node.read_bytes()
        except OSError:
            return False

    def _check_there(self) -> None:
        if read_attributes(self._node.parent) is None:
            raise StoreError(
                f"writing trace '{self.trace_id}' stopped in '{self.path}'; got no group of that name any more, "
                f"allowed the one that was begun; begin the trace again"
            )

    def give_up(self, group: zarr.Group, attributes: dict[str, Any]) -> None:
        """Set the trace's last attributes and take the token away, in one write; the caller holds the claim.

        A finished trace has no writer, and its bytes do not depend on who wrote it.
        """
        group.metadata.attributes.pop(_TOKEN, None)
        group.update_attributes(attributes)

    def check_not_lost(self) -> None:
        """Raise if another writer was seen in this one's place."""
        if self.lost:
            raise StoreError(
                f"writing trace '{self.trace_id}' stopped in '{self.path}'; got another writer that has begun it "
                f"again, allowed one at a time; leave it to that one, or use another id"
            )


def lock_folder(folder: Path) -> int | None:
    """Lock a folder without waiting: what holds the lock, -1 if nothing can be locked, None if another has it.

    Closing what holds it gives it back; the kernel does so when a process ends, however it ends.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> held = lock_folder(folder)
    >>> lock_folder(folder) is None
    True
    >>> os.close(held)
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # not there yet, or Windows, which opens no folders
        return -1
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError as error:
        os.close(handle)
        if error.errno not in _NO_LOCKS:
            raise
        return -1
    return handle


def _unlock(handle: int) -> None:
    os.close(handle)


def _is_free(folder: Path) -> bool:
    """Nothing is there, or what is left of a group that was being deleted or made when its process was killed."""
    if folder.is_symlink() or not folder.is_dir():
        return not os.path.lexists(folder)
    return all(_LEFT_BY_ZARR.fullmatch(child.name) for child in folder.iterdir())


def _lost_its_group(folder: Path) -> bool:
    """Nothing is there but arrays of a trace, or what is left of them."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(child.is_dir() and not child.is_symlink() for child in folder.iterdir())


def _clear(folder: Path) -> None:
    """Delete a trace; its attributes last, so that what a killed process leaves is still known as a trace."""
    if not folder.exists():
        return
    children = sorted(folder.iterdir(), key=lambda child: child.name == "zarr.json")
    for child in children:
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    folder.rmdir()

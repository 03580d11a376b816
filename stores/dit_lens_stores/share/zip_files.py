"""One zip of many files, the same bytes each time.

Members are stored, not compressed (their bytes are compressed already), so a part of one is a part of the zip. Names
are sorted and dates fixed: the same store gives the same zip, to the byte. The zip is written under another name and
renamed when it is whole.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from dit_lens_stores.errors import StoreError, StoreExists
from dit_lens_stores.folders import make_folder, refuse_inside_store
from dit_lens_stores.share.files import File, total

__all__ = ["write_zip"]

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
_MODE = 0o100644 << 16
_BLOCK = 4 * 2**20


def write_zip(files: Sequence[File], target: Path, tell: Callable[[int, int], None] = lambda done, all_: None) -> int:
    """Write files into a new zip.

    Parameters
    ----------
    files : sequence of File
    target : pathlib.Path
    tell : callable
        Called with (bytes done, bytes in all).

    Returns
    -------
    int
        The size of the zip.

    Raises
    ------
    StoreExists
        If something is there; it is left untouched. Or if the path is inside a store.
    StoreError
        If nothing can be written there.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> _ = write_zip([File("b", data=b"1"), File("a", data=b"2")], folder / "x.zip")
    >>> zipfile.ZipFile(folder / "x.zip").namelist()
    ['a', 'b']
    """
    check_new(target, "pack")
    refuse_inside_store(target, "pack")
    make_folder(target.parent, "pack", target)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        _fill(partial, sorted(files, key=lambda file: file.key), tell)
        _rename(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def check_new(target: Path, action: str) -> None:
    """Refuse a path at which there is something.

    Examples
    --------
    >>> check_new(getfixture("tmp_path") / "new.zip", "pack")
    """
    if os.path.lexists(target):
        raise StoreExists(
            f"{action} refused '{target}'; got something that is there already, allowed a new path; choose another, or "
            f"move it away"
        )


def _fill(partial: Path, files: Sequence[File], tell: Callable[[int, int], None]) -> None:
    done, size = 0, total(files)
    with _opened(partial) as out:
        for file in files:
            info = zipfile.ZipInfo(file.key, _DATE)
            info.create_system, info.external_attr, info.file_size = 3, _MODE, file.size
            with file.open() as source, out.open(info, "w") as member:
                shutil.copyfileobj(source, member, _BLOCK)
            tell(done := done + file.size, size)


def _opened(partial: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True)
    except OSError as error:
        raise StoreError(
            f"pack cannot write to '{partial.parent}'; got {error.strerror}, allowed a folder that may be written; "
            f"choose another path"
        ) from None


def _rename(partial: Path, target: Path) -> None:
    """Give the zip its name, unless another process has taken it meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError:
        check_new(target, "pack")
    except OSError:  # a file system without hard links
        check_new(target, "pack")
        partial.rename(target)

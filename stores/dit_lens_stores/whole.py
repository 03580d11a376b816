"""Write beside a place, and move there when it is whole: whoever is interrupted leaves what was there before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["written_whole"]


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A free place beside a path: what is written there takes the path's place at the end, and is gone after an error.

    Parameters
    ----------
    path : pathlib.Path
        Of a file or a folder, in a folder that is there. Who calls has checked that what is there may go.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "page.html"
    >>> with written_whole(path) as fresh:
    ...     _ = fresh.write_text("a page")
    >>> path.read_text(), [other.name for other in path.parent.iterdir()]
    ('a page', ['page.html'])
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield fresh
        if fresh.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        fresh.replace(path)
    finally:
        if fresh.is_dir():
            shutil.rmtree(fresh, ignore_errors=True)
        else:
            fresh.unlink(missing_ok=True)

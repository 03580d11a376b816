"""One process at a time writes to the folder of a benchmark or a causal probe: it locks it for as long as it runs.

The kernel gives the lock back when a process ends, however it ends. Where there are no such locks, on some file systems
and on Windows, nothing is kept out.
"""

from __future__ import annotations

import os
from pathlib import Path
from weakref import finalize

from dit_lens.bench.errors import BadBench
from dit_lens_stores.claim import lock_folder

__all__ = ["Lock"]


class Lock:
    """The lock of a folder; given back by ``release``, or when nothing refers to it any more.

    Parameters
    ----------
    folder : pathlib.Path
    what : str
        Goes on there, for the message.

    Raises
    ------
    BadBench
        If another holds it.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> held = Lock(folder)
    >>> Lock(folder)
    Traceback (most recent call last):
    ...
    dit_lens.bench.errors.BadBench: a benchmark cannot go on in '...'; got one that is running there, allowed one ...
    >>> held.release()
    >>> Lock(folder).release()
    """

    def __init__(self, folder: Path, what: str = "benchmark") -> None:
        handle = lock_folder(folder)
        if handle is None:
            raise BadBench(
                f"a {what} cannot go on in '{folder}'; got one that is running there, allowed one at a time; wait "
                f"until it ends, or choose another folder"
            )
        self.release = finalize(self, _close, handle)


def _close(handle: int) -> None:
    if handle >= 0:  # otherwise nothing could be locked
        os.close(handle)

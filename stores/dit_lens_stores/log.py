"""The log beside a store: when its traces were begun and finished, and where.

Nothing inside a store depends on the clock or the host, so that two runs of one command give the same bytes. What does
goes into ``<store>.log.jsonl``, one JSON object per line, which is not shared with the store and may be deleted.
"""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["add_to_log", "log_of"]


def log_of(store: Path) -> Path:
    """Return where the log of a store lies.

    Examples
    --------
    >>> log_of(Path("runs/maze.zarr")).as_posix()
    'runs/maze.zarr.log.jsonl'
    """
    return store.with_name(store.name + ".log.jsonl")


def add_to_log(store: Path, event: str, **facts: Any) -> None:
    """Append a line with the time, the host and the process.

    A log that cannot be written is let go: no trace fails for it.

    Parameters
    ----------
    store : pathlib.Path
    event : str
        Such as ``begin`` or ``complete``.
    **facts
        What JSON holds.

    Examples
    --------
    >>> add_to_log(getfixture("tmp_path") / "a.zarr", "begin", trace="t0")
    >>> line = json.loads(log_of(getfixture("tmp_path") / "a.zarr").read_text())
    >>> list(line)
    ['time', 'event', 'trace', 'host', 'process']
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"time": time, "event": event, **facts, "host": platform.node(), "process": os.getpid()}
    try:
        with log_of(store.absolute()).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")  # one write, so that lines of several processes do not mix
    except OSError:
        return

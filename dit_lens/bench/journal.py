"""The folder of a benchmark: its settings in ``bench.json``, and a line in ``results.jsonl`` for every run that ended.

A line is written when its run is over and on the disk before the next begins, so a benchmark that was stopped goes on
where it was. A line that cannot be read as JSON was torn by the end of its process; it counts for nothing, and its run
is done again. Questions and seeds may be added to a benchmark; its settings may not change, because two conditions in
one table would be taken for one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dit_lens.bench.errors import BadBench
from dit_lens.bench.lock import Lock
from dit_lens.bench.results import Result
from dit_lens.bench.settings import keep_settings, refuse_other_settings

__all__ = ["Journal"]

_SETTINGS, _RESULTS = "bench.json", "results.jsonl"


class Journal:
    """Results of a benchmark in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Made by ``begin``.
    settings : mapping
        What ``describe_bench`` gave.

    Raises
    ------
    OtherBench
        If the folder holds a benchmark with other settings.
    BadBench
        If it holds something else, or another is running there.

    Examples
    --------
    >>> folder = getfixture("tmp_path") / "bench"
    >>> one = Result(question="a/0", task="a", variant="", split=None, index=0, label="a", seed=1)
    >>> Journal(folder, {"steps": 20}).add([one])
    >>> list(Journal(folder, {"steps": 20}).results)
    [('a/0', 1)]
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self._settings = folder, json.loads(json.dumps(settings))
        self.results: dict[tuple[str, int], Result] = {}
        self._lock: Lock | None = None
        if folder.is_dir():
            Lock(folder).release()
        if (folder / _SETTINGS).is_file():
            self._read()
        elif folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise BadBench(
                f"a benchmark cannot be kept in '{folder}'; got a folder with other things in it, allowed a new or an "
                f"empty one, or that of a benchmark; choose another"
            )

    def begin(self) -> None:
        """Lock the folder until ``end``, and write the settings, unless they are there: before anything else is.

        What others wrote since this was made is read.
        """
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(self.folder)
        if (self.folder / _SETTINGS).is_file():
            self._read()
        else:
            keep_settings(self.folder / _SETTINGS, self._settings)

    def end(self) -> None:
        """Let others write."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def add(self, results: Iterable[Result]) -> None:
        """Append results; they are on the disk when this returns."""
        self.begin()
        results = list(results)
        text = "".join(json.dumps(result.as_dict()) + "\n" for result in results)
        with (self.folder / _RESULTS).open("a+b") as file:
            start = "\n" if _is_torn(file) else ""
            file.write((start + text).encode())
            file.flush()
            os.fsync(file.fileno())
        self.results |= {(result.question, result.seed): result for result in results}

    def _read(self) -> None:
        refuse_other_settings(self.folder / _SETTINGS, self._settings)
        self.results = {(result.question, result.seed): result for result in _read_results(self.folder)}


def _is_torn(file: Any) -> bool:
    """Whether the last line has no end."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")


def _read_results(folder: Path) -> Iterable[Result]:
    path = folder / _RESULTS
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            read = json.loads(line)
        except ValueError:  # torn, or empty
            continue
        try:
            yield Result.from_dict(read)
        except ValueError as error:
            raise BadBench(
                f"line {number} of '{path}' is no result; got {error}, allowed what a benchmark wrote; remove the line"
            ) from error

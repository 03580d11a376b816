"""The settings of a folder that is added to over several runs: kept in a file, and never changed.

Questions and seeds may be added to what a folder holds; its settings may not change, because two conditions in one
table would be taken for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_lens.bench.errors import BadBench, OtherBench
from dit_lens.bench.written import write_file

__all__ = ["keep_settings", "refuse_other_settings"]

_MAY_DIFFER = ("device", "experts", "git", "sigmas", "timesteps", "tokens", "versions")
"""Noted, but not compared: they follow from what is, or may change a result by rounding alone."""


def keep_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "bench.json"
    >>> keep_settings(path, {"steps": 20})
    >>> refuse_other_settings(path, {"steps": 20})
    """
    write_file(path, json.dumps(settings, indent=1) + "\n")


def refuse_other_settings(path: Path, wanted: Mapping[str, Any], what: str = "benchmark") -> None:
    """Name the first difference; what is long is only said to differ. What only one of the two has differs as well.

    Parameters
    ----------
    path : pathlib.Path
        Of the file with the settings that are there.
    wanted : mapping
        As they come out of JSON.
    what : str
        The folder holds, for messages.

    Raises
    ------
    OtherBench
        If they differ.
    BadBench
        If the file cannot be read.
    """
    there = _read(path, what)
    for name in dict.fromkeys([*wanted, *there]):
        value, was = wanted.get(name), there.get(name)
        if name in _MAY_DIFFER or value == was:
            continue
        shown = f"{name} {_short(value)}, allowed {_short(was)}"
        if isinstance(value, (dict, list)) or isinstance(was, (dict, list)):
            shown = f"another {name.removesuffix('_sha256')}, allowed the same"
        raise OtherBench(
            f"the {what} in '{path.parent}' was begun with other settings; got {shown}; choose another folder, or "
            f"remove it to begin again"
        )


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise BadBench(
            f"the settings of a {what} cannot be read; got '{path}', allowed what a {what} wrote; choose another folder"
        )
    return read


def _short(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)

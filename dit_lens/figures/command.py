"""The command line that makes a figure again, as its record states it.

It is meant to be published beside the figure, so no folder of the machine is in it: of an absolute path the part below
the working folder is shown, or the name alone, whether it is a file, the file of a probe or the value of a parameter.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["command_of", "shown", "shown_path"]


def command_of(
    result: str, options: Mapping[str, str | None], params: Mapping[str, Any], probe: object, path: Path
) -> str:
    """The words of ``dit-lens figure``, quoted for a shell.

    Parameters
    ----------
    result : str
        As it is shown.
    options : mapping
        Those that are None are left out.
    params : mapping
        Of ``--set``.
    probe : object
        Shown if it is the name of one.
    path : pathlib.Path
        Where the figure lies.

    Returns
    -------
    str

    Examples
    --------
    >>> params, probe = {"model": "/home/me/wan", "step": 3}, "/home/me/mine.py:Mine"
    >>> command_of("a.zarr", {"name": "curves"}, params, probe, Path("a.pdf"))
    'dit-lens figure a.zarr --name curves --set model=wan --set step=3 --probe mine.py:Mine -o a.pdf'
    """
    words = ["dit-lens", "figure", result]
    words += [word for option, value in options.items() if value is not None for word in (f"--{option}", value)]
    words += [word for key, value in params.items() for word in ("--set", f"{key}={_written(value)}")]
    words += ["--probe", shown_path(probe)] if isinstance(probe, str) else []
    return shlex.join([*words, "-o", shown_path(path)])


def shown_path(path: str | Path) -> str:
    """A path as it was given; of an absolute one the part below the working folder, or the name alone.

    Examples
    --------
    >>> shown_path("runs/a.zarr"), shown_path("/somewhere/else/a.zarr"), shown_path(Path.cwd() / "runs" / "a.zarr")
    ('runs/a.zarr', 'a.zarr', 'runs/a.zarr')
    """
    given = Path(path)
    if not given.is_absolute():
        return str(path) if isinstance(path, str) else path.as_posix()
    here = Path.cwd()
    return given.relative_to(here).as_posix() if given.is_relative_to(here) else given.name


def _written(value: Any) -> str:
    return shown_path(value) if isinstance(value, str) else json.dumps(shown(value))


def shown(value: Any) -> Any:
    """The value of a parameter with its paths shown as ``shown_path`` shows them.

    Examples
    --------
    >>> shown({"model": "/home/me/wan", "steps": [0, 3]})
    {'model': 'wan', 'steps': [0, 3]}
    """
    if isinstance(value, str):
        return shown_path(value)
    if isinstance(value, Mapping):
        return {key: shown(entry) for key, entry in value.items()}
    return [shown(entry) for entry in value] if isinstance(value, list | tuple) else value

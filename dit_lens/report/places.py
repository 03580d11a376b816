"""Folders of a machine, kept off what is mailed: of an absolute path, only its last part is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

__all__ = ["without_folders"]

_PATH = re.compile(r"""(?<=["'])/(?!/)[^"'\n]+|(?<![\w./~<])/(?!/)[^\s"',;()\[\]{}]+""")


def without_folders(value: Any) -> Any:
    """A value of the attributes of a result, with the names of files in place of absolute paths.

    Text that is JSON is looked into, since a folder's name may have spaces.

    Examples
    --------
    >>> without_folders('{"trajectory.model": "/home/me/my models/wan"}')
    {'trajectory.model': 'wan'}
    >>> without_folders("no model in '/home/me/my models/wan'")
    "no model in 'wan'"
    >>> without_folders(["from /data/runs/a.zarr, step 1/2", "https://site/a", "/one"])
    ['from a.zarr, step 1/2', 'https://site/a', 'one']
    """
    if isinstance(value, Mapping):
        return {key: without_folders(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(entry) for entry in value]
    if not isinstance(value, str):
        return value
    held = _parsed(value)
    return _shortened(value) if held is None else without_folders(held)


def _parsed(text: str) -> Any:
    """What a text of JSON holds; None for any other text."""
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shortened(text: str) -> str:
    if PurePath(text).is_absolute() and "\n" not in text:
        return PurePath(text).name
    return _PATH.sub(lambda found: PurePath(found.group()).name, text)
